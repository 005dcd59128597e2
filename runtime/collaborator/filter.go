package collaborator

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/schema"
)

// outgoing is the tensors of a result as they may leave: after the egress
// filters.
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
	if o.file, err = o.stored(c, done.Tensors); err != nil {
		return nil, fmt.Errorf("cannot read what task %q made: %w", task.Name, err)
	}
	if o.infos, o.dropped, err = c.contract.Select(task.Name, o.file.Infos()); err != nil {
		return nil, err
	}
	if !c.contract.Changes() || len(o.infos) == 0 {
		return o, nil
	}
	if !c.contract.Noises() {
		return o, c.filter(ctx, round, task, o, func(write func(io.Writer) error) (*tensor.File, error) {
			return o.scratch(c, "outgoing.safetensors", write)
		})
	}
	return o, c.release(ctx, round, task, done, o)
}

// filtersKey is the metadata of a stored release that says which filters changed
// which tensor.
const filtersKey = "fx.filters"

// release replaces the tensors by a noised copy that is durable before anything
// is recorded or sent: noise is drawn once for a result, and after a restart the
// same bytes leave. Two copies with different noise would cost privacy twice.
func (c *collaborator) release(ctx context.Context, round int, task schema.Task, done *record, o *outgoing) error {
	name := strings.TrimSuffix(done.Tensors, ".safetensors") + "-" + c.contract.FilterID() + ".out.safetensors"
	file, err := o.stored(c, name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := c.contract.Afford(c.Ledger, task.Name, round); err != nil {
			return err
		}
		return c.filter(ctx, round, task, o, func(write func(io.Writer) error) (*tensor.File, error) {
			if err := c.keep(name, write); err != nil {
				return nil, err
			}
			return o.stored(c, name)
		})
	}
	if err != nil {
		return err
	}
	if err := schema.DecodeJSON(name, []byte(file.Metadata()[filtersKey]), tensor.MaxSafetensorsHeader, &o.filters); err != nil {
		return err
	}
	o.file = file
	return nil
}

// filter replaces the tensors by a filtered copy, unless no filter has reason to
// change any. save makes the copy and opens it.
func (c *collaborator) filter(ctx context.Context, round int, task schema.Task, o *outgoing, save func(func(io.Writer) error) (*tensor.File, error)) error {
	path, _, err := c.global(ctx, round)
	if err != nil {
		return err
	}
	base, err := o.open(path)
	if err != nil {
		return err
	}
	sources, applied, err := c.contract.Changed(egress.Training{Task: task.Name, Made: o.file, Base: base, Random: rand.Reader}, o.infos)
	if err != nil {
		return err
	}
	if c.contract.Quantises() { // which needs the range of what noise made
		changed, err := o.scratch(c, "changed.safetensors", func(w io.Writer) error { return tensor.WriteSafetensors(w, nil, sources) })
		if err != nil {
			return err
		}
		if sources, err = c.contract.Rounded(changed, o.infos, applied); err != nil {
			return err
		}
	}
	if len(applied) == 0 {
		return nil
	}
	which, err := json.Marshal(applied)
	if err != nil {
		return fmt.Errorf("cannot store what leaves: %v", err)
	}
	o.filters = applied
	o.file, err = save(func(w io.Writer) error {
		return tensor.WriteSafetensors(w, map[string]string{filtersKey: string(which)}, sources)
	})
	return err
}

// scratch writes a file of tensors for the task at hand, and opens it.
func (o *outgoing) scratch(c *collaborator, name string, write func(io.Writer) error) (*tensor.File, error) {
	path, _, err := c.scratchFile(name, write)
	if err != nil {
		return nil, err
	}
	return o.open(path)
}

// stored opens a file of tensors in the store.
func (o *outgoing) stored(c *collaborator, name string) (*tensor.File, error) {
	object, err := c.Store.Open(name)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, object)
	file, err := tensor.OpenOutput(object, object.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrIncomplete)
	}
	return file, nil
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
