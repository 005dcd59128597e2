package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/tensor"
)

func modelInspect() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show the tensors of a model: type, shape, size, norm, digest",
		ArgsUsage: "FILE",
		Description: `FILE ends in .pbuf (OpenFL's models) or .safetensors. Examples:
   fxctl model inspect ward/save/best.pbuf
   fxctl model inspect ward/save/best.pbuf --plan ward
   fxctl model inspect model.safetensors --json | jq '.tensors[] | {name, norm}'`,
		Flags: []cli.Flag{modelPlanFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			return runModelInspect(c.Context, modelInspectOptions{console: ui.From(c), file: args[0], plan: c.String("plan")})
		}),
	}
}

type modelInspectOptions struct {
	console *ui.Console
	file    string
	plan    string // whose pipeline made a .pbuf, "" for none
}

type modelInspectResult struct {
	File     string            `json:"file"`
	Format   string            `json:"format"` // pbuf or safetensors
	Bytes    int64             `json:"bytes"`
	SHA256   string            `json:"sha256"` // of the file
	Round    *int32            `json:"round,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"` // of a safetensors file
	Elements int64             `json:"elements"`
	Tensors  []modelTensor     `json:"tensors"`
}

type modelTensor struct {
	Name      string   `json:"name"`
	DType     string   `json:"dtype"` // "encoded" where a compression pipeline made the bytes
	Shape     []int    `json:"shape"`
	Elements  int      `json:"elements"`
	Bytes     int64    `json:"bytes"`
	SHA256    string   `json:"sha256"`            // of the payload; with a plan, of the decoded values
	Norm      *float64 `json:"norm,omitempty"`    // Euclidean, of the finite values; float32 only
	MaxAbs    *float64 `json:"max_abs,omitempty"` // of the finite values; float32 only
	NonFinite int64    `json:"non_finite"`        // values that are infinite or no number; float32 only
	Tags      []string `json:"tags,omitempty"`    // of a pbuf tensor
}

func runModelInspect(ctx context.Context, o modelInspectOptions) (*modelInspectResult, error) {
	pipeline, err := pipelineOf(o.console, o.plan)
	if err != nil {
		return nil, err
	}
	m, err := openModel(o.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = m.Close() }() // read only
	m.pipeline = pipeline
	r := &modelInspectResult{File: o.file, Format: m.format, Bytes: m.size, Tensors: []modelTensor{}}
	if r.SHA256, err = digest(io.NewSectionReader(m, 0, m.size)); err != nil {
		return nil, err
	}
	if m.format == pbufFormat {
		err = r.addNamed(ctx, m)
	} else {
		r.Metadata = m.safetensors.Metadata()
		err = r.addSafetensors(ctx, m.safetensors)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot inspect model %q: %w", o.file, err)
	}
	return r, nil
}

func (r *modelInspectResult) addNamed(ctx context.Context, m *modelFile) error {
	if round, err := tensor.Round(m.named); err == nil && len(m.named) > 0 {
		r.Round = &round
	}
	for _, n := range m.named {
		var values io.Reader = io.NewSectionReader(m, n.DataOffset, n.DataSize)
		info, err := n.Info()
		switch {
		case m.pipeline != nil:
			if info, values, err = m.pipeline.Decode(n, m); err != nil {
				return err
			}
		case err != nil: // another pipeline's: its shape is not for us to read
			info = tensor.Info{Name: n.Name, DType: "encoded"}
		}
		if err := r.add(ctx, info, n.Tags, n.DataSize, values); err != nil {
			return err
		}
	}
	return nil
}

func (r *modelInspectResult) addSafetensors(ctx context.Context, f *tensor.File) error {
	for _, info := range f.Infos() {
		section, err := f.Section(info.Name)
		if err != nil {
			return err
		}
		if err := r.add(ctx, info, nil, section.Size(), section); err != nil {
			return err
		}
	}
	return nil
}

func (r *modelInspectResult) add(ctx context.Context, info tensor.Info, tags []string, size int64, data io.Reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := modelTensor{Name: info.Name, DType: string(info.DType), Shape: info.Shape, Bytes: size, Tags: tags}
	if t.Shape == nil {
		t.Shape = []int{}
	}
	if info.DType.Size() > 0 {
		t.Elements = info.Elements()
	}
	var err error
	if info.DType == tensor.F32 {
		var s tensor.Summary
		if s, err = tensor.Summarize(data, t.Elements); err == nil {
			t.SHA256, t.Norm, t.MaxAbs, t.NonFinite = s.SHA256, &s.Norm, &s.MaxAbs, s.NonFinite
		}
	} else {
		t.SHA256, err = digest(data)
	}
	r.Elements += int64(t.Elements)
	r.Tensors = append(r.Tensors, t)
	return err
}

func digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("cannot read model: %v", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Text is the result for people.
func (r *modelInspectResult) Text(w io.Writer) error {
	head := [][]string{
		{"file", r.File}, {"format", r.Format}, {"size", ui.Bytes(r.Bytes)}, {"sha256", r.SHA256},
		{"tensors", fmt.Sprintf("%d, %d numbers", len(r.Tensors), r.Elements)},
	}
	if r.Round != nil {
		head = append(head, []string{"round", fmt.Sprint(*r.Round)})
	}
	if err := ui.Table(w, nil, head); err != nil || len(r.Tensors) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	var rows [][]string
	for _, t := range r.Tensors {
		norm := "-"
		if t.Norm != nil {
			norm = fmt.Sprintf("%.6g", *t.Norm)
		}
		if t.NonFinite > 0 {
			norm += fmt.Sprintf(" (%d not finite)", t.NonFinite)
		}
		rows = append(rows, []string{t.Name, t.DType, shapeText(t), ui.Bytes(t.Bytes), norm, t.SHA256[:16]})
	}
	return ui.Table(w, []string{"NAME", "DTYPE", "SHAPE", "SIZE", "NORM", "SHA256"}, rows)
}

func shapeText(t modelTensor) string {
	switch {
	case t.DType == "encoded":
		return "?"
	case len(t.Shape) == 0:
		return "scalar"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(t.Shape), "[]"), " ", "×")
}
