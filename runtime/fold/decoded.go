package fold

import (
	"errors"
	"fmt"
	"io"

	"fx/runtime/aggregation"
	"fx/runtime/codec"
	"fx/runtime/journal"
)

// decodedTensor is one tensor of those collaborators that sent it encoded. They are
// decoded into one draft, one after the other, when the first of them is read: so
// one is in memory at most. An algorithm that looks at tensors one by one has one
// such draft at a time; one that compares whole updates has one for each tensor.
type decodedTensor struct {
	a     *Engine
	size  int64 // bytes of the tensor's values
	from  []contribution
	draft journal.Draft // nil while nothing was read
}

// source is what a collaborator sent, to be read in blocks: of a difference, the
// difference.
func (d *decodedTensor) source(c contribution) (aggregation.Source, error) {
	p, err := d.a.PipelineOf(c.tensor)
	if err != nil {
		return nil, err
	}
	if _, plain := p.(codec.NoCompression); plain {
		if _, err := p.Info(c.tensor); err != nil {
			return nil, err
		}
		return aggregation.FromReader(io.NewSectionReader(c.result, c.tensor.DataOffset, c.tensor.DataSize)), nil
	}
	d.from = append(d.from, c)
	return decodedSource{d, len(d.from) - 1}, nil
}

// open decodes, once.
func (d *decodedTensor) open() (err error) {
	if d.draft == nil {
		d.draft, err = d.a.draft(d.writeTo)
	}
	return err
}

func (d *decodedTensor) writeTo(w io.Writer) error {
	for _, c := range d.from {
		_, values, err := d.a.Decode(c.tensor, c.result)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, values)
		if err == nil && n != d.size {
			err = fmt.Errorf("tensor %q of %q has %d bytes instead of %d", c.tensor.Name, c.name, n, d.size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decodedTensor) close() error {
	if d.draft == nil {
		return nil
	}
	err := d.draft.Discard()
	d.draft = nil
	return err
}

// decodedSource is what one of them sent.
type decodedSource struct {
	*decodedTensor
	at int
}

func (s decodedSource) ReadBlock(dst []float32, off int) error {
	if err := s.open(); err != nil {
		return err
	}
	values := io.NewSectionReader(s.draft, int64(s.at)*s.size, s.size)
	return aggregation.FromReader(values).ReadBlock(dst, off)
}

// draft writes to a draft that is never committed.
func (a *Engine) draft(write func(io.Writer) error) (journal.Draft, error) {
	d, err := a.o.Journal.Store().Draft()
	if err != nil {
		return nil, err
	}
	if err := write(d); err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d, nil
}
