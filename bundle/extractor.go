package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"
)

// extractor writes the contents of frames while scan goes over them: folders and
// files that span frames are made in order, contents are written side by side. A
// nil extractor writes nothing.
type extractor struct {
	files []File
	root  *os.Root
	dirs  map[string]bool // that exist; of prepare alone

	mu   sync.Mutex
	open map[int]*os.File // files that span frames
}

func newExtractor(files []File, root *os.Root) *extractor {
	return &extractor{files: files, root: root, dirs: map[string]bool{".": true}, open: map[int]*os.File{}}
}

// prepare makes the folders that a frame's files need, and opens the file that
// begins in it and goes on in the next.
func (x *extractor) prepare(pieces []piece) error {
	if x == nil {
		return nil
	}
	for _, c := range pieces {
		if c.what != pieceHeader {
			continue
		}
		f := x.files[c.file]
		if dir := path.Dir(f.Path); !x.dirs[dir] {
			if err := x.root.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			x.dirs[dir] = true
		}
	}
	for _, c := range pieces {
		if f := x.files; c.what != pieceContent || c.from > 0 || c.end-c.at == f[c.file].Size {
			continue
		}
		out, err := create(x.root, x.files[c.file].Path)
		if err != nil {
			return err
		}
		x.mu.Lock()
		x.open[c.file] = out
		x.mu.Unlock()
	}
	return nil
}

func create(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// write puts the contents of frame i, whose digest and headers are in order,
// into their files. Files that end here are whole, and their digests compared.
func (x *extractor) write(l *layout, i int, f *scanned) (err error) {
	if x == nil {
		return nil
	}
	folder := &openFolder{root: x.root}
	defer func() { err = errors.Join(err, folder.close()) }()
	for _, c := range f.pieces {
		if c.file == len(x.files) {
			continue
		}
		file := x.files[c.file]
		switch {
		case c.what == pieceHeader && file.Size == 0:
			err = folder.write(file, nil)
		case c.what != pieceContent:
			continue
		case c.end-c.at == file.Size:
			err = folder.write(file, f.content(l, i, c))
		default:
			x.mu.Lock()
			out := x.open[c.file]
			x.mu.Unlock()
			_, err = out.WriteAt(f.content(l, i, c), c.from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// end closes a file that spans frames, all of which are written.
func (x *extractor) end(file int) error {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	out := x.open[file]
	delete(x.open, file)
	x.mu.Unlock()
	return seal(out, x.files[file])
}

// seal gives a file that is whole its mode and closes it.
func seal(out *os.File, f File) error {
	mode := fs.FileMode(0o444)
	if f.Executable {
		mode = 0o555
	}
	return errors.Join(out.Chmod(mode), out.Close())
}

// close closes what an error left open.
func (x *extractor) close() (err error) {
	for _, out := range x.open {
		err = errors.Join(err, out.Close())
	}
	return err
}

// openFolder keeps the folder of the last file open: its neighbours follow, and
// looking up their whole paths anew would take longer than writing them.
type openFolder struct {
	root *os.Root
	name string
	dir  *os.Root
}

func (o *openFolder) write(f File, data []byte) error {
	if name := path.Dir(f.Path); o.dir == nil || o.name != name {
		if err := o.close(); err != nil {
			return err
		}
		dir, err := o.root.OpenRoot(name)
		if err != nil {
			return err
		}
		o.name, o.dir = name, dir
	}
	out, err := create(o.dir, path.Base(f.Path))
	if err != nil {
		return err
	}
	if _, err := out.Write(data); err != nil {
		return errors.Join(err, out.Close())
	}
	return seal(out, f)
}

func (o *openFolder) close() error {
	if o.dir == nil {
		return nil
	}
	err := o.dir.Close()
	o.dir = nil
	return err
}
