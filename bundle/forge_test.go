package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// forgery makes bundles that a dishonest packer might: each hook changes one
// stage, and all later stages are made to agree with the change.
type forgery struct {
	files    map[string]string
	list     func(m *manifest)                  // before the layout is derived
	tar      func(l *layout, tar []byte)        // before frames are cut
	packed   func(frames [][]byte) [][]byte     // before frames are hashed
	manifest func(raw []byte) []byte            // before the head frame is made
	head     func(head []byte)                  // before the file is put together
	table    func(table []byte) []byte          // likewise
	file     func(out []byte) []byte            // at the end
	encode   func(plain []byte) (packed []byte) // instead of the right encoder
}

func (f forgery) build(t testing.TB) []byte {
	t.Helper()
	m := &manifest{Name: "forged", Version: "1", Encoder: encoderName, FrameMax: 1024}
	content := map[string]string{"plan/plan.yaml": "rounds: 1\n", "src/a.py": "pass\n", "weights.bin": strings.Repeat("abcdefgh", 400)}
	for name, data := range f.files {
		content[name] = data
	}
	for name, data := range content {
		m.Files = append(m.Files, File{Path: name, Size: int64(len(data)), SHA256: sha256.Sum256([]byte(data))})
	}
	m.sortFiles()
	if f.list != nil {
		f.list(m)
	}
	l, err := deriveLayout(m.Files, m.FrameMax, -1)
	if err != nil {
		t.Fatal(err)
	}
	var tar []byte
	for _, file := range m.Files {
		tar = append(tar, tarHeader(file)...)
		tar = append(tar, content[file.Path]...)
		tar = append(tar, make([]byte, pad(file.Size))...)
	}
	tar = append(tar, make([]byte, endOfTar)...)
	if f.tar != nil {
		f.tar(l, tar)
	}
	encode := f.encode
	if encode == nil {
		enc, err := newEncoder(1)
		if err != nil {
			t.Fatal(err)
		}
		encode = func(plain []byte) []byte { return enc.EncodeAll(plain, nil) }
	}
	var frames [][]byte
	for i := range l.ends {
		from, to := l.span(i)
		frames = append(frames, encode(tar[min(from, int64(len(tar))):min(to, int64(len(tar)))]))
	}
	if f.packed != nil {
		frames = f.packed(frames)
	}
	for _, p := range frames {
		m.Frames = append(m.Frames, frame{csize: uint32(len(p)), sha256: sha256.Sum256(p)})
	}
	m.sum()
	raw := m.encode()
	if f.manifest != nil {
		raw = f.manifest(raw)
	}
	head := encodeHead(raw)
	for len(l.ends) < len(m.Frames) { // a table of the right size for a wrong count
		l.ends = append(l.ends, l.ends[len(l.ends)-1])
	}
	table := seekTable(int64(len(head)), int64(len(raw)), m, l)
	if f.head != nil {
		f.head(head)
	}
	if f.table != nil {
		table = f.table(table)
	}
	out := slices.Concat(head, slices.Concat(frames...), table)
	if f.file != nil {
		out = f.file(out)
	}
	return out
}

func checkBytes(data []byte) error {
	b, err := Open(bytes.NewReader(data), int64(len(data)))
	if err == nil {
		_, err = b.Check(context.Background(), nil)
	}
	return err
}

func replaced(old, with string) func([]byte) []byte {
	return func(raw []byte) []byte { return bytes.Replace(raw, []byte(old), []byte(with), 1) }
}

func encodedWith(t testing.TB, options ...zstd.EOption) func([]byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	return func(plain []byte) []byte { return enc.EncodeAll(plain, nil) }
}

func at(i int, change func(p []byte) []byte) func([][]byte) [][]byte {
	return func(frames [][]byte) [][]byte {
		frames[i] = change(frames[i])
		return frames
	}
}

func put(offset int, text string) func(*layout, []byte) {
	return func(_ *layout, tar []byte) { copy(tar[offset:], text) }
}
