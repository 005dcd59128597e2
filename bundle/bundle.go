// Package bundle is the FXB/1 file format: one file that carries a whole
// workspace, that stock tools (tar, zstd) can open, and that is verified to the
// last byte before anything in it is used.
//
// Create packs, Open reads what costs no decompression, Check proves that every
// byte agrees with the manifest, and Verify does the same only after signatures
// and the site's policy have said yes. Only Verify makes a *Verified, and the
// runtime accepts nothing else. FORMAT.md beside this file describes every byte
// and numbers the verification steps as the comments here do.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"fx/schema"
)

// ID is a bundle's identity: the SHA-256 of its manifest. It pins every other
// byte of the file, because the manifest holds the digest of every frame and
// the rest is derived from it.
type ID [sha256.Size]byte

// String returns the id as 64 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText encodes the id as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// ParseID reads 64 lower-case hexadecimal digits.
func ParseID(s string) (ID, error) {
	d, ok := parseDigest(s)
	if !ok {
		return ID{}, fmt.Errorf("%w: cannot read bundle id %q: want 64 lower-case hexadecimal digits", schema.ErrInvalid, s)
	}
	return ID(d), nil
}

// Bundle is an opened bundle whose manifest, layout and seek table are in order.
// Nothing in it has been decompressed, and nobody has vouched for it: it shows
// facts, and only Check and Verify lead to its contents.
type Bundle struct {
	r        io.ReaderAt
	size     int64
	closer   io.Closer
	id       ID
	manifest *manifest
	layout   *layout
	offsets  []int64 // offsets[i] is where data frame i starts in the file; one more for the seek table
}

// Open reads the head frame of a bundle of size bytes, checks the manifest's
// canonical form, derives the layout from it and compares the seek table. It
// decompresses nothing. Errors wrap schema.ErrInvalid, except those of r.
func Open(r io.ReaderAt, size int64) (*Bundle, error) {
	// Step 1: the head frame by its raw-block grammar.
	raw, headSize, err := readHead(r, size)
	if err != nil {
		return nil, err
	}
	// Step 2: the manifest, parsed and encoded again to the same bytes.
	m, err := parseManifest(raw)
	if err != nil {
		return nil, err
	}
	// Step 3: the layout, which has to have as many frames as the manifest lists.
	l, err := deriveLayout(m.Files, m.FrameMax, len(m.Frames))
	if err != nil {
		return nil, err
	}
	b := &Bundle{r: r, size: size, id: sha256.Sum256(raw), manifest: m, layout: l}
	// Step 4: the compressed sizes add up to exactly this file.
	if b.offsets, err = frameOffsets(m, l, headSize); err != nil {
		return nil, err
	}
	table := seekTable(headSize, int64(len(raw)), m, l)
	start := b.offsets[len(m.Frames)]
	if want := start + int64(len(table)); size != want {
		return nil, fault(CauseFileSize, "the file has %d bytes, its manifest accounts for %d", size, want)
	}
	// Step 5: the seek table is compared with the derived one, never believed.
	got := make([]byte, len(table))
	if err := readFullAt(r, got, start); err != nil {
		return nil, fmt.Errorf("cannot read the seek table: %w", err)
	}
	if !bytes.Equal(got, table) {
		return nil, fault(CauseSeekTable, "the seek table differs from the one that the manifest implies")
	}
	return b, nil
}

// OpenFile opens the bundle at path, which must be a regular file and not a
// symbolic link. The caller closes it. Everything later reads through the one
// open file, so that replacing the path changes nothing.
func OpenFile(path string) (*Bundle, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open bundle: %w", err)
	}
	if !before.Mode().IsRegular() {
		return nil, fault(CauseNotRegular, "cannot open bundle %q: it is a %s, not a regular file", path, kind(before.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open bundle: %w", err)
	}
	b, err := openFile(f, before)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot open bundle %q: %w", path, err)
	}
	b.closer = f
	return b, nil
}

func openFile(f *os.File, before os.FileInfo) (*Bundle, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, info) {
		return nil, fault(CauseNotRegular, "the file was replaced while it was being opened")
	}
	return Open(f, info.Size())
}

// Close closes the file that OpenFile opened; after Open it does nothing.
func (b *Bundle) Close() error {
	if b.closer == nil {
		return nil
	}
	return b.closer.Close()
}

// ID returns the bundle's identity.
func (b *Bundle) ID() ID { return b.id }

// Size returns the size of the file in bytes.
func (b *Bundle) Size() int64 { return b.size }

// Name returns the name that the publisher gave, such as "ward-seg".
func (b *Bundle) Name() string { return b.manifest.Name }

// Version returns the version that the publisher gave, such as "1.4.0".
func (b *Bundle) Version() string { return b.manifest.Version }

// TreeSHA256 returns the digest of the file list (digest, mode, size and path of
// every file): the identity of the contents whichever encoder compressed them.
func (b *Bundle) TreeSHA256() string { return hex.EncodeToString(b.manifest.tree[:]) }

// Encoder returns the name of the compressor that the packer recorded.
func (b *Bundle) Encoder() string { return b.manifest.Encoder }

// Files returns the inventory in manifest order.
func (b *Bundle) Files() []File { return append([]File(nil), b.manifest.Files...) }

// Manifest returns the manifest's bytes, whose SHA-256 is the id.
func (b *Bundle) Manifest() []byte { return b.manifest.encode() }

// frameOffsets places the data frames in the file; the last element is where
// the seek table starts.
func frameOffsets(m *manifest, l *layout, at int64) ([]int64, error) {
	offsets := make([]int64, len(m.Frames)+1)
	for i, f := range m.Frames {
		offsets[i] = at
		if most := maxCompressed(l.usize(i)); int64(f.csize) > most || f.csize < minFrame {
			return nil, fault(CauseFrameSize, "frame %d has %d compressed bytes, allowed are %d to %d", i+1, f.csize, minFrame, most)
		}
		at += int64(f.csize)
	}
	offsets[len(m.Frames)] = at
	return offsets, nil
}

// readFullAt reads len(p) bytes at off. A file that ends early is an invalid
// document; any other trouble is the reader's own error.
func readFullAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault(CauseFileCut, "the file ends after %d bytes, inside a part that starts at %d", off+int64(n), off)
	}
	return fmt.Errorf("cannot read %d bytes at %d: %v", len(p), off, err)
}

// kind names a file mode's type in words.
func kind(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&os.ModeSymlink != 0:
		return "symbolic link"
	case m&os.ModeNamedPipe != 0:
		return "named pipe"
	case m&os.ModeSocket != 0:
		return "socket"
	case m&os.ModeDevice != 0:
		return "device"
	case m.IsRegular():
		return "regular file"
	}
	return "special file"
}

// Raw returns the bytes of the file, from the start.
func (b *Bundle) Raw() *io.SectionReader { return io.NewSectionReader(b.r, 0, b.size) }
