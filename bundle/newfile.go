package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CreateFile packs workspace into a new file at path, which must not exist. See
// [Create] and [NewFile].
func CreateFile(ctx context.Context, path string, workspace fs.FS, o Options) (id ID, err error) {
	err = NewFile(path, func(f *os.File) error {
		id, err = Create(ctx, f, workspace, o)
		return err
	})
	if err != nil {
		return ID{}, fmt.Errorf("cannot create bundle %q: %w", path, err)
	}
	return id, nil
}

// NewFile has fill write a new file at path, which must not exist: under a
// temporary name in the same folder, fsynced, then linked into place, all of it
// or nothing.
func NewFile(path string, fill func(f *os.File) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%q exists", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close() // closed and checked below when all went well
		_ = os.Remove(f.Name())
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces what someone else put there.
	err = os.Link(f.Name(), path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) { // no hard links there; FAT says EPERM
		err = claim(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// claim takes a name that nobody has and renames the file at temp over it.
func claim(temp, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Rename(temp, path))
}

// syncDir makes a new name in dir survive a power failure. Systems that cannot
// sync a folder (Windows) order the rename themselves.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}
