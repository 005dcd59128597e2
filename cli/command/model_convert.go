package command

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/tensor"
)

func modelConvert() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "convert a model between .pbuf and .safetensors, without loss",
		ArgsUsage: "IN OUT",
		Description: `The endings of the names say what is converted to what. Names, shapes and
float32 values stay as they are; the round number is kept as the metadata
"fx.round" of a safetensors file. Examples:
   fxctl model convert ward/save/best.pbuf best.safetensors
   fxctl model convert pretrained.safetensors ward/save/init.pbuf --force`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "replace OUT if it is there"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "IN", "OUT")
			if err != nil {
				return nil, err
			}
			return runModelConvert(c.Context, modelConvertOptions{in: args[0], out: args[1], force: c.Bool("force")})
		}),
	}
}

type modelConvertOptions struct {
	in, out string
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
	m, err := openModel(o.in)
	if err != nil {
		return nil, err
	}
	defer func() { _ = m.Close() }() // read only
	if m.format == format {
		return nil, ui.Usagef("both %q and %q are %s files: there is nothing to convert", o.in, o.out, format)
	}
	err = tensor.WriteFile(o.out, o.force, func(w io.Writer) error {
		if format == safetensorsFormat {
			return m.writeSafetensors(w)
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
