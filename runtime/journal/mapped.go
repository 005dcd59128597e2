//go:build unix

package journal

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Mapping is a file in the address space: its pages are the system's, which
// brings them when they are read, and takes them back when it needs them. The
// file must not become shorter meanwhile; objects of a journal never change.
//
// It lives until Release was called as often as Retain, and once more.
type Mapping struct {
	data  []byte
	users atomic.Int64
}

// Map maps an object or draft of a folder of the local file system; of any other
// store's, the error wraps [errors.ErrUnsupported]. An empty one cannot be
// mapped. It may be closed, or discarded, before the mapping.
func Map(o interface{ Size() int64 }) (*Mapping, error) {
	f := fileOf(o)
	if f == nil {
		return nil, fmt.Errorf("cannot map %T: %w", o, errors.ErrUnsupported)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(o.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %q: %w", f.Name(), err)
	}
	return &Mapping{data: data}, nil
}

// Mappable says whether [Map] can map o.
func Mappable(o interface{ Size() int64 }) bool { return fileOf(o) != nil }

func fileOf(o any) *os.File {
	switch o := o.(type) {
	case fileObject:
		return o.File
	case *fileDraft:
		return o.f
	}
	return nil
}

// Map is [Map] for the model's file.
func (m *Model) Map() (*Mapping, error) { return Map(m.object) }

// Map is [Map] for the steps' file.
func (s *Steps) Map() (*Mapping, error) { return Map(s.Object) }

// Bytes is n bytes at off, which must lie in the file. They may only be read, and
// only while the mapping lives.
func (m *Mapping) Bytes(off, n int64) []byte { return m.data[off : off+n : off+n] }

// Retain has the mapping live until one more Release.
func (m *Mapping) Retain() { m.users.Add(1) }

// Release ends one use.
func (m *Mapping) Release() {
	if m.users.Add(-1) < 0 {
		_ = unix.Munmap(m.data) // of a mapping of our own, which cannot fail
	}
}

// Evict takes the pages out of this process's memory. Whoever reads them gets
// them back, as a rule from the system's cache.
func (m *Mapping) Evict() {
	_ = unix.Madvise(m.data, unix.MADV_DONTNEED) // without which they stay until memory is short
}
