package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Write creates a workspace folder out of files, and then calls finish with the
// folder's temporary path to add what it likes. dir appears under its name when
// everything is in it and on disk. It must not exist, or be empty.
func Write(dir string, files []File, finish func(folder string) error) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return cannotCreate(dir, err)
	}
	if err := checkTarget(dir); err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return cannotCreate(dir, err)
	}
	folder, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".new-")
	if err != nil {
		return cannotCreate(dir, err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(folder)
		}
	}()
	if err := os.Chmod(folder, 0o755); err != nil {
		return cannotCreate(dir, err)
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(folder, filepath.FromSlash(f.Path)), f); err != nil {
			return cannotCreate(dir, err)
		}
	}
	if err := finish(folder); err != nil {
		return err
	}
	if err := syncFolders(folder); err != nil {
		return cannotCreate(dir, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannotCreate(dir, err)
	}
	if err := os.Rename(folder, dir); err != nil {
		return cannotCreate(dir, err)
	}
	return syncFolder(parent)
}

// cannotCreate leaves out the temporary name at which something went wrong.
func cannotCreate(dir string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("cannot create workspace %q: %v", dir, err)
}

// checkTarget refuses what a new workspace would overwrite.
func checkTarget(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot create workspace %q: there is something that is no folder, or cannot be read: %v", dir, err)
	case len(entries) > 0:
		return fmt.Errorf("cannot create workspace %q: the folder is not empty, and nothing is ever overwritten", dir)
	}
	if here, err := os.Getwd(); err == nil && here == dir {
		return fmt.Errorf("cannot create workspace %q: it is the current folder; name a new one", dir)
	}
	return nil
}

func writeFile(path string, file File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := file.Mode
	if mode == 0 {
		mode = 0o644
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(file.Data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolders(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
