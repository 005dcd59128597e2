package exchange

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/schema"
)

type memory struct {
	data []byte
	at   int64
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.data) {
		m.data = append(m.data, make([]byte, need-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

func (m *memory) Write(p []byte) (int, error) {
	n, err := m.WriteAt(p, m.at)
	m.at += int64(n)
	return n, err
}

// sample is a small bundle and the layout with it.
func sample(t testing.TB) (file, layout []byte) {
	t.Helper()
	var m memory
	tree := fstest.MapFS{"plan/plan.yaml": {Data: []byte("rounds: 1\n")}}
	if _, err := bundle.Create(context.Background(), &m, tree, bundle.Options{Name: "ward", Version: "1.0"}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(bytes.NewReader(m.data), int64(len(m.data)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Check(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteLayout(&out, c, &approval.Sidecar{}, nil); err != nil {
		t.Fatal(err)
	}
	return m.data, out.Bytes()
}

func fetch(layout []byte) ([]byte, error) {
	l, err := OpenLayout(bytes.NewReader(layout), int64(len(layout)))
	if err != nil {
		return nil, err
	}
	f, err := l.Find(context.Background(), "")
	if err != nil {
		return nil, err
	}
	if _, _, err := f.Signatures(context.Background()); err != nil {
		return nil, err
	}
	var m memory
	_, err = f.Fetch(context.Background(), &m, nil, nil)
	if sum := sha256.Sum256(m.data); err == nil && !bytes.Equal(sum[:], fromHex(f.about.FileSHA256)) {
		err = errors.New("what came out has another digest than the image manifest states")
	}
	return m.data, err
}

// FuzzLayout: whatever a layout holds, what comes out of it has the digest that
// its image manifest states, or nothing comes out.
func FuzzLayout(f *testing.F) {
	_, layout := sample(f)
	f.Add(layout)
	for _, seed := range hostile(f, layout) {
		if len(seed) < maxIndex {
			f.Add(seed)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := fetch(data); err != nil && !errors.Is(err, schema.ErrInvalid) {
			t.Fatalf("got %v, want an invalid document", err)
		}
	})
}

func TestLayout(t *testing.T) {
	file, layout := sample(t)
	if got, err := fetch(layout); err != nil || !bytes.Equal(got, file) {
		t.Fatalf("another file came out: %v", err)
	}
	for name, bad := range hostile(t, layout) {
		if got, err := fetch(bad); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%s: got %d bytes and %v, want a refusal", name, len(got), err)
		}
	}
	for i := range layout { // padding and times of the outer tar have no digest, and no meaning
		bad := bytes.Clone(layout)
		bad[i] ^= 0x10
		if got, err := fetch(bad); err == nil && !bytes.Equal(got, file) {
			t.Fatalf("with byte %d changed another file came out", i)
		}
	}
}

// hostile are layouts that are refused.
func hostile(t testing.TB, layout []byte) map[string][]byte {
	t.Helper()
	rewrite := func(change func(h *tar.Header, data []byte) []byte) []byte {
		var out bytes.Buffer
		r, w := tar.NewReader(bytes.NewReader(layout)), tar.NewWriter(&out)
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if data = change(h, data); data == nil {
				continue
			}
			h.Size = int64(len(data))
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := w.Write(data); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	index := func(change func(string) string) []byte {
		return rewrite(func(h *tar.Header, data []byte) []byte {
			if h.Name == "index.json" {
				return []byte(change(string(data)))
			}
			return data
		})
	}
	replace := func(old, with string) []byte {
		return index(func(s string) string { return strings.Replace(s, old, with, 1) })
	}
	return map[string][]byte{
		"empty":           nil,
		"cut off":         layout[:len(layout)/2],
		"no index":        rewrite(func(h *tar.Header, d []byte) []byte { return map[bool][]byte{false: d}[h.Name == "index.json"] }),
		"no bundles":      index(func(string) string { return `{"schemaVersion":2,"manifests":[]}` }),
		"no JSON":         index(func(string) string { return `{` }),
		"another digest":  replace(`"digest":"sha256:`, `"digest":"sha256:0`),
		"another hash":    replace(`"digest":"sha256:`, `"digest":"sha512:`),
		"upwards":         replace(`"digest":"sha256:`, `"digest":"sha256:../../`),
		"a huge index":    index(func(s string) string { return s + strings.Repeat(" ", maxIndex) }),
		"blobs are links": rewrite(linked),
		"blobs are changed": rewrite(func(h *tar.Header, d []byte) []byte {
			if strings.HasPrefix(h.Name, "blobs/") {
				d[len(d)-1] ^= 1
			}
			return d
		}),
		"members twice": append(append([]byte{}, layout[:len(layout)-1024]...), layout...),
	}
}

func linked(h *tar.Header, data []byte) []byte {
	if strings.HasPrefix(h.Name, "blobs/") {
		h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd"
		return []byte{}
	}
	return data
}
