package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// tree serves a bundle's files as an fs.FS. It keeps one decompressed frame, so
// that reading a file from its start to its end decompresses each frame once.
type tree struct {
	b     *Bundle
	index map[string]int           // path -> file
	dirs  map[string][]fs.DirEntry // path of a folder -> its entries in name order

	mu     sync.Mutex
	dec    *zstd.Decoder
	buf    buffers
	loaded int    // the frame that plain holds, or -1
	plain  []byte // verified bytes
}

func newTree(b *Bundle) (*tree, error) {
	dec, err := newDecoder(workerCount(0), b.layout.largest())
	if err != nil {
		return nil, fmt.Errorf("cannot start the decompressor: %v", err)
	}
	t := &tree{b: b, dec: dec, loaded: -1, index: map[string]int{}, dirs: map[string][]fs.DirEntry{".": nil}}
	for i, f := range b.manifest.Files {
		t.index[f.Path] = i
		t.add(info{name: f.Path, size: f.Size, executable: f.Executable})
	}
	for _, entries := range t.dirs {
		sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	}
	return t, nil
}

// add enters a file or folder into its parent, and new parents into theirs.
func (t *tree) add(i info) {
	dir := path.Dir(i.name)
	_, known := t.dirs[dir]
	t.dirs[dir] = append(t.dirs[dir], fs.FileInfoToDirEntry(i))
	if !known {
		t.add(info{name: dir, dir: true})
	}
}

// Open opens a file or folder.
func (t *tree) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if entries, ok := t.dirs[name]; ok {
		return &openDir{info: info{name: name, dir: true}, entries: entries}, nil
	}
	i, ok := t.index[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f := t.b.manifest.Files[i]
	return &file{t: t, file: i, info: info{name: f.Path, size: f.Size, executable: f.Executable}}, nil
}

// ReadFile returns a whole file and compares its digest again.
func (t *tree) ReadFile(name string) ([]byte, error) {
	i, ok := t.index[name]
	if !ok {
		err := fs.ErrNotExist
		if _, dir := t.dirs[name]; dir || !fs.ValidPath(name) {
			err = fs.ErrInvalid
		}
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	f := t.b.manifest.Files[i]
	data := make([]byte, f.Size)
	if _, err := t.readAt(i, data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	if sha256.Sum256(data) != f.SHA256 {
		return nil, &fs.PathError{Op: "read", Path: name, Err: digestError(f)}
	}
	return data, nil
}

// ReadDir returns a folder's entries in name order.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, ok := t.dirs[name]
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return append([]fs.DirEntry(nil), entries...), nil
}

// readAt copies content of file i from off on, frame by frame.
func (t *tree) readAt(i int, p []byte, off int64) (n int, err error) {
	size := t.b.manifest.Files[i].Size
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off >= size {
		return 0, io.EOF
	}
	short := int64(len(p)) > size-off
	if short {
		p = p[:size-off]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.b.layout.members[i].content + off
	for n < len(p) {
		k := t.b.layout.frameAt(at)
		if err := t.load(k); err != nil {
			return n, err
		}
		from, _ := t.b.layout.span(k)
		c := copy(p[n:], t.plain[at-from:])
		n += c
		at += int64(c)
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// load makes frame k the one that is kept. The digest of its compressed bytes
// is compared each time; Check has shown that those bytes hold the right files.
func (t *tree) load(k int) error {
	if t.loaded == k {
		return nil
	}
	t.loaded = -1
	plain, err := t.b.readFrame(t.dec, k, &t.buf)
	if err != nil {
		return err
	}
	t.plain, t.loaded = plain, k
	return nil
}

// file is a file of the tree. Reads may come from several goroutines
// through ReadAt; Read and Seek share one offset.
type file struct {
	info
	t    *tree
	file int
	at   int64
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.t.readAt(f.file, p, off) }

func (f *file) Read(p []byte) (int, error) {
	n, err := f.t.readAt(f.file, p, f.at)
	f.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrInvalid}
	}
	f.at = offset
	return offset, nil
}

// openDir is a folder of the tree.
type openDir struct {
	info
	entries []fs.DirEntry
	at      int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a folder")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.entries[d.at:]
	if n > 0 && len(rest) == 0 {
		return nil, io.EOF
	}
	if n > 0 && n < len(rest) {
		rest = rest[:n]
	}
	d.at += len(rest)
	return append([]fs.DirEntry(nil), rest...), nil
}

// info describes a file or folder of the tree; all are read-only, and the time
// is the fixed one of the tar headers.
type info struct {
	name       string // the whole path
	size       int64
	executable bool
	dir        bool
}

func (i info) Name() string       { return path.Base(i.name) }
func (i info) Size() int64        { return i.size }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) ModTime() time.Time { return time.Unix(epoch, 0).UTC() }

func (i info) Mode() fs.FileMode {
	switch {
	case i.dir:
		return fs.ModeDir | 0o555
	case i.executable:
		return 0o555
	}
	return 0o444
}
