package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzManifest: what is accepted encodes to the very same bytes.
func FuzzManifest(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "golden.fxb"))
	if err != nil {
		f.Fatal(err)
	}
	raw, _, err := readHead(bytes.NewReader(golden), int64(len(golden)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format":"fxb/1","name":"a","version":"1","encoder":"x","frameMax":512,"treeSha256":"` + strings.Repeat("0", 64) + `",` + "\n\"files\":[\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), data) || m.encodedLen() != len(data) {
			t.Fatal("accepted what it would not write")
		}
		if l, err := deriveLayout(m.Files, m.FrameMax, len(m.Frames)); err == nil {
			checkLayout(t, l)
		}
	})
}

// checkLayout makes sure that the pieces of all frames tile the tar.
func checkLayout(t *testing.T, l *layout) {
	t.Helper()
	var at int64
	for i := range l.ends {
		for _, p := range l.pieces(i) {
			if p.at != at || p.end <= p.at {
				t.Fatalf("a piece is at %d to %d, want it to start at %d", p.at, p.end, at)
			}
			at = p.end
		}
		if at != l.ends[i] {
			t.Fatalf("frame %d ends at %d, its pieces at %d", i, l.ends[i], at)
		}
	}
}

// TestLayout pins the cutting rule at its edges: sizes in, frame sizes out.
func TestLayout(t *testing.T) {
	for _, test := range []struct {
		name  string
		sizes []int64
		want  []int64
	}{
		{"one empty file", []int64{0}, []int64{512 + 1024}},
		{"small files share", []int64{1, 1}, []int64{2048 + 1024}},
		{"full frame closes", []int64{512, 1024, 1}, []int64{1024, 1536, 1024 + 1024}},
		{"a file of exactly the limit", []int64{2048}, []int64{2560 + 1024}},
		{"a large file", []int64{2049}, []int64{512, 2048, 1, 511 + 1024}},
		{"a multiple of the limit", []int64{4096}, []int64{512, 2048, 2048, 1024}},
		{"small before large", []int64{100, 2100}, []int64{1024 + 512, 2048, 52, 460 + 1024}},
		{"two large", []int64{2100, 2100}, []int64{512, 2048, 52, 460 + 512, 2048, 52, 460 + 1024}},
	} {
		var files []File
		for i, size := range test.sizes {
			files = append(files, File{Path: string(rune('a' + i)), Size: size})
		}
		l, err := deriveLayout(files, 2048, -1)
		if err != nil {
			t.Fatal(err)
		}
		checkLayout(t, l)
		for i := range l.ends {
			if i >= len(test.want) || l.usize(i) != test.want[i] || len(l.ends) != len(test.want) {
				t.Errorf("%s: frame ends %v, want frames of %v", test.name, l.ends, test.want)
				break
			}
		}
	}
}

func TestCheckPath(t *testing.T) {
	long := strings.Repeat("a/", 119) + "ab"
	for _, good := range []string{"a", "plan/plan.yaml", ".workspace", "src/__init__.py", "größe", "データ/重み.bin", "a b", "-x",
		"[1]{2}(3)#%&!$^'~,=@+", "nullable.txt", "com10", "console", strings.Repeat("a", 200), strings.Repeat("d/", 31) + "x"} {
		if err := CheckPath(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", `a\b`, "a:b", "a*", "a?", `a"b`, "<a", "a>", "a|b",
		"a;b", "a`b", "a\x00", "a\nb", "a\x7f", "a\u200db", "a\u202eb", "\ufeffa", "a\ue000", "\xff", "a\xc0\xaf", "e\u0301", "a.", "a ", " a",
		"a./b", "b/ a", "CON", "con.txt", "a/NUL", "aux.tar.gz", "COM1", "lpt0.x", "conin$", "nul .txt", ".fxb", ".FXB/x", ".fxb/manifest.json",
		"\uff0efxb/x", long + "c", strings.Repeat("a", 201), strings.Repeat("d/", 32) + "x", "a\u00b9", "😀"} {
		if err := CheckPath(bad); err == nil {
			t.Errorf("%q is allowed", bad)
		}
	}
}

// TestEncoderName compares the recorded encoder with the one that is linked.
func TestEncoderName(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	v := regexp.MustCompile(`github\.com/klauspost/compress (v\S+)`).FindSubmatch(mod)
	if v == nil || !strings.HasPrefix(encoderName, "klauspost/compress "+string(v[1])+" ") {
		t.Errorf("manifests say %q, go.mod says %s: a new encoder is a format event, see FORMAT.md", encoderName, v[1])
	}
}

// BenchmarkBundle measures packing and checking 64 MiB of float-like bytes
// beside the SHA-256 of the same bytes, which no verification can do without.
func BenchmarkBundle(b *testing.B) {
	plain := make([]byte, 64<<20)
	state := uint32(1)
	for i := range plain { // two random bytes in four, as in float32 weights
		state = state*1664525 + 1013904223
		if i&3 < 2 {
			plain[i] = byte(state >> 24)
		} else {
			plain[i] = 0x3f
		}
	}
	tree := fstest.MapFS{"weights.bin": {Data: plain, Mode: 0o644}}
	o := Options{Name: "bench", Version: "1"}
	b.Run("create", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Create(context.Background(), discard{}, tree, o); err != nil {
				b.Fatal(err)
			}
		}
	})
	var packed bytesAt
	if _, err := Create(context.Background(), &packed, tree, o); err != nil {
		b.Fatal(err)
	}
	b.Run("check", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		b.ReportAllocs()
		for b.Loop() {
			if err := checkBytes(packed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sha256-of-file", func(b *testing.B) {
		b.SetBytes(int64(len(plain))) // the same unit: content, not file
		for b.Loop() {
			if _, err := digestOf(bytes.NewReader(packed)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

type bytesAt []byte

func (m *bytesAt) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(*m) {
		*m = append(*m, make([]byte, need-len(*m))...)
	}
	return copy((*m)[off:], p), nil
}

// On file systems without hard links a new bundle takes its name by claim, which
// replaces nothing either.
func TestClaimReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	temp, path := filepath.Join(dir, "temp"), filepath.Join(dir, "ward.fxb")
	for _, want := range []error{nil, fs.ErrExist} {
		if err := os.WriteFile(temp, fmt.Append(nil, "new, unless ", want), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := claim(temp, path); !errors.Is(err, want) {
			t.Errorf("claim: got %v, want %v", err, want)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "new, unless <nil>" {
			t.Errorf("%s holds %q (%v)", path, data, err)
		}
	}
}
