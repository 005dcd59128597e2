package merklelog_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"fx/ca/identity"
	"fx/ca/merklelog"
)

const origin = "fed.example.org/fl/v1/log"

func newSigner(t testing.TB, key crypto.Signer) *merklelog.Signer {
	t.Helper()
	s, err := merklelog.NewSigner("fed.example.org/root-ca", key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func record(i int) []byte { return fmt.Appendf(nil, `{"kind":"issued","serial":"%040d"}`, i) }

func batch(from, n int) (records [][]byte) {
	for i := range n {
		records = append(records, record(from+i))
	}
	return records
}

// newLog makes a log in segments of the given sizes.
func newLog(t testing.TB, sizes ...int) (dir string, s *merklelog.Signer) {
	t.Helper()
	dir, s = filepath.Join(t.TempDir(), "log"), newSigner(t, p256(t))
	l := open(t, dir)
	for _, n := range sizes {
		if err := l.Append(batch(int(l.Size()), n), s); err != nil {
			t.Fatal(err)
		}
	}
	return dir, s
}

func open(t testing.TB, dir string) *merklelog.Log {
	t.Helper()
	l, err := merklelog.Open(dir, origin, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAppendAndReadAgain(t *testing.T) {
	dir, s := newLog(t, 3, 1, 1, 7, 1)
	l := open(t, dir)
	if err := l.Verify(merklelog.Keys{s.Key}); err != nil || l.Size() != 13 {
		t.Errorf("%d records, %v", l.Size(), err)
	}
	for i, r := range l.Records() {
		if !bytes.Equal(r, record(i)) {
			t.Errorf("record %d is %q", i, r)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 5 {
		t.Errorf("%d files, %v: one append is one file", len(files), err)
	}
	again, err := merklelog.Parse(l.Export(), "", nil)
	if err != nil || again.Size() != 13 || !bytes.Equal(again.Export(), l.Export()) || again.Origin() != origin {
		t.Errorf("exported and read again: %v", err)
	}
	if err := again.Append(batch(13, 1), s); err == nil {
		t.Error("an exported log took a record")
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	dir, s := newLog(t, 1)
	l := open(t, dir)
	for name, r := range map[string][]byte{"empty": {}, "two lines": []byte("a\nb"), "large": make([]byte, merklelog.MaxRecord+1)} {
		if err := l.Append([][]byte{record(1), r}, s); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if again := open(t, dir); again.Size() != 1 || l.Size() != 1 {
		t.Errorf("%d and %d records after refused ones", again.Size(), l.Size())
	}
	if err := l.Append(batch(1, 1), s); err != nil {
		t.Error(err)
	}
}

func TestWritersSeeEachOther(t *testing.T) {
	dir, s := newLog(t, 3)
	a, b := open(t, dir), open(t, dir)
	if err := a.Append(batch(3, 2), s); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(batch(3, 1), s); err == nil {
		t.Error("two writers wrote one place")
	}
	if err := b.Refresh(); err != nil || b.Size() != 5 {
		t.Errorf("%d records, %v", b.Size(), err)
	}
	if err := b.Append(batch(5, 1), s); err != nil {
		t.Error(err)
	}
}

// Every kind of key that a CA may have signs checkpoints.
func TestKeys(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other := newSigner(t, p256(t))
	for name, key := range map[string]crypto.Signer{"p256": p256(t), "p384": p384, "ed25519": ed, "rsa": rsaKey} {
		dir, s := filepath.Join(t.TempDir(), "log"), newSigner(t, key)
		l := open(t, dir)
		if err := l.Append(batch(0, 2), s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := l.Verify(merklelog.Keys{other.Key, s.Key}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := l.Verify(merklelog.Keys{other.Key}); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s: somebody else's key: %v", name, err)
		}
	}
	if _, err := merklelog.NewKey("x", struct{}{}); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("no key at all: %v", err)
	}
}

// An Ed25519 checkpoint is read by the stock verifier of signed notes.
func TestStockVerifier(t *testing.T) {
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, filepath.Join(t.TempDir(), "log"))
	if err := l.Append(batch(0, 1), newSigner(t, private)); err != nil {
		t.Fatal(err)
	}
	key, err := note.NewEd25519VerifierKey("fed.example.org/root-ca", pub)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Checkpoint().Verify(note.VerifierList(v)); err != nil {
		t.Error(err)
	}
}

// The log has segments 0-2, 3, 4, 5-7, 8.
func TestTampering(t *testing.T) {
	edit := func(name string, change func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			after := change(string(data))
			if after == string(data) {
				t.Fatal("nothing was changed")
			}
			if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	line := func(s string, i int) string { return strings.SplitAfter(s, "\n")[i] }
	const single, several = "000000000004.log", "000000000005.log"
	tests := []struct {
		name string
		do   func(*testing.T, string)
		want string
	}{
		{"one changed", edit(single, func(s string) string { return strings.Replace(s, "issued", "issueD", 1) }), "record 4 was changed"},
		{"one of a batch changed", edit(several, func(s string) string { return strings.Replace(s, "0006", "0009", 1) }), "record 6 was changed"},
		{"one of a batch removed", edit(several, func(s string) string { return strings.Replace(s, line(s, 1), "", 1) }), "record 6 is missing"},
		{"the last of a batch removed", edit(several, func(s string) string { return strings.Replace(s, line(s, 2), "", 1) }), "record 7 is missing"},
		{"two of a batch swapped", edit(several, func(s string) string {
			a, b := line(s, 0), line(s, 1)
			return strings.Replace(s, a+b, b+a, 1)
		}), "record 5 is missing"},
		{"one twice", edit(several, func(s string) string { return strings.Replace(s, line(s, 0), line(s, 0)+line(s, 0), 1) }), "record 5 stands a second time"},
		{"one added", edit(single, func(s string) string {
			next := strings.SplitAfter(s, "\n")[0]
			return next + strings.Replace(next, "4 ", "5 ", 1) + s[len(next):]
		}), "record 5 does not belong here"},
		{"cut off within a line", edit(several, func(s string) string { return s[:30] }), "record 5 is not whole"},
		{"without its checkpoint", edit(several, func(s string) string { return strings.SplitAfter(s, "\n\n")[0] }), "one of the records 5 to 7 has a damaged checkpoint"},
		{"no hash", edit(single, func(s string) string { return "4 {}\n" + s }), "record 4"},
		{"an index that is none", edit(single, func(s string) string { return "0" + s }), "record 4 has a damaged line"},
		{"another root", edit(single, func(s string) string {
			l := strings.Split(s, "\n")
			l[4] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
			return strings.Join(l, "\n")
		}), "record 4 was changed together with its hash"},
		{"something after it", edit(single, func(s string) string { return s + "x" }), "something follows"},
		{"file removed", func(t *testing.T, dir string) { remove(t, dir, single) }, "record 4 is missing"},
		{"batch removed", func(t *testing.T, dir string) { remove(t, dir, several) }, "record 5 and those after it up to 7 are missing"},
		{"files swapped", func(t *testing.T, dir string) {
			rename(t, dir, "000000000003.log", "x")
			rename(t, dir, single, "000000000003.log")
			rename(t, dir, "x", single)
		}, "record 3 is missing: record 4 follows in its place"},
		{"file renamed", func(t *testing.T, dir string) { rename(t, dir, single, "000000000009.log") }, "record 4 is missing"},
		{"file doubled", func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, several))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "000000000006.log"), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, `record 6 stands a second time, in "000000000006.log"`},
		{"a file of another kind", func(t *testing.T, dir string) { rename(t, dir, single, "notes.txt") }, `"notes.txt" is no file of a log`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := newLog(t, 3, 1, 1, 3, 1)
			tt.do(t, dir)
			_, err := merklelog.Open(dir, origin, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && !errors.Is(err, identity.ErrUntrusted) && !errors.Is(err, identity.ErrInvalid) {
				t.Errorf("%v is neither untrusted nor invalid", err)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

// Whoever holds the key can write another log, but not one that continues a
// checkpoint that somebody kept.
func TestSince(t *testing.T) {
	dir, s := newLog(t, 3, 1, 4)
	keys := merklelog.Keys{s.Key}
	l := open(t, dir)
	old := l.Checkpoint()
	if err := l.Since(old, keys); err != nil {
		t.Errorf("the same: %v", err)
	}
	for i := range 9 {
		if err := l.Append(batch(8+i, 1), s); err != nil {
			t.Fatal(err)
		}
		if err := l.Since(old, keys); err != nil {
			t.Errorf("%d more: %v", i+1, err)
		}
	}
	remove(t, dir, "000000000016.log")
	if err := open(t, dir).Since(l.Checkpoint(), keys); err == nil || !strings.Contains(err.Error(), "record 16 is missing: the checkpoint covers 17 records, the log has 16") {
		t.Errorf("cut off: %v", err)
	}
	other := open(t, filepath.Join(t.TempDir(), "log"))
	if err := other.Append(batch(100, 20), s); err != nil {
		t.Fatal(err)
	}
	if err := other.Since(old, keys); !errors.Is(err, identity.ErrUntrusted) || !strings.Contains(err.Error(), "written anew") {
		t.Errorf("another history: %v", err)
	}
	if err := l.Since(old, merklelog.Keys{newSigner(t, p256(t)).Key}); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("a checkpoint that nobody signed: %v", err)
	}
	forged := *old
	forged.Size = 7
	forged.Note = bytes.Replace(old.Note, []byte("\n8\n"), []byte("\n7\n"), 1)
	if err := l.Since(&forged, keys); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("a forged checkpoint: %v", err)
	}
}

func TestInclusion(t *testing.T) {
	dir, _ := newLog(t, 3, 1, 4, 5)
	l := open(t, dir)
	for i := range l.Size() {
		p, err := l.Prove(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := merklelog.CheckInclusion(record(int(i)), i, p, l.Checkpoint()); err != nil {
			t.Errorf("record %d: %v", i, err)
		}
		for name, err := range map[string]error{
			"another record": merklelog.CheckInclusion(record(int(i)+1), i, p, l.Checkpoint()),
			"another place":  merklelog.CheckInclusion(record(int(i)), (i+1)%l.Size(), p, l.Checkpoint()),
			"no place":       merklelog.CheckInclusion(record(int(i)), -1, p, l.Checkpoint()),
			"beyond":         merklelog.CheckInclusion(record(int(i)), l.Size(), p, l.Checkpoint()),
			"shorter":        merklelog.CheckInclusion(record(int(i)), i, p[1:], l.Checkpoint()),
		} {
			if !errors.Is(err, identity.ErrUntrusted) {
				t.Errorf("record %d, %s: %v", i, name, err)
			}
		}
	}
	if _, err := l.Prove(l.Size()); err == nil {
		t.Error("proved what is not there")
	}
}

// FuzzLog: whatever can be read is written again as the same bytes.
func FuzzLog(f *testing.F) {
	dir, _ := newLog(f, 2, 1)
	data := open(f, dir).Export()
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte("0 x {}\n\n" + origin + "\n1\nAAAA\n\n— a b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := merklelog.Parse(data, origin, nil)
		if err == nil && !bytes.Equal(l.Export(), data) {
			t.Errorf("read %q, written %q", data, l.Export())
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	dir, s := newLog(f, 2)
	c := open(f, dir).Checkpoint()
	f.Add(c.Note)
	keys := merklelog.Keys{s.Key}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := merklelog.ParseCheckpoint(data)
		if err == nil && got.Verify(keys) == nil && (got.Size != c.Size || got.Root != c.Root) {
			t.Errorf("forged: %q", data)
		}
	})
}

// A batch of 1,000 records is one file and one sync.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir, s := newLog(b, 1)
			l := open(b, dir)
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Append(batch(int(l.Size()), n), s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
