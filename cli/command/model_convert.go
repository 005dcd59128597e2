package command

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/codec"
	"fx/runtime/tensor"
)

func modelConvert() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "convert a model between .pbuf and .safetensors",
		ArgsUsage: "IN OUT",
		Description: `The endings of the names say what is converted to what. Names, shapes and
float32 values stay as they are; the round number is kept as the metadata
"fx.round" of a safetensors file. A federation whose plan has a compression
pipeline saves models in that pipeline's form: --plan reads and writes it.
Examples:
   fxctl model convert ward/save/best.pbuf best.safetensors
   fxctl model convert ward/save/best.pbuf best.safetensors --plan ward
   fxctl model convert pretrained.safetensors ward/save/init.pbuf --force`,
		Flags: []cli.Flag{
			modelPlanFlag(),
			&cli.BoolFlag{Name: "force", Usage: "replace OUT if it is there"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "IN", "OUT")
			if err != nil {
				return nil, err
			}
			return runModelConvert(c.Context, modelConvertOptions{console: ui.From(c), in: args[0], out: args[1], plan: c.String("plan"), force: c.Bool("force")})
		}),
	}
}

type modelConvertOptions struct {
	console *ui.Console
	in, out string
	plan    string // whose pipeline made the .pbuf, "" for none
	force   bool
}

type modelConvertResult struct {
	In      string `json:"in"`
	Out     string `json:"out"`
	Tensors int    `json:"tensors"`
	Bytes   int64  `json:"bytes"` // of OUT
}

func runModelConvert(_ context.Context, o modelConvertOptions) (*modelConvertResult, error) {
	format, err := modelFormat(o.out)
	if err != nil {
		return nil, err
	}
	pipeline, err := pipelineOf(o.console, o.plan)
	if err != nil {
		return nil, err
	}
	m, err := openModel(o.in)
	if err != nil {
		return nil, err
	}
	defer func() { _ = m.Close() }() // read only
	m.pipeline = pipeline
	if m.format == format {
		return nil, ui.Usagef("both %q and %q are %s files: there is nothing to convert", o.in, o.out, format)
	}
	err = tensor.WriteFile(o.out, o.force, func(w io.Writer) error {
		if format == safetensorsFormat {
			return m.writeSafetensors(w)
		}
		if pipeline != nil {
			return codec.WriteModel(w, pipeline, m.safetensors, nil, func(name string) uint64 { return codec.Seed("", "", name, 0) })
		}
		return tensor.SafetensorsToModel(w, m.safetensors)
	})
	if err != nil {
		return nil, alreadyThere(err, fmt.Sprintf("fxctl model convert %s %s --force", o.in, o.out))
	}
	out, err := openModel(o.out)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // read only
	n := len(out.named)
	if out.safetensors != nil {
		n = len(out.safetensors.Infos())
	}
	return &modelConvertResult{In: o.in, Out: o.out, Tensors: n, Bytes: out.size}, nil
}

// Text is the result for people.
func (r *modelConvertResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "wrote %s: %d tensors, %s\n", ui.Clean(r.Out), r.Tensors, ui.Bytes(r.Bytes))
	return err
}
