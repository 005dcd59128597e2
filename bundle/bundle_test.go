package bundle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/ca/identity"
	"fx/ca/trust"
	"fx/schema"
)

// memory is a file in memory.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.data) {
		m.data = append(m.data, make([]byte, need-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

// noise is n bytes that do not compress, a function of n and seed.
func noise(n int, seed string) []byte {
	var out []byte
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func mapFile(mode fs.FileMode, data []byte) *fstest.MapFile {
	return &fstest.MapFile{Mode: mode, Data: data}
}

// sample has every case of the format with 4 KiB frames: empty files, exact
// multiples of a block and of a frame, files that span frames, an executable,
// long paths in both tar forms, other alphabets.
func sample() fstest.MapFS {
	return fstest.MapFS{
		"plan/plan.yaml":   mapFile(0o644, []byte("aggregator:\n  settings: {rounds_to_train: 3}\n")),
		"src/run.sh":       mapFile(0o700, []byte("#!/bin/sh\necho hello\n")),
		"src/empty.py":     mapFile(0o644, nil),
		"src/block.bin":    mapFile(0o600, noise(512, "block")),
		"src/frame.bin":    mapFile(0o644, noise(4096, "frame")),
		"src/zeros.bin":    mapFile(0o644, make([]byte, 3000)),
		"notes/größe.txt":  mapFile(0o644, []byte("metre\n")),
		"weights/a.bin":    mapFile(0o644, noise(3*4096, "a")),
		"weights/b.bin":    mapFile(0o644, noise(2*4096+777, "b")),
		"weights/c.bin":    mapFile(0o644, make([]byte, 4097)),
		longPath(99, "s"):  mapFile(0o644, []byte("fits ustar with a prefix\n")),
		longPath(190, "p"): mapFile(0o644, []byte("needs a PAX record\n")),
	}
}

// longPath is a folder of n bytes with a short file in it.
func longPath(n int, name string) string { return strings.Repeat("d", n) + "/" + name }

var options = bundle.Options{Name: "ward", Version: "1.0", FrameMax: 4096}

func create(t testing.TB, tree fs.FS, o bundle.Options) ([]byte, bundle.ID) {
	t.Helper()
	var m memory
	id, err := bundle.Create(context.Background(), &m, tree, o)
	if err != nil {
		t.Fatal(err)
	}
	return m.data, id
}

// check opens and checks bytes as a bundle.
func check(data []byte) (*bundle.Checked, error) {
	b, err := bundle.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	return b.Check(context.Background(), nil)
}

func mustCheck(t testing.TB, data []byte) *bundle.Checked {
	t.Helper()
	c, err := check(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	tree := sample()
	data, id := create(t, tree, options)
	c := mustCheck(t, data)
	if c.ID() != id {
		t.Errorf("opened id is %s, created %s", c.ID(), id)
	}
	if c.Name() != "ward" || c.Version() != "1.0" {
		t.Errorf("name and version are %q, %q", c.Name(), c.Version())
	}
	w := c.Workspace()
	var names []string
	for name, f := range tree {
		names = append(names, name)
		got, err := fs.ReadFile(w, name)
		if err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("%q: got %d bytes (%v), want %d", name, len(got), err, len(f.Data))
		}
		info, err := fs.Stat(w, name)
		if err != nil {
			t.Fatal(err)
		}
		if x := info.Mode()&0o111 != 0; x != (f.Mode&0o111 != 0) || info.Mode()&0o222 != 0 {
			t.Errorf("%q has mode %v, source %v", name, info.Mode(), f.Mode)
		}
	}
	if err := fstest.TestFS(w, names...); err != nil {
		t.Error(err)
	}
}

func TestRandomAccess(t *testing.T) {
	tree := sample()
	data, _ := create(t, tree, options)
	f, err := mustCheck(t, data).Workspace().Open("weights/b.bin")
	if err != nil {
		t.Fatal(err)
	}
	want := tree["weights/b.bin"].Data
	for _, at := range []struct{ off, n int }{{0, 1}, {4095, 2}, {8000, len(want) - 8000}, {0, len(want)}} {
		got := make([]byte, at.n)
		if _, err := f.(io.ReaderAt).ReadAt(got, int64(at.off)); err != nil || !bytes.Equal(got, want[at.off:at.off+at.n]) {
			t.Errorf("%d bytes at %d: %v", at.n, at.off, err)
		}
	}
	if n, err := f.(io.ReaderAt).ReadAt(make([]byte, 10), int64(len(want)-4)); n != 4 || err != io.EOF {
		t.Errorf("reading over the end: got %d, %v", n, err)
	}
	if _, err := f.(io.Seeker).Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); err != nil || !bytes.Equal(rest, want[len(want)-3:]) {
		t.Errorf("after Seek: %v, %v", rest, err)
	}
}

// TestChangedLater changes the file under an open, checked bundle.
func TestChangedLater(t *testing.T) {
	data, _ := create(t, sample(), options)
	w := mustCheck(t, data).Workspace()
	data[len(data)-2000] ^= 1 // in the last frames
	var failed bool
	for name := range sample() {
		got, err := fs.ReadFile(w, name)
		failed = failed || err != nil
		if err == nil && !bytes.Equal(got, sample()[name].Data) {
			t.Errorf("%q: got other bytes than were checked", name)
		}
		if err != nil && !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%q: got %v, want an invalid document", name, err)
		}
	}
	if !failed {
		t.Error("nothing noticed the change")
	}
}

func TestSameTreeSameBytes(t *testing.T) {
	want, id := create(t, sample(), options)
	for workers := 1; workers <= 5; workers++ {
		o := options
		o.Workers = workers
		if got, _ := create(t, sample(), o); !bytes.Equal(got, want) {
			t.Errorf("%d workers make other bytes", workers)
		}
	}
	// The same tree on a disk, with other times, owners, modes and order.
	dir := t.TempDir()
	for name, f := range sample() {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, f.Mode&0o711); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, again := create(t, root.FS(), options)
	if err := root.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || again != id {
		t.Error("the same tree on a disk makes other bytes")
	}
	// What Check serves packs to the same bytes again.
	if got, _ := create(t, mustCheck(t, want).Workspace(), options); !bytes.Equal(got, want) {
		t.Error("a bundle's own workspace makes other bytes")
	}
}

// TestGolden pins the format and the compressor's output. A change of these
// bytes is a change of the format: see FORMAT.md.
func TestGolden(t *testing.T) {
	got, id := create(t, sample(), options)
	const wantID = "4878be6a8bfe8045eee4ca0c83d47a63642b725d04d4eae53f323af4b6506f8f"
	path := filepath.Join("testdata", "golden.fxb")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Create makes other bytes than %s", path)
	}
	if id.String() != wantID {
		t.Errorf("the id is %s, want %s", id, wantID)
	}
	mustCheck(t, want)
}

// signed is a bundle with just enough signatures, and what judges them.
type signed struct {
	data    []byte
	sidecar *approval.Sidecar
	anchors *trust.Anchors
}

func sign(t *testing.T, data []byte) signed {
	t.Helper()
	ca := newAuthority(t, "signing CA")
	alice, bob := ca.signer(identity.Publisher, "alice", p256(t)), ca.signer(identity.Reviewer, "bob", ed(t))
	c := mustCheck(t, data)
	s := c.Subject()
	s.FileSHA256 = fmt.Sprintf("%x", sha256.Sum256(data))
	release, err := approval.SignRelease(alice.key, alice.cert, s, approval.Release{
		Name: s.Name, Version: s.Version, TreeSHA256: s.TreeSHA256, CreatedAt: approval.Time(now), Tool: "test"})
	if err != nil {
		t.Fatal(err)
	}
	review, err := approval.SignReview(bob.key, bob.cert, s, approval.Review{Decision: approval.Approved,
		ReviewedAt: approval.Time(now), ValidFrom: approval.Time(now), ValidUntil: approval.Time(now.AddDate(0, 1, 0))})
	if err != nil {
		t.Fatal(err)
	}
	sidecar := &approval.Sidecar{}
	for _, a := range []approval.Attestation{release, review} {
		if sidecar, err = sidecar.Add(a); err != nil {
			t.Fatal(err)
		}
	}
	return signed{data: data, sidecar: sidecar, anchors: ca.anchors()}
}

func (s signed) verify(data []byte) (*bundle.Verified, error) {
	b, err := bundle.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	return b.Verify(context.Background(), s.anchors, approval.Policy{}, s.sidecar, now)
}

func TestVerify(t *testing.T) {
	data, id := create(t, sample(), options)
	s := sign(t, data)
	v, err := s.verify(data)
	if err != nil {
		t.Fatal(err)
	}
	if v.ID() != id || v.Release().Name != "alice" || len(v.Approvals()) != 1 || v.Approvals()[0].Name != "bob" {
		t.Errorf("got id %s, release %+v, approvals %+v", v.ID(), v.Release(), v.Approvals())
	}
	got, err := fs.ReadFile(v.Workspace(), "plan/plan.yaml")
	if err != nil || !bytes.Equal(got, sample()["plan/plan.yaml"].Data) {
		t.Errorf("got %q, %v", got, err)
	}
	other := options
	other.Version = "1.1"
	if data, _ := create(t, sample(), other); true {
		if _, err := s.verify(data); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("signatures of another bundle: got %v, want a refusal", err)
		}
	}
}

// TestPolicyBeforeFrames makes sure that no data frame is touched before the
// signatures are in order: an unsigned bundle with a ruined frame is refused for
// its signatures.
func TestPolicyBeforeFrames(t *testing.T) {
	data, _ := create(t, sample(), options)
	s := sign(t, data)
	s.sidecar = nil
	touched := &counting{r: bytes.NewReader(data)}
	b, err := bundle.Open(touched, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	before := touched.n
	if _, err := b.Verify(context.Background(), s.anchors, approval.Policy{}, nil, now); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("got %v, want a refusal", err)
	}
	if touched.n != before {
		t.Errorf("%d reads before the signatures were in order", touched.n-before)
	}
}

type counting struct {
	r io.ReaderAt
	n int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n++
	return c.r.ReadAt(p, off)
}
