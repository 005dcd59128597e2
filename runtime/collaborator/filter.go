package collaborator

import (
	"context"
	"fmt"
	"io"
	"os"

	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/schema"
)

// outgoing is the tensors of a result as they may leave: after the plan's
// egress filters.
type outgoing struct {
	file    *tensor.File
	infos   []tensor.Info // of what leaves; all of them are in file
	dropped []tensor.Info
	filters map[string][]string // that changed a tensor, by its name
	closers []io.Closer
}

// close closes the files behind the tensors; they were only read.
func (o *outgoing) close() {
	for _, c := range o.closers {
		_ = c.Close()
	}
}

// outgoing opens what a task made and applies the filters. A result without
// tensors is empty.
func (c *collaborator) outgoing(ctx context.Context, round int, task schema.Task, done *record) (_ *outgoing, err error) {
	o := &outgoing{filters: map[string][]string{}}
	if done.Tensors == "" {
		return o, nil
	}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	object, err := c.Store.Open(done.Tensors)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, object)
	if o.file, err = tensor.OpenSafetensors(object, object.Size()); err != nil {
		return nil, fmt.Errorf("cannot read what task %q made: %w: %w", task.Name, err, ErrIncomplete)
	}
	for _, info := range o.file.Infos() {
		if c.contract.Drops(info.Name) {
			o.dropped = append(o.dropped, info)
			continue
		}
		if err := c.contract.Declared(task.Name, info); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrIncomplete)
		}
		o.infos = append(o.infos, info)
	}
	if !c.contract.Clips() || len(o.infos) == 0 {
		return o, nil
	}
	return o, c.clip(ctx, round, o)
}

// clip replaces the tensors by a copy in scratch in which the change from the
// round's model is bounded. A change that is small enough stays as it is, byte
// for byte.
func (c *collaborator) clip(ctx context.Context, round int, o *outgoing) error {
	path, _, err := c.global(ctx, round)
	if err != nil {
		return err
	}
	base, err := o.open(path)
	if err != nil {
		return err
	}
	changes := make([]egress.Change, len(o.infos))
	for i, info := range o.infos {
		changes[i].Name = info.Name
		from, to, err := sections(base, o.file, info.Name)
		if err != nil {
			return err
		}
		if changes[i].Norm, err = egress.ChangeNorm(from, to); err != nil {
			return err
		}
	}
	var sources []tensor.Source
	for i, factor := range c.contract.Factors(changes) {
		info := o.infos[i]
		from, to, err := sections(base, o.file, info.Name)
		if err != nil {
			return err
		}
		source := tensor.Source{Info: info, Data: to}
		if factor < 1 {
			source.Data = egress.Clipped(from, to, factor)
			o.filters[info.Name] = []string{"clip"}
		}
		sources = append(sources, source)
	}
	if len(o.filters) == 0 {
		return nil
	}
	path, _, err = c.scratchFile("outgoing.safetensors", func(w io.Writer) error {
		return tensor.WriteSafetensors(w, nil, sources)
	})
	if err != nil {
		return err
	}
	o.file, err = o.open(path)
	return err
}

// open opens a file of tensors in scratch.
func (o *outgoing) open(path string) (*tensor.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the scratch folder: %v", err)
	}
	o.closers = append(o.closers, f)
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the scratch folder: %v", err)
	}
	return tensor.OpenSafetensors(f, info.Size())
}

// sections returns one tensor's values in two files.
func sections(a, b *tensor.File, name string) (inA, inB *io.SectionReader, err error) {
	if inA, err = a.Section(name); err != nil {
		return nil, nil, err
	}
	inB, err = b.Section(name)
	return inA, inB, err
}
