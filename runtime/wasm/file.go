package wasm

import (
	"io/fs"
	"os"

	wasifs "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
)

// file is an open regular file or folder of a tree. What it may do is what the
// operating system lets its descriptor do, as tree.OpenFile has opened it.
type file struct {
	wasifs.File // reads, writes, seeks, lists and describes, as the engine does for any fs.File
	f           *os.File
	appends     bool
}

// newFile takes over f, whose name in the tree is needed to list a folder again.
func newFile(t *tree, name string, f *os.File, appends bool) (*file, wasifs.Errno) {
	opened := false
	open := opener(func() (fs.File, error) {
		if opened {
			return t.root.Open(name)
		}
		opened = true
		return f, nil
	})
	adapted, errno := (&sysfs.AdaptFS{FS: open}).OpenFile(".", wasifs.O_RDONLY, 0)
	return &file{File: adapted, f: f, appends: appends}, errno
}

// opener is a file system that has one file, whatever the name.
type opener func() (fs.File, error)

// Open calls o.
func (o opener) Open(string) (fs.File, error) { return o() }

// IsAppend says whether writes go to the end.
func (f *file) IsAppend() bool { return f.appends }

// SetAppend cannot change how the file was opened.
func (f *file) SetAppend(enable bool) wasifs.Errno {
	if enable != f.appends {
		return wasifs.ENOSYS
	}
	return 0
}

// Truncate cuts or extends to a size in bytes.
func (f *file) Truncate(size int64) wasifs.Errno {
	if size < 0 {
		return wasifs.EINVAL
	}
	return wasifs.UnwrapOSError(f.f.Truncate(size))
}

// Sync waits until what was written is on disk.
func (f *file) Sync() wasifs.Errno { return wasifs.UnwrapOSError(f.f.Sync()) }

// Datasync is Sync.
func (f *file) Datasync() wasifs.Errno { return f.Sync() }
