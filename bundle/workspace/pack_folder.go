package workspace

import (
	"errors"
	"io"
	"io/fs"
)

// openFolder is an open folder of a selection.
type openFolder struct {
	folder
	entries []fs.DirEntry
	at      int
}

func (d *openFolder) Stat() (fs.FileInfo, error) { return d.folder, nil }
func (d *openFolder) Close() error               { return nil }

func (d *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a folder")}
}

// ReadDir returns the next n entries, all of the rest if n <= 0.
func (d *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
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
