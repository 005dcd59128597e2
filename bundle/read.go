package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// CopyFile writes the content of one file to w. It reads and decompresses the
// frames that hold the file and no others, each of which has to have the digest
// that the manifest states; a file that fits into one frame is compared with its
// own digest before a byte of it is written, a larger one when it has been. What
// the rest of the bundle holds, and who vouches for it, it does not say. The
// error wraps fs.ErrNotExist if there is no such file, and schema.ErrInvalid if
// the bundle is damaged.
func (b *Bundle) CopyFile(w io.Writer, path string) error {
	i := slices.IndexFunc(b.manifest.Files, func(f File) bool { return f.Path == path })
	if i < 0 {
		return fmt.Errorf("the bundle has no file %q: %w", path, fs.ErrNotExist)
	}
	t, err := newTree(b)
	if err != nil {
		return err
	}
	defer t.dec.Close()
	f := b.manifest.Files[i]
	if f.Size <= b.manifest.FrameMax {
		data, err := t.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, bytes.NewReader(data))
		return err
	}
	sum := sha256.New()
	r := io.NewSectionReader(&file{t: t, file: i, info: info{name: f.Path, size: f.Size}}, 0, f.Size)
	if _, err := io.CopyBuffer(io.MultiWriter(w, sum), struct{ io.Reader }{r}, make([]byte, 1<<20)); err != nil {
		return err
	}
	if [sha256.Size]byte(sum.Sum(nil)) != f.SHA256 {
		return digestError(f)
	}
	return nil
}
