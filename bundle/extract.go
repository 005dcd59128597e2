package bundle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Extract writes the bundle's files into a new folder dir, which must not
// exist. The bytes are verified again on their way; the work happens in a
// folder beside dir that is renamed when whole and removed on any error. Files
// become 0444 or 0555 and folders 0555, so that nothing changes by accident
// what was reviewed.
func (c *Checked) Extract(ctx context.Context, dir string, progress func(written int64)) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("cannot extract to %q: it exists", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot extract: %w", err)
	}
	dir = filepath.Clean(dir)
	temp := fmt.Sprintf("%s.%s-%s.tmp", dir, c.id.String()[:12], rand.Text()[:8])
	if err := os.Mkdir(temp, 0o700); err != nil {
		return fmt.Errorf("cannot extract: %w", err)
	}
	if err := c.extractTo(ctx, temp, dir, progress); err != nil {
		removeAll(temp)
		return fmt.Errorf("cannot extract to %q: %w", dir, err)
	}
	return nil
}

func (c *Checked) extractTo(ctx context.Context, temp, dir string, progress func(int64)) error {
	if err := c.fill(ctx, temp, progress); err != nil {
		return err
	}
	if err := syncFiles(temp); err != nil {
		return err
	}
	// The name appears only when everything is in place and on the disk.
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// fill writes all files below temp.
func (c *Checked) fill(ctx context.Context, temp string, progress func(int64)) (err error) {
	root, err := os.OpenRoot(temp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	x := &extractor{files: c.manifest.Files, root: root}
	if err = errors.Join(c.scan(ctx, progress, x.write, nil), x.close()); err != nil {
		return err
	}
	return c.tree.sealFolders(root)
}

// extractor writes one file at a time.
type extractor struct {
	files []File
	root  *os.Root
	out   *os.File
}

func (x *extractor) write(i int, from int64, data []byte) error {
	f := x.files[i]
	if from == 0 {
		if dir := path.Dir(f.Path); dir != "." {
			if err := x.root.MkdirAll(dir, 0o700); err != nil {
				return err
			}
		}
		out, err := x.root.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		x.out = out
	}
	if _, err := x.out.Write(data); err != nil {
		return err
	}
	if from+int64(len(data)) < f.Size {
		return nil
	}
	mode := fs.FileMode(0o444)
	if f.Executable {
		mode = 0o555
	}
	if err := x.out.Chmod(mode); err != nil {
		return err
	}
	if syncEach {
		if err := x.out.Sync(); err != nil {
			return err
		}
	}
	return x.close()
}

func (x *extractor) close() error {
	if x.out == nil {
		return nil
	}
	err := x.out.Close()
	x.out = nil
	return err
}

// sealFolders makes every folder below the top read-only.
func (t *tree) sealFolders(root *os.Root) error {
	for name := range t.dirs {
		if name == "." {
			continue
		}
		if err := root.Chmod(filepath.FromSlash(name), 0o555); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes a half-made extraction, read-only folders included. What it
// cannot remove stays under a name that says it is temporary.
func removeAll(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}

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
