package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// errReadOnly is what writing to a journal that was opened for reading gives.
var errReadOnly = errors.New("the journal is open for reading only")

// ReadOnly is the store of a journal's folder without the right to change it. It
// takes no lock, so that it works beside a running participant; objects that are
// removed meanwhile are fs.ErrNotExist.
type ReadOnly struct{ dir Dir }

// OpenReadOnly opens a journal's folder for reading. Nothing in it changes, and it
// must exist.
func OpenReadOnly(path string) (*ReadOnly, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal %q: %w", path, err)
	}
	return &ReadOnly{Dir{path: path, root: root}}, nil
}

// Close closes the folder.
func (r *ReadOnly) Close() error { return r.dir.root.Close() }

// Path returns the folder.
func (r *ReadOnly) Path() string { return r.dir.path }

// Draft implements [Store]; it always fails.
func (r *ReadOnly) Draft() (Draft, error) { return nil, errReadOnly }

// Open implements [Store].
func (r *ReadOnly) Open(name string) (Object, error) { return r.dir.Open(name) }

// List implements [Store].
func (r *ReadOnly) List(prefix string) ([]string, error) { return r.dir.List(prefix) }

// Remove implements [Store]; it always fails.
func (r *ReadOnly) Remove(string) error { return errReadOnly }

// Stat says when an object was written, as the file system remembers it, and its
// size.
func (r *ReadOnly) Stat(name string) (fs.FileInfo, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return r.dir.root.Stat(name)
}

// Read opens the journal in a store as it is, whatever federation it is of.
func Read(store Store) (*Journal, Federation, error) {
	j := &Journal{store: store}
	var f Federation
	err := j.read("federation.json", &f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f, fmt.Errorf("this is no journal: it has no federation.json: %w", err)
	}
	return j, f, err
}
