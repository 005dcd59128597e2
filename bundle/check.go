package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// Checked is a bundle every byte of which agrees with its manifest. Nobody has
// approved it: it is for the publisher who signs it and the reviewer who reads
// it. Only a *Verified may be run.
type Checked struct {
	*Bundle
	tree *tree
	file *[sha256.Size]byte // of the whole file, nil when it was not asked for
}

// FileSHA256 is that of the bundle, and costs nothing after CheckAndHash.
func (c *Checked) FileSHA256() ([sha256.Size]byte, error) {
	if c.file != nil {
		return *c.file, nil
	}
	return c.Bundle.FileSHA256()
}

// Check reads the whole bundle and proves its integrity: every frame digest
// before that frame is decompressed, every tar header, padding byte and closing
// zero, every file digest. Open has already compared the head frame, the seek
// table and the length. Errors wrap schema.ErrInvalid, except those of the
// reader. progress, which may be nil, is told the uncompressed bytes of each
// frame that is done.
func (b *Bundle) Check(ctx context.Context, progress func(checked int64)) (*Checked, error) {
	return b.check(ctx, progress, nil)
}

// CheckAndHash does what Check does and takes the SHA-256 of the whole file on
// the way, for those who sign it: FileSHA256 then costs nothing more.
func (b *Bundle) CheckAndHash(ctx context.Context, progress func(checked int64)) (*Checked, error) {
	whole := sha256.New()
	end := b.offsets[len(b.manifest.Frames)]
	if _, err := io.Copy(whole, io.NewSectionReader(b.r, 0, b.offsets[0])); err != nil {
		return nil, fmt.Errorf("cannot read the head frame: %v", err)
	}
	c, err := b.check(ctx, progress, whole)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(whole, io.NewSectionReader(b.r, end, b.size-end)); err != nil {
		return nil, fmt.Errorf("cannot read the seek table: %v", err)
	}
	c.file = (*[sha256.Size]byte)(whole.Sum(nil))
	return c, nil
}

func (b *Bundle) check(ctx context.Context, progress func(int64), whole hash.Hash) (*Checked, error) {
	if err := b.scan(ctx, progress, nil, whole); err != nil {
		return nil, err
	}
	return b.checked()
}

// checked is for callers whose scan has found everything in order.
func (b *Bundle) checked() (*Checked, error) {
	t, err := newTree(b)
	if err != nil {
		return nil, err
	}
	return &Checked{Bundle: b, tree: t}, nil
}

// Workspace returns the bundle's files. Every read goes to the bundle again,
// decompresses the frames it needs and no others, and compares digests once
// more, so that a file changed since Check gives an error, not other bytes. The
// files implement io.ReaderAt and io.Seeker. It is valid until Close.
func (c *Checked) Workspace() fs.FS { return c.tree }

// NewWorkspace returns what Workspace does, with a frame of its own to keep in
// memory, for a goroutine that reads beside others.
func (c *Checked) NewWorkspace() fs.FS {
	return &tree{b: c.tree.b, index: c.tree.index, dirs: c.tree.dirs, dec: c.tree.dec, loaded: -1}
}

// ContentSize returns how many uncompressed bytes Check and Extract go through.
func (b *Bundle) ContentSize() int64 { return b.layout.ends[len(b.layout.ends)-1] }

// scanned is one frame on its way through scan.
type scanned struct {
	buffers
	pieces []piece
	plain  []byte
}

// content returns the bytes of piece c, which is one of frame i.
func (f *scanned) content(l *layout, i int, c piece) []byte {
	from, _ := l.span(i)
	return f.plain[c.at-from : c.end-from]
}

// scan reads all data frames. Frames are read, hashed, decompressed and compared
// side by side, and their contents written if to is not nil; the contents of
// files that span frames are hashed in order, and so are the compressed bytes if
// whole is not nil.
func (b *Bundle) scan(ctx context.Context, progress func(int64), to *extractor, whole hash.Hash) error {
	workers := workerCount(0)
	dec, err := newDecoder(workers, b.layout.largest())
	if err != nil {
		return fmt.Errorf("cannot start the decompressor: %v", err)
	}
	defer dec.Close()
	s := &scanner{b: b, dec: dec, to: to}
	return inOrder(ctx, workers, len(b.layout.ends),
		func(i int, f *scanned) error {
			f.pieces = b.layout.pieces(i)
			return to.prepare(f.pieces)
		},
		s.frame,
		func(i int, f *scanned) error {
			if err := s.contents(f, i); err != nil {
				return err
			}
			if whole != nil {
				whole.Write(f.packed)
			}
			if progress != nil {
				progress(int64(len(f.plain)))
			}
			return nil
		})
}

type scanner struct {
	b   *Bundle
	dec *zstd.Decoder
	to  *extractor
	sum hash.Hash // of the file that spans frames
}

// frame checks everything about data frame i that can be known from it alone.
func (s *scanner) frame(i int, f *scanned) (err error) {
	if f.plain, err = s.b.readFrame(s.dec, i, &f.buffers); err != nil {
		return err
	}
	for _, c := range f.pieces {
		if err := s.b.checkPiece(c, f.content(s.b.layout, i, c)); err != nil {
			return err
		}
	}
	return s.to.write(s.b.layout, i, f)
}

// checkPiece is step 8, which compares a header or padding with the derived one,
// and step 9 for a file that is whole in this frame.
func (b *Bundle) checkPiece(c piece, data []byte) error {
	switch c.what {
	case pieceHeader:
		f := b.manifest.Files[c.file]
		if !bytes.Equal(data, tarHeader(f)) {
			return fault(CauseTarHeader, "the tar header of %q is not the one that the manifest implies", f.Path)
		}
		if f.Size == 0 && sha256.Sum256(nil) != f.SHA256 {
			return digestError(f)
		}
	case pieceContent:
		f := b.manifest.Files[c.file]
		if int64(len(data)) == f.Size && sha256.Sum256(data) != f.SHA256 {
			return digestError(f)
		}
	case pieceZero:
		for _, v := range data {
			if v != 0 {
				return fault(CauseTarZero, "padding in the tar at %d is not zero", c.at)
			}
		}
	}
	return nil
}

// contents is step 9 for files that span frames.
func (s *scanner) contents(f *scanned, i int) error {
	for _, c := range f.pieces {
		if c.what != pieceContent {
			continue
		}
		file, data := s.b.manifest.Files[c.file], f.content(s.b.layout, i, c)
		if int64(len(data)) == file.Size {
			continue
		}
		if c.from == 0 {
			s.sum = sha256.New()
		}
		s.sum.Write(data)
		if c.from+int64(len(data)) < file.Size {
			continue
		}
		if [sha256.Size]byte(s.sum.Sum(nil)) != file.SHA256 {
			return digestError(file)
		}
		if err := s.to.end(c.file); err != nil {
			return err
		}
	}
	return nil
}

func digestError(f File) error {
	return fault(CauseFileDigest, "the content of %q does not have the digest that the manifest states", f.Path)
}
