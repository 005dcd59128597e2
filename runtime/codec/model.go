package codec

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"fx/runtime/tensor"
)

// ModelInfos describes the tensors of a .pbuf model that p made.
func ModelInfos(p Pipeline, model []tensor.Named) ([]tensor.Info, error) {
	infos := make([]tensor.Info, len(model))
	for i, t := range model {
		var err error
		if infos[i], err = p.Info(t); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// ReadModel streams a .pbuf model that p made, scanned from r, as safetensors.
func ReadModel(w io.Writer, p Pipeline, r io.ReaderAt, model []tensor.Named) error {
	round, err := tensor.Round(model)
	if err != nil {
		return err
	}
	infos, err := ModelInfos(p, model)
	if err != nil {
		return err
	}
	sources := make([]tensor.Source, len(model))
	for i, t := range model {
		sources[i] = tensor.Source{Info: infos[i], Data: &late{open: func() (io.Reader, error) {
			_, values, err := p.Decode(t, r)
			return values, err
		}}}
	}
	return tensor.WriteSafetensors(w, map[string]string{tensor.RoundKey: strconv.Itoa(int(round))}, sources)
}

// WriteModel streams the tensors of f that keep accepts (nil: all) as a .pbuf
// model in name order, encoded by p: the form in which OpenFL saves models, with
// the plan's pipeline, and reads them back.
func WriteModel(w io.Writer, p Pipeline, f *tensor.File, keep func(name string) bool, seed func(name string) uint64) error {
	round := 0
	if text, ok := f.Metadata()[tensor.RoundKey]; ok {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%w: metadata %q is %q; a whole number was expected", tensor.ErrInvalid, tensor.RoundKey, text)
		}
		round = int(n)
	}
	for _, info := range f.Infos() {
		if keep != nil && !keep(info.Name) {
			continue
		}
		section, err := f.Section(info.Name)
		if err != nil {
			return err
		}
		n := tensor.Named{Name: info.Name, Round: int32(round), Lossless: true, Tags: tensor.ModelTags()}
		source, err := p.Encode(n, info, section, seed(info.Name))
		if err != nil {
			return err
		}
		if err := tensor.WriteModel(w, []tensor.NamedSource{source}); err != nil { // one after the other is one model
			return err
		}
	}
	return nil
}

// late opens its content at the first read, so that of many one is in memory.
type late struct {
	open func() (io.Reader, error)
	r    io.Reader
}

// Read implements [io.Reader].
func (l *late) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.open()
		if err != nil {
			return 0, err
		}
		l.r, l.open = r, nil
	}
	n, err := l.r.Read(p)
	if err == io.EOF {
		l.r = bytes.NewReader(nil) // what was held may go
	}
	return n, err
}
