package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fx/schema"
)

// FuzzFrame gives a reader frames that a dishonest packer has listed with their
// right digests: whatever they are, memory stays bounded by the derived size,
// nothing panics, and what is accepted has exactly that size.
func FuzzFrame(f *testing.F) {
	enc, err := newEncoder(1)
	if err != nil {
		f.Fatal(err)
	}
	for _, plain := range [][]byte{make([]byte, 512), bytes.Repeat([]byte("abcdefg "), 128), []byte("x")} {
		f.Add(enc.EncodeAll(plain, nil), uint16(len(plain)))
	}
	for _, m := range frameMutations(f) {
		packed := zframe(0xe4, 1024, zblock(0, 4, true, "abcd"))
		if m.f.encode != nil {
			packed = m.f.encode(make([]byte, 1024))
		}
		f.Add(packed, uint16(1024))
	}
	f.Fuzz(func(t *testing.T, packed []byte, size uint16) {
		usize := int64(size)
		if usize == 0 || int64(len(packed)) > maxCompressed(usize) {
			return
		}
		b := &Bundle{
			r: bytes.NewReader(packed), size: int64(len(packed)), offsets: []int64{0, int64(len(packed))},
			manifest: &manifest{Frames: []frame{{csize: uint32(len(packed)), sha256: sha256.Sum256(packed)}}},
			layout:   &layout{ends: []int64{usize}},
		}
		dec, err := newDecoder(1, usize)
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		var buf buffers
		plain, err := b.readFrame(dec, 0, &buf)
		if err == nil && int64(len(plain)) != usize {
			t.Fatalf("accepted %d bytes in place of %d", len(plain), usize)
		}
		if err != nil && (!errors.Is(err, schema.ErrInvalid) || cause(err) == "") {
			t.Fatalf("got %v, want a fault", err)
		}
		if int64(cap(buf.plain)) > usize {
			t.Fatalf("%d bytes were allocated for %d", cap(buf.plain), usize)
		}
	})
}

// FuzzVectors starts from every ruined bundle; none of their relatives may do
// more than be refused for a cause.
func FuzzVectors(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "vectors", "*.fxb"))
	if err != nil || len(files) == 0 {
		f.Fatal("no vectors: ", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := checkBytes(data); err != nil && cause(err) == "" {
			t.Fatalf("got %v, want a fault", err)
		}
	})
}
