package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// Options describe a bundle to be created.
type Options struct {
	Name, Version string             // required; see FORMAT.md for the alphabet
	FrameMax      int64              // bytes, a multiple of 512; 0 means [FrameMax]
	Workers       int                // encoders side by side; 0 means one per processor, at most 8
	Progress      func(packed int64) // told the uncompressed bytes of each frame written; may be nil
}

// Create packs every file of workspace into w in one pass and returns the new
// bundle's id. The same tree gives the same bytes, whatever the number of
// workers, the machine, its clock and its user. Memory is about two frames per
// worker and does not grow with the tree.
//
// workspace must hold nothing but folders and regular files that do not change
// meanwhile; what may be packed is decided before (package workspace). w must be
// empty, and the caller makes it durable. Errors about the tree wrap
// schema.ErrInvalid.
func Create(ctx context.Context, w io.WriterAt, workspace fs.FS, o Options) (ID, error) {
	p := &packer{tree: workspace, m: manifest{
		Name: o.Name, Version: o.Version, Encoder: encoderName, FrameMax: o.FrameMax,
	}}
	if p.m.FrameMax == 0 {
		p.m.FrameMax = FrameMax
	}
	if err := p.walk(); err != nil {
		return ID{}, err
	}
	defer p.closeFile()
	l, err := deriveLayout(p.m.Files, p.m.FrameMax, -1)
	if err != nil {
		return ID{}, err
	}
	p.l = l
	p.m.Frames = make([]frame, len(l.ends))
	manifestLen := p.m.encodedLen()
	if manifestLen > maxManifest {
		return ID{}, fault(CauseManifestSize, "the workspace needs a manifest of %d bytes, allowed are %d: it is too large for one bundle", manifestLen, maxManifest)
	}
	workers := workerCount(o.Workers)
	enc, err := newEncoder(workers)
	if err != nil {
		return ID{}, fmt.Errorf("cannot start the compressor: %v", err)
	}
	head := headLen(int64(manifestLen))
	at := head
	err = inOrder(ctx, workers, len(l.ends), p.read,
		func(_ int, s *packed) error { return s.encode(enc) },
		func(i int, s *packed) error {
			if _, err := w.WriteAt(s.packed, at); err != nil {
				return fmt.Errorf("cannot write frame %d: %w", i+1, err)
			}
			p.m.Frames[i] = frame{csize: uint32(len(s.packed)), sha256: s.sum}
			at += int64(len(s.packed))
			if o.Progress != nil {
				o.Progress(int64(len(s.plain)))
			}
			return nil
		})
	if err != nil {
		return ID{}, err
	}
	return p.finish(w, head, at)
}

// finish writes what depends on every frame: the seek table at the end, and the
// head frame into the hole that was left for it.
func (p *packer) finish(w io.WriterAt, head, at int64) (ID, error) {
	p.m.sum()
	raw := p.m.encode()
	if headLen(int64(len(raw))) != head {
		panic("bundle: the manifest's length is not the predicted one")
	}
	if _, err := w.WriteAt(seekTable(head, int64(len(raw)), &p.m, p.l), at); err != nil {
		return ID{}, fmt.Errorf("cannot write the seek table: %w", err)
	}
	if _, err := w.WriteAt(encodeHead(raw), 0); err != nil {
		return ID{}, fmt.Errorf("cannot write the head frame: %w", err)
	}
	return sha256.Sum256(raw), nil
}

// packed is one frame on its way through the packer.
type packed struct {
	buffers
	sum [sha256.Size]byte
}

func (s *packed) encode(enc *zstd.Encoder) error {
	s.packed = enc.EncodeAll(s.plain, s.packed[:0])
	s.sum = sha256.Sum256(s.packed)
	return nil
}

// packer reads the tree in manifest order, frame by frame.
type packer struct {
	tree fs.FS
	m    manifest
	l    *layout
	file fs.File // the one whose content comes next
	sum  hash.Hash
}

// walk lists the tree. Anything but folders and regular files is refused, and
// so is every path that some system could not hold.
func (p *packer) walk() error {
	err := fs.WalkDir(p.tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot read the workspace: %w", err)
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			return fault(CauseNotRegular, "cannot pack %q: it is a %s; a bundle holds regular files only", path, kind(d.Type()))
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("cannot read the workspace: %w", err)
		}
		if len(p.m.Files) == maxFiles {
			return fault(CausePathCount, "cannot pack more than %d files", maxFiles)
		}
		p.m.Files = append(p.m.Files, File{Path: path, Executable: info.Mode().Perm()&0o111 != 0, Size: info.Size()})
		return nil
	})
	if err != nil {
		return err
	}
	p.m.sortFiles()
	return p.m.check()
}

// read fills a slot with the uncompressed bytes of data frame i.
func (p *packer) read(i int, s *packed) error {
	from, to := p.l.span(i)
	if s.plain == nil { // once, and large enough for every frame
		largest := p.l.largest()
		s.packed, s.plain = make([]byte, 0, maxCompressed(largest)), make([]byte, 0, largest)
	}
	s.plain = grow(s.plain, to-from)
	for _, c := range p.l.pieces(i) {
		dst := s.plain[c.at-from : c.end-from]
		switch c.what {
		case pieceZero:
			clear(dst)
		case pieceHeader: // never divided between frames
			copy(dst, tarHeader(p.m.Files[c.file]))
			if err := p.openFile(c.file); err != nil {
				return err
			}
		case pieceContent:
			if _, err := io.ReadFull(p.file, dst); err != nil {
				return p.readError(c.file, err)
			}
			p.sum.Write(dst)
			if c.from+int64(len(dst)) == p.m.Files[c.file].Size {
				if err := p.endFile(c.file); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *packer) openFile(i int) error {
	f := p.m.Files[i]
	file, err := p.tree.Open(f.Path)
	if err != nil {
		return fmt.Errorf("cannot pack %q: %w", f.Path, err)
	}
	p.file, p.sum = file, sha256.New()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("cannot pack %q: %w", f.Path, err)
	}
	if !info.Mode().IsRegular() || info.Size() != f.Size {
		return changed(f.Path)
	}
	if f.Size == 0 {
		return p.endFile(i)
	}
	return nil
}

// endFile makes sure that the file ends where it should and keeps its digest.
func (p *packer) endFile(i int) error {
	var more [1]byte
	if n, err := p.file.Read(more[:]); n > 0 {
		return changed(p.m.Files[i].Path)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return p.readError(i, err)
	}
	p.sum.Sum(p.m.Files[i].SHA256[:0])
	p.closeFile()
	return nil
}

func (p *packer) closeFile() {
	if p.file != nil {
		_ = p.file.Close() // only read from
		p.file = nil
	}
}

func (p *packer) readError(i int, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return changed(p.m.Files[i].Path)
	}
	return fmt.Errorf("cannot pack %q: %w", p.m.Files[i].Path, err)
}

func changed(path string) error {
	return fmt.Errorf("cannot pack %q: it changed while it was packed", path)
}
