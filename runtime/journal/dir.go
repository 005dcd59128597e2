package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	draftsFolder = ".drafts"
	lockFile     = ".lock"
)

// Dir is a [Store] in a folder of the local file system.
type Dir struct {
	// Before is called, if it is not nil, before every step that makes something
	// durable, names it or removes it. A test that ends the process there proves that
	// it can be started again. It is set before the store is used.
	Before func(step, name string)

	path string
	root *os.Root
	lock *os.File
}

func (d *Dir) before(step, name string) {
	if d.Before != nil {
		d.Before(step, name)
	}
}

// OpenDir opens the store in a folder, which is created if it is absent
// (mode 0700: results of single collaborators are nobody else's business), and
// locks it against other processes. Drafts that a killed process left behind
// are removed.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(filepath.Join(path, draftsFolder), 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the journal %q: %w", path, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal %q: %v", path, err)
	}
	d := &Dir{path: path, root: root}
	if d.lock, err = lockFolder(path); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := d.sweep(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// sweep removes drafts: nobody can refer to them.
func (d *Dir) sweep() error {
	names, err := fs.ReadDir(d.root.FS(), draftsFolder)
	if err != nil {
		return fmt.Errorf("cannot read the journal %q: %v", d.path, err)
	}
	for _, n := range names {
		if err := d.root.Remove(draftsFolder + "/" + n.Name()); err != nil {
			return fmt.Errorf("cannot clean the journal %q: %w", d.path, err)
		}
	}
	return nil
}

// Close unlocks the store.
func (d *Dir) Close() error {
	return errors.Join(d.lock.Close(), d.root.Close())
}

// Path returns the folder.
func (d *Dir) Path() string { return d.path }

// Draft implements [Store].
func (d *Dir) Draft() (Draft, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("cannot name a draft: %v", err)
	}
	name := draftsFolder + "/" + hex.EncodeToString(b[:])
	d.before("draft", name)
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write to the journal %q: %w", d.path, err)
	}
	return &fileDraft{dir: d, name: name, f: f}, nil
}

// Open implements [Store].
func (d *Dir) Open(name string) (Object, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	// A link leads elsewhere, and a pipe would never let go.
	if info, err := d.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, Damagef("%q is no regular file", name)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open %q of the journal: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open %q of the journal: %v", name, err), f.Close())
	}
	return fileObject{File: f, size: info.Size()}, nil
}

// List implements [Store].
func (d *Dir) List(prefix string) ([]string, error) {
	if err := checkName(prefix); err != nil {
		return nil, err
	}
	var names []string
	err := fs.WalkDir(d.root.FS(), prefix, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			if p == prefix && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if e.Type().IsRegular() {
			names = append(names, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list %q of the journal: %v", prefix, err)
	}
	slices.Sort(names)
	return names, nil
}

// Remove implements [Store].
func (d *Dir) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	d.before("remove", name)
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove %q from the journal: %w", name, err)
	}
	return nil
}

func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q is no name for a journal object", name)
	}
	return nil
}

// fileObject is an open object.
type fileObject struct {
	*os.File
	size int64
}

func (o fileObject) Size() int64 { return o.size }

// fileDraft is a draft in the drafts folder.
type fileDraft struct {
	dir  *Dir
	name string
	f    *os.File
	size int64
	done bool
}

func (w *fileDraft) Size() int64 { return w.size }

func (w *fileDraft) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("cannot write to the journal %q: %w", w.dir.path, err)
	}
	return n, nil
}

func (w *fileDraft) ReadAt(p []byte, off int64) (int, error) { return w.f.ReadAt(p, off) }

// settle makes the content durable, without a name.
func (w *fileDraft) settle() error {
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("cannot write to the journal %q: %v", w.dir.path, err)
	}
	return nil
}

// Commit makes the draft durable in this order: content, name, folder. The
// name is given by a hard link, which fails when the name is taken; a rename
// would replace. Only after the folder is synced would a power cut keep the
// new name.
func (w *fileDraft) Commit(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	defer func() { _ = w.Discard() }() // what was not linked is removed; a leftover is swept at the next start
	w.dir.before("sync", name)
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("cannot write %q to the journal: %w", name, err)
	}
	folder := filepath.ToSlash(filepath.Dir(name))
	if err := w.dir.makeFolder(folder); err != nil {
		return err
	}
	w.dir.before("link", name)
	if err := w.dir.root.Link(w.name, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot write %q to the journal: %w", name, ErrExists)
		}
		return fmt.Errorf("cannot write %q to the journal: %w", name, err)
	}
	return w.dir.syncFolder(folder)
}

// Discard removes the draft.
func (w *fileDraft) Discard() error {
	if w.done {
		return nil
	}
	w.done = true
	w.dir.before("discard", w.name)
	return errors.Join(w.f.Close(), w.dir.root.Remove(w.name))
}

// makeFolder creates a folder and its parents and makes their names durable.
func (d *Dir) makeFolder(folder string) error {
	if folder == "." {
		return nil
	}
	if _, err := d.root.Stat(folder); err == nil {
		return nil
	}
	parent := filepath.ToSlash(filepath.Dir(folder))
	if err := d.makeFolder(parent); err != nil {
		return err
	}
	d.before("mkdir", folder)
	if err := d.root.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot create %q in the journal: %w", folder, err)
	}
	return d.syncFolder(parent)
}

func (d *Dir) syncFolder(folder string) error {
	d.before("sync folder", folder)
	f, err := d.root.Open(folder)
	if err == nil {
		err = f.Sync()
		if runtime.GOOS == "windows" {
			err = nil // folders cannot be synced there
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("cannot make %q of the journal durable: %w", folder, err)
	}
	return nil
}
