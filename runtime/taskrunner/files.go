package taskrunner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/schema"
)

// readParams reads exactly the tensors of a model, in the model's order.
func readParams(path string, want []tensor.Info) (params, error) {
	if path == "" {
		return nil, errors.New("the task needs the model's tensors, but was given none")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read model: %v", err)
	}
	defer func() { _ = f.Close() }() // read only
	stat, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read model: %v", err)
	}
	file, err := tensor.OpenSafetensors(f, stat.Size())
	if err != nil {
		return nil, fmt.Errorf("cannot read model %q: %w", path, err)
	}
	if got := file.Infos(); len(got) != len(want) {
		return nil, fmt.Errorf("cannot use model %q: it has %d tensors, the task runner's model %d", path, len(got), len(want))
	}
	p := make(params, len(want))
	for i, info := range want {
		got, ok := file.Info(info.Name)
		if !ok || got.DType != info.DType || fmt.Sprint(got.Shape) != fmt.Sprint(info.Shape) {
			return nil, fmt.Errorf("cannot use model %q: tensor %q is %s %v; %s %v was expected", path, info.Name, orNone(got.DType), got.Shape, info.DType, info.Shape)
		}
		section, err := file.Section(info.Name)
		if err != nil {
			return nil, err
		}
		values := make([]float32, info.Elements())
		if err := tensor.ReadFloat32sAt(section, values, 0); err != nil {
			return nil, fmt.Errorf("cannot read tensor %q: %w", info.Name, err)
		}
		p[i] = make([]float64, len(values))
		for j, v := range values {
			p[i][j] = float64(v)
		}
	}
	return p, nil
}

func orNone(d tensor.DType) string {
	if d == "" {
		return "missing"
	}
	return string(d)
}

// writeParams writes a model's tensors as float32 in one safetensors file.
func writeParams(path string, infos []tensor.Info, p params) error {
	sources := make([]tensor.Source, len(infos))
	for i, info := range infos {
		values := make([]float32, len(p[i]))
		for j, v := range p[i] {
			values[j] = float32(v)
		}
		sources[i] = tensor.Source{Info: info, Data: bytes.NewReader(tensor.AppendFloat32s(nil, values))}
	}
	return tensor.WriteFile(path, true, func(w io.Writer) error { return tensor.WriteSafetensors(w, nil, sources) })
}

// WriteInitialModel runs r.Init and writes the result at path as the .pbuf file
// that a plan's init_state_path names, encoded by the plan's compression pipeline
// as OpenFL has it: with one that loses values, everybody starts from what the
// file decodes to. Without replace a file that is there is
// left alone, and the error wraps fs.ErrExist. Scratch is a folder for the file in
// between, "" for the system's.
func WriteInitialModel(ctx context.Context, r Runner, plan *schema.Resolved, scratch, path string, replace bool) error {
	pipeline, err := codec.New(plan.Compression)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(scratch, "fx-init-")
	if err != nil {
		return fmt.Errorf("cannot make initial model: %v", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	between := filepath.Join(dir, "init.safetensors")
	if err := r.Init(ctx, between); err != nil {
		return err
	}
	f, err := os.Open(between)
	if err != nil {
		return fmt.Errorf("cannot read initial model: %v", err)
	}
	defer func() { _ = f.Close() }() // read only
	stat, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot read initial model: %v", err)
	}
	file, err := tensor.OpenOutput(f, stat.Size())
	if err != nil {
		return fmt.Errorf("cannot read initial model: %w", err)
	}
	return tensor.WriteFile(path, replace, func(w io.Writer) error {
		return codec.WriteModel(w, pipeline, file, nil, func(name string) uint64 { return codec.Seed(plan.FederationID, "", name, 0) })
	})
}
