package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// NewFile is a file that is to be made.
type NewFile struct {
	Path string
	Data []byte
}

// CreateFiles is [CreateFile] for many files: each appears whole or not at all
// and never over another, and all are durable when it returns without an error.
// The disk is asked for many files at once, which costs little more than one.
func CreateFiles(files []NewFile, perm fs.FileMode) error {
	const atOnce = 16
	errs := make([]error, len(files))
	folders := map[string]bool{}
	var wait sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, f := range files {
		folders[filepath.Dir(f.Path)] = true
		slots <- struct{}{}
		wait.Go(func() {
			errs[i] = createUnsynced(f.Path, f.Data, perm)
			<-slots
		})
	}
	wait.Wait()
	Fault()
	for dir := range folders {
		errs = append(errs, syncDir(dir))
	}
	Fault()
	return errors.Join(errs...)
}

// createUnsynced writes a file whose bytes are durable and whose name is not
// yet: that is the folder's to keep.
func createUnsynced(path string, data []byte, perm fs.FileMode) error {
	Fault()
	tmp, err := writeTemp(path, data, perm)
	if err == nil {
		Fault()
		if err = os.Link(tmp, path); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) { // FAT says EPERM
			err = linkless(tmp, path)
		}
		Fault()
		err = errors.Join(err, os.Remove(tmp))
	}
	return createError(path, err)
}
