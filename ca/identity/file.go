package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadFile reads a regular file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, Invalidf("cannot read %q: it is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, cause(err))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, cause(err))
	}
	if int64(len(data)) > limit {
		return nil, Invalidf("cannot read %q: it is larger than %d bytes", path, limit)
	}
	return data, nil
}

// CreateFile writes a new file durably: all of it or nothing, and never over
// anything that has the name already, be it a file or a link.
func CreateFile(path string, data []byte, perm fs.FileMode) error {
	return CreateFiles([]NewFile{{path, data}}, perm)
}

func createError(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot create %q: it exists already and is never overwritten: %w", path, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("cannot create %q: %w", path, cause(err))
	}
	return nil
}

// ReplaceFile writes a file durably in place of what may have the name: readers
// see the old bytes or the new, never a mixture. A link of that name is
// replaced, not followed.
func ReplaceFile(path string, data []byte, perm fs.FileMode) error {
	Fault()
	tmp, err := writeTemp(path, data, perm)
	if err == nil {
		Fault()
		if err = os.Rename(tmp, path); err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}
	if err == nil {
		Fault()
		err = syncDir(filepath.Dir(path))
		Fault()
	}
	if err != nil {
		return fmt.Errorf("cannot write %q: %w", path, cause(err))
	}
	return nil
}

// writeTemp leaves data, synced, in a new file beside path.
func writeTemp(path string, data []byte, perm fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", err
	}
	Fault()
	err = f.Chmod(perm)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		Fault()
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// linkless takes a name exclusively on file systems that have no hard links. A
// crash may leave a part of the file there, never a part of an older one.
func linkless(tmp, path string) error {
	claim, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(tmp)
	if err == nil {
		_, err = claim.Write(data)
	}
	if err == nil {
		err = claim.Sync()
	}
	if err = errors.Join(err, claim.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// syncDir makes names in a folder durable: without it a crash may forget a
// file whose bytes are safe. Systems that cannot sync a folder say so with an
// error that is of no use to anybody.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}

// cause strips the operation and path that os errors repeat.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}
