package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"fx/schema"
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

func encodedWith(t *testing.T, options ...zstd.EOption) func([]byte) []byte {
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

// TestForgeries: whatever a packer may try, it is refused, and for its own
// reason.
func TestForgeries(t *testing.T) {
	if err := checkBytes(forgery{}.build(t)); err != nil {
		t.Fatal("an honest bundle: ", err)
	}
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'}
	empty := encodedWith(t, zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))(nil)
	tests := []struct {
		name string
		f    forgery
		why  string
	}{
		// The manifest's spelling.
		{"white space", forgery{manifest: replaced(`"files":[`, `"files": [`)}, "want"},
		{"key order", forgery{manifest: replaced(`"mode":"0644","size":10`, `"size":10,"mode":"0644"`)}, "want the shape"},
		{"a key twice", forgery{manifest: replaced(`"mode":"0644",`, `"mode":"0644","mode":"0644",`)}, "mode is"},
		{"an unknown key", forgery{manifest: replaced(`"size":10,`, `"size":10,"x":1,`)}, "decimal"},
		{"capital digits", forgery{manifest: func(raw []byte) []byte {
			i := bytes.Index(raw, []byte(`sha256":"`)) + 9
			copy(raw[i:], bytes.ToUpper(raw[i:i+64]))
			return raw
		}}, "lower-case"},
		{"a leading zero", forgery{manifest: replaced(`"size":10`, `"size":010`)}, "canonical"},
		{"a plus sign", forgery{manifest: replaced(`"size":10`, `"size":+10`)}, "canonical"},
		{"a negative size", forgery{manifest: replaced(`"size":10`, `"size":-10`)}, "decimal"},
		{"a float", forgery{manifest: replaced(`"size":10`, `"size":1e1`)}, "decimal"},
		{"an escape", forgery{manifest: replaced(`src/a.py`, `src\u002fa.py`)}, `contains`},
		{"CRLF", forgery{manifest: replaced("\n", "\r\n")}, "want the shape"},
		{"a byte order mark", forgery{manifest: func(raw []byte) []byte { return append([]byte("\ufeff"), raw...) }}, "want the shape"},
		{"no last line feed", forgery{manifest: func(raw []byte) []byte { return raw[:len(raw)-1] }}, "does not end"},
		{"a line more", forgery{manifest: func(raw []byte) []byte { return append(raw, '\n') }}, "nothing may follow"},
		{"another format", forgery{manifest: replaced("fxb/1", "fxb/2")}, "want the shape"},
		{"another mode", forgery{manifest: replaced("0644", "4755")}, "mode is"},
		{"a quote in the name", forgery{manifest: replaced(`"forged"`, `"for\"ged"`)}, "bundle name"},
		{"a comma too many", forgery{manifest: replaced("],\n\"frames", ",],\n\"frames")}, "want"},
		{"no files", forgery{manifest: func(raw []byte) []byte {
			i, j := bytes.Index(raw, []byte("[\n"))+2, bytes.Index(raw, []byte("],\n"))
			return append(raw[:i:i], raw[j:]...)
		}}, "want"},
		// The manifest's meaning.
		{"order of files", forgery{list: func(m *manifest) { m.Files[0], m.Files[1] = m.Files[1], m.Files[0] }}, "out of order"},
		{"a file twice", forgery{list: func(m *manifest) { m.Files = slices.Insert(m.Files, 1, m.Files[0]) }}, "out of order"},
		{"large files first", forgery{list: func(m *manifest) { slices.Reverse(m.Files) }}, "out of order"},
		{"frameMax no multiple", forgery{list: func(m *manifest) { m.FrameMax = 1025 }}, "frameMax"},
		{"frameMax too large", forgery{list: func(m *manifest) { m.FrameMax = 8 << 20 }}, "frameMax"},
		{"frameMax zero", forgery{manifest: replaced(`"frameMax":1024`, `"frameMax":0`)}, "frameMax"},
		{"tree digest", forgery{manifest: func(raw []byte) []byte {
			i := bytes.Index(raw, []byte(`treeSha256":"`)) + 13
			raw[i] ^= 1
			return raw
		}}, "treeSha256"},
		{"a huge file", forgery{manifest: func(raw []byte) []byte {
			m, _ := parseManifest(raw)
			m.Files[len(m.Files)-1].Size = maxFileSize
			m.sum()
			return m.encode()
		}}, "need more than"},
		{"a frame too many", forgery{packed: func(f [][]byte) [][]byte { return append(f, f[0]) }}, "its files need"},
		{"a frame too few", forgery{packed: func(f [][]byte) [][]byte { return f[:len(f)-1] }}, "its files need"},
		// Paths.
		{"the manifest's own path", forgery{files: map[string]string{".fxb/manifest.json": "{}"}}, "belongs to the format"},
		{"the manifest's path in capitals", forgery{files: map[string]string{".FXB/x": "{}"}}, "belongs to the format"},
		{"case", forgery{files: map[string]string{"src/A.py": "x"}}, "side by side"},
		{"case of a folder", forgery{files: map[string]string{"SRC/b.py": "x"}}, "side by side"},
		{"a file and a folder", forgery{files: map[string]string{"src": "x"}}, "side by side"},
		{"a file and a folder by case", forgery{files: map[string]string{"Plan": "x"}}, "side by side"},
		{"compatibility forms", forgery{files: map[string]string{"src/\uff41.py": "x"}}, "side by side"},
		{"sharp s", forgery{files: map[string]string{"stra\u00dfe": "x", "strasse": "x"}}, "side by side"},
		{"not NFC", forgery{files: map[string]string{"src/e\u0301.py": "x"}}, "normal form C"},
		{"absolute", forgery{files: map[string]string{"/etc/passwd": "x"}}, "empty"},
		{"upwards", forgery{files: map[string]string{"src/../../x": "x"}}, "not a name"},
		{"backslash", forgery{files: map[string]string{`src\x`: "x"}}, "contains"},
		{"bidi", forgery{files: map[string]string{"src/\u202efdp.py": "x"}}, "contains"},
		{"control", forgery{files: map[string]string{"src/a\x1b[2J": "x"}}, "contains"},
		{"device", forgery{files: map[string]string{"src/nul.txt": "x"}}, "device name"},
		// The tar inside.
		{"another name", forgery{tar: put(0, "plan/plan.yaxl")}, "tar header"},
		{"another mode in the tar", forgery{tar: put(100, "0004755")}, "tar header"},
		{"an owner", forgery{tar: put(108, "0001750")}, "tar header"},
		{"a link", forgery{tar: put(156, "2")}, "tar header"},
		{"another content", forgery{tar: put(512, "rounds: 9\n")}, "content of"},
		{"padding", forgery{tar: put(1000, "hidden")}, "not zero"},
		{"a member more at the end", forgery{tar: func(_ *layout, tar []byte) {
			copy(tar[len(tar)-1024:], tarHeader(File{Path: "extra"}))
		}}, "not zero"},
		{"content of a file that spans frames", forgery{tar: func(l *layout, tar []byte) { tar[l.members[2].content+2000] ^= 1 }}, `content of "weights.bin"`},
		{"content of an empty file", forgery{files: map[string]string{"empty": ""}, list: func(m *manifest) {
			m.Files[slices.IndexFunc(m.Files, func(f File) bool { return f.Path == "empty" })].SHA256[0] ^= 1
		}}, `content of "empty"`},
		// Frames.
		{"swapped, listed so", forgery{packed: func(f [][]byte) [][]byte { f[0], f[1] = f[1], f[0]; return f }}, "states"},
		{"content swapped, listed so", forgery{files: map[string]string{"weights.bin": strings.Repeat("a", 1024) + strings.Repeat("b", 1024)},
			packed: func(f [][]byte) [][]byte {
				n := len(f)
				f[n-3], f[n-2] = f[n-2], f[n-3]
				return f
			}}, "content of"},
		{"skippable frame behind", forgery{packed: at(0, func(p []byte) []byte { return append(p, skippable...) })}, "follow its last block"},
		{"empty frame behind", forgery{packed: at(0, func(p []byte) []byte { return append(p, empty...) })}, "follow its last block"},
		{"skippable frame before", forgery{packed: at(0, func(p []byte) []byte { return append(slices.Clone(skippable), p...) })}, "no zstd frame"},
		{"two frames for one", forgery{packed: at(0, func(p []byte) []byte { return append(p, p...) })}, "follow its last block"},
		{"no checksum", forgery{files: map[string]string{"0": strings.Repeat("0", 100)}, packed: at(0, func(p []byte) []byte {
			p[4] &^= 4
			return p[:len(p)-4]
		})}, "descriptor"},
		{"a wrong checksum", forgery{packed: at(0, func(p []byte) []byte { p[len(p)-1] ^= 1; return p })}, "cannot decompress"},
		{"a window", forgery{encode: encodedWith(t, zstd.WithSingleSegment(false), zstd.WithWindowSize(1<<20))}, "descriptor"},
		{"more than it should hold", forgery{encode: func(p []byte) []byte {
			return encodedWith(t, zstd.WithSingleSegment(true))(append(p, 0))
		}}, "states"},
		{"no zstd", forgery{encode: func(p []byte) []byte { return append([]byte("PK\x03\x04"), p...) }}, "no zstd frame"},
		{"larger than raw", forgery{packed: at(0, func(p []byte) []byte { return append(p, make([]byte, 2000)...) })}, "compressed bytes, allowed"},
		// The file around it.
		{"frame changed, not listed so", forgery{file: func(out []byte) []byte { out[len(out)-100] ^= 1; return out }}, ""},
		{"trailing bytes", forgery{file: func(out []byte) []byte { return append(out, "x"...) }}, "accounts for"},
		{"trailing frame", forgery{file: func(out []byte) []byte { return append(out, skippable...) }}, "accounts for"},
		{"another bundle behind", forgery{file: func(out []byte) []byte { return append(out, out...) }}, "accounts for"},
		{"no seek table", forgery{table: func([]byte) []byte { return nil }}, "accounts for"},
		{"seek table: a size", forgery{table: func(p []byte) []byte { p[16] ^= 1; return p }}, "seek table differs"},
		{"seek table: the magic", forgery{table: func(p []byte) []byte { p[len(p)-1] ^= 1; return p }}, "seek table differs"},
		{"seek table: the descriptor", forgery{table: func(p []byte) []byte { p[len(p)-5] ^= 1; return p }}, "seek table differs"},
		{"head: a run-length block", forgery{head: func(p []byte) { p[13] |= 2 }}, "raw block"},
		{"head: not the last block", forgery{head: func(p []byte) { p[13] &^= 1 }}, "raw block"},
		{"head: another size", forgery{head: func(p []byte) { p[6] ^= 2 }}, ""},
		{"head: the largest size", forgery{head: func(p []byte) { copy(p[5:], "\x00\x00\x00\x04\x00\x00\x00\x00") }}, "head frame alone"},
		{"head: beyond the largest size", forgery{head: func(p []byte) { copy(p[5:], "\x00\x00\x00\x04\x01\x00\x00\x00") }}, "allowed are"},
		{"head: padding", forgery{head: func(p []byte) { p[len(p)-1] = 1 }}, "padding after the manifest"},
		{"head: the member's name", forgery{head: func(p []byte) { p[16+5] = 'x' }}, "first member"},
		{"head: the member's mode", forgery{head: func(p []byte) { p[16+104] = '7' }}, "first member"},
		{"no bundle", forgery{file: func([]byte) []byte { return []byte("PK\x03\x04 and so on, a zip file") }}, "does not start like"},
		{"empty", forgery{file: func([]byte) []byte { return nil }}, "too short"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := checkBytes(test.f.build(t))
			if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), test.why) {
				t.Errorf("got %v, want a refusal because of %q", err, test.why)
			}
		})
	}
}
