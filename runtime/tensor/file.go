package tensor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFile streams a file of tensors: fill writes it under a temporary name in
// the same folder, and it appears under its own when it is whole and on disk.
// Without replace a file that is there already is left alone, and the error
// wraps fs.ErrExist. If fill fails nothing is left behind.
func WriteFile(path string, replace bool, fill func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); !replace && err == nil {
		return fmt.Errorf("cannot write %q: %w", path, fs.ErrExist) // before the work
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*")
	if err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
		if rest := os.Remove(f.Name()); rest != nil && !errors.Is(rest, fs.ErrNotExist) && err == nil {
			err = fmt.Errorf("cannot write %q: %v", path, rest)
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	if err := fill(w); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	for _, step := range []func() error{w.Flush, func() error { return f.Chmod(0o644) }, f.Sync, f.Close} {
		if err := step(); err != nil {
			return fmt.Errorf("cannot write %q: %w", path, err)
		}
	}
	appear := os.Rename
	if !replace {
		appear = link
	}
	if err := appear(f.Name(), path); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return syncDir(dir)
}

// link fails where a file has appeared meanwhile. Where a file system has no
// hard links, a rename must do.
func link(from, to string) error {
	err := os.Link(from, to)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return os.Rename(from, to)
	}
	return err
}

// syncDir makes a new name in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync folder %q: %v", dir, err)
	}
	err = d.Sync()
	if runtime.GOOS == "windows" {
		err = nil // folders cannot be synced there
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("cannot sync folder %q: %v", dir, err)
	}
	return nil
}
