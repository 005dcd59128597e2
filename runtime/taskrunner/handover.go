package taskrunner

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"fx/runtime/sandbox"
	"fx/runtime/tensor"
)

// lend puts a file of tensors into the box without copying it, where the file
// system allows, and returns its path there. takeBack removes it again.
func (h *hosted) lend(file string) (name string, takeBack func(), err error) {
	if file == "" {
		return "", func() {}, nil
	}
	info, err := os.Lstat(file)
	if err != nil {
		return "", nil, fmt.Errorf("cannot hand over the model: %v", err)
	}
	base := filepath.Base(file)
	to := filepath.Join(h.inputs(), base)
	fail := func(err error) (string, func(), error) {
		return "", nil, fmt.Errorf("cannot hand over the model %q: %v", file, err)
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := os.Link(file, to); err != nil {
		if err := copyFile(to, file); err != nil {
			return fail(err)
		}
	}
	if err := os.Chmod(to, 0o444); err != nil {
		return fail(err)
	}
	return path.Join(sandbox.InputsDir, base), func() {
		err := os.Chmod(to, info.Mode().Perm()) // of a link it is the original's
		if err := errors.Join(err, os.Remove(to)); err != nil {
			h.o.Log.Warn("cannot take back the task code's inputs", "error", err.Error())
		}
	}, nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// made opens a file of tensors that the task code made, and checks it. It may
// still change: whoever sends it on checks what was read.
func (h *hosted) made(name string) (f *os.File, n int64, err error) {
	f, err = h.session.box.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("it says that it wrote tensors, but: %v", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // read only
			f = nil
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if limit := cmp.Or(h.terms.limits.Scratch, sandbox.DefaultLimits().Scratch); info.Size() > limit {
		return nil, 0, fmt.Errorf("the tensors that it wrote claim %d bytes; the box has %s of scratch: raise it with --box-scratch, or box.scratch in the plan", info.Size(), size(limit))
	}
	if _, err := tensor.OpenOutput(f, info.Size()); err != nil {
		return nil, 0, fmt.Errorf("the tensors that it wrote are no safetensors file: %s", clean(err.Error(), maxTaskError))
	}
	return f, info.Size(), nil
}

// collect copies a file of tensors that the task code made.
func (h *hosted) collect(name, to string) error {
	in, n, err := h.made(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep the tensors of the task code: %v", err)
	}
	copied, err := io.Copy(out, io.LimitReader(in, n))
	if err == nil && copied != n {
		err = errors.New("the task code changed them meanwhile")
	}
	if err := errors.Join(err, out.Close()); err != nil {
		_ = os.Remove(to) // nothing half is left behind
		return fmt.Errorf("cannot keep the tensors of the task code: %v", err)
	}
	return nil
}
