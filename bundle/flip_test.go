package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"fx/bundle"
	"fx/ca/identity"
	"fx/schema"
)

// TestEveryByteCounts changes every byte of a small signed bundle, cuts it off
// after every byte, and takes every byte out. Nothing of it may be accepted, and
// each refusal is one of a bundle (exit code 3) or of its signatures (4).
func TestEveryByteCounts(t *testing.T) {
	tree := fstest.MapFS{
		"plan.yaml":  mapFile(0o644, []byte("rounds: 3\n")),
		"src/run.sh": mapFile(0o755, []byte("#!/bin/sh\n")),
		"src/empty":  mapFile(0o644, nil),
		"größe.bin":  mapFile(0o644, noise(700, "large")),
	}
	o := options
	o.FrameMax = 512
	good, _ := create(t, tree, o)
	s := sign(t, good)
	if _, err := s.verify(good); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, i int, data []byte) {
		t.Helper()
		_, err := s.verify(data)
		if !errors.Is(err, schema.ErrInvalid) && !errors.Is(err, identity.ErrUntrusted) {
			t.Fatalf("byte %d of %d %s: got %v, want a refusal", i, len(good), what, err)
		}
	}
	bad := bytes.Clone(good)
	for i := range good {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			bad[i] ^= flip
			refused("changed", i, bad)
			bad[i] ^= flip
		}
		refused("and all that follow cut off", i, good[:i])
		refused("taken out", i, append(bytes.Clone(good[:i]), good[i+1:]...))
	}
	refused("one more", len(good), append(bytes.Clone(good), 0))
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.fxb")
	id, err := bundle.CreateFile(context.Background(), path, sample(), options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.CreateFile(context.Background(), path, sample(), options); err == nil {
		t.Error("created over a file that exists")
	}
	b, err := bundle.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.ID() != id {
		t.Errorf("got id %s, want %s", b.ID(), id)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	link := filepath.Join(dir, "link.fxb")
	if err := os.Symlink("x.fxb", link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	for _, p := range []string{link, dir} {
		if _, err := bundle.OpenFile(p); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%q: got %v, want a refusal", p, err)
		}
	}
}

func TestExtract(t *testing.T) {
	data, id := create(t, sample(), options)
	c := mustCheck(t, data)
	dir := filepath.Join(t.TempDir(), "out")
	if err := c.Extract(context.Background(), dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writable(t, dir) })
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	// What came out packs to the same bundle, modes included.
	if _, again := create(t, root.FS(), options); again != id {
		t.Errorf("the extracted tree has id %s, want %s", again, id)
	}
	if err := root.Close(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]os.FileMode{"src/run.sh": 0o555, "src/empty.py": 0o444, "src": os.ModeDir | 0o555, ".": os.ModeDir | 0o555} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%q has mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
	if err := c.Extract(context.Background(), dir, nil); err == nil {
		t.Error("extracted over a folder that exists")
	}
}

// TestExtractChanged ruins the last frames after the check: nothing may appear.
func TestExtractChanged(t *testing.T) {
	data, _ := create(t, sample(), options)
	c := mustCheck(t, data)
	data[len(data)-2000] ^= 1
	parent := t.TempDir()
	if err := c.Extract(context.Background(), filepath.Join(parent, "out"), nil); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("got %v, want an invalid document", err)
	}
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	data[len(data)-2000] ^= 1
	if err := c.Extract(ctx, filepath.Join(parent, "out"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// writable lets the test's clean-up remove an extracted tree.
func writable(t *testing.T, dir string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o700)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "golden.fxb"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:1024])
	small, _ := create(f, fstest.MapFS{"run.sh": mapFile(0o755, []byte("#!/bin/sh\n"))}, options)
	f.Add(small)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := check(data)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("got %v, want an invalid document", err)
			}
			return
		}
		// What is accepted packs to the same tree again, and is all there.
		var m memory
		o := bundle.Options{Name: c.Name(), Version: c.Version()}
		if _, err := bundle.Create(context.Background(), &m, c.Workspace(), o); err != nil {
			t.Fatal(err)
		}
		if again := mustCheck(t, m.data); again.TreeSHA256() != c.TreeSHA256() {
			t.Fatalf("the tree is %s, packed again %s", c.TreeSHA256(), again.TreeSHA256())
		}
	})
}
