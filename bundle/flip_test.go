package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"fx/bundle"
	"fx/bundle/approval"
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
		if err := refusal(s, data); err != nil {
			t.Fatalf("byte %d of %d %s: %v", i, len(good), what, err)
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

// refusal verifies bytes that are no longer the signed bundle and says what is
// wrong if they are not refused for a cause that has a name.
func refusal(s signed, data []byte) error {
	_, err := s.verify(data)
	var fault *bundle.Fault
	var refused *approval.Refusal
	switch {
	case errors.As(err, &fault) && fault.Cause != "" && errors.Is(err, schema.ErrInvalid):
	case errors.As(err, &refused) && errors.Is(err, identity.ErrUntrusted):
	default:
		return fmt.Errorf("got %v, want a refusal with a cause", err)
	}
	return nil
}

// TestRandomMutations changes a signed bundle of half a megabyte in 10,000 ways that
// come from a seed: FX_MUTATIONS asks for another number, FX_SEED for others.
func TestRandomMutations(t *testing.T) {
	n, seed := number(t, "FX_MUTATIONS", 10_000), number(t, "FX_SEED", 1)
	if testing.Short() {
		n = min(n, 500)
	}
	tree := fstest.MapFS{"plan/plan.yaml": mapFile(0o644, []byte("rounds: 3\n"))}
	for i := range 40 {
		tree[fmt.Sprintf("src/module%d.py", i)] = mapFile(0o644, bytes.Repeat(fmt.Appendf(nil, "x%d = %d\n", i, i), 100))
	}
	tree["weights.bin"] = mapFile(0o644, noise(500<<10, "random"))
	tree["zeros.bin"] = mapFile(0o644, make([]byte, 100<<10))
	o := options
	o.FrameMax = 32 << 10
	good, _ := create(t, tree, o)
	s := sign(t, good)
	if _, err := s.verify(good); err != nil {
		t.Fatal(err)
	}
	workers := runtime.GOMAXPROCS(0)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := w; i < n; i += workers {
				bad, what := mutate(rand.New(rand.NewPCG(uint64(seed), uint64(i))), good)
				if bytes.Equal(bad, good) {
					continue
				}
				if err := refusal(s, bad); err != nil {
					t.Errorf("mutation %d (%s): %v", i, what, err)
				}
			}
		})
	}
	running.Wait()
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a positive number", variable, text)
	}
	return n
}

// mutate makes one change: half of them are to the head or the seek table, which
// are small and would otherwise be hit rarely.
func mutate(r *rand.Rand, good []byte) (bad []byte, what string) {
	place := func() int {
		switch r.IntN(4) {
		case 0:
			return r.IntN(8 << 10)
		case 1:
			return len(good) - 1 - r.IntN(400)
		}
		return r.IntN(len(good))
	}
	i, j := place(), place()
	n := min(1<<r.IntN(14), len(good)-max(i, j))
	bad = bytes.Clone(good)
	switch r.IntN(8) {
	case 0:
		bad[i] ^= 1 << r.IntN(8)
		what = "bit"
	case 1:
		bad[i] = byte(r.IntN(256))
		what = "byte"
	case 2:
		clear(bad[i : i+n])
		what = "cleared"
	case 3:
		copy(bad[i:i+n], good[j:j+n])
		what = "copied"
	case 4:
		copy(bad[i:i+n], good[j:j+n])
		copy(bad[j:j+n], good[i:i+n])
		what = "exchanged"
	case 5:
		bad = slices.Delete(bad, i, i+n)
		what = "deleted"
	case 6:
		bad = slices.Insert(bad, i, good[j:j+n]...)
		what = "inserted"
	case 7:
		bad = bad[:i]
		what = "cut off"
	}
	return bad, fmt.Sprintf("%d bytes at %d %s", n, i, what)
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
	b := mustOpen(t, data)
	dir := filepath.Join(t.TempDir(), "out")
	c, err := b.Extract(context.Background(), dir, nil)
	if err != nil {
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
	if _, err := c.Extract(context.Background(), dir, nil); err == nil {
		t.Error("extracted over a folder that exists")
	}
}

// TestExtractRefused extracts what is not in order, and is interrupted: the
// cause is Check's, and nothing is left behind.
func TestExtractRefused(t *testing.T) {
	vectors, err := filepath.Glob(filepath.Join("testdata", "vectors", "*.fxb"))
	if err != nil || len(vectors) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	extracted := 0
	for _, path := range vectors {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			continue // nothing to extract
		}
		extracted++
		parent := t.TempDir()
		_, err = b.Extract(context.Background(), filepath.Join(parent, "out"), nil)
		got, ok := errors.AsType[*bundle.Fault](err)
		if want, _, _ := strings.Cut(filepath.Base(path), "."); !ok || string(got.Cause) != want {
			t.Errorf("%s: got %v, want the cause %s", path, err, want)
		}
		empty(t, parent)
	}
	if extracted < 20 {
		t.Errorf("only %d vectors reached the contents", extracted)
	}
}

// TestExtractInterrupted stops after each frame in turn.
func TestExtractInterrupted(t *testing.T) {
	data, _ := create(t, sample(), options)
	b := mustOpen(t, data)
	parent := t.TempDir()
	for stop := 0; ; stop++ {
		ctx, cancel := context.WithCancel(context.Background())
		frames := 0
		count := func(int64) {
			if frames++; frames == stop {
				cancel()
			}
		}
		if stop == 0 {
			cancel()
		}
		dir := filepath.Join(parent, "out")
		_, err := b.Extract(ctx, dir, count)
		cancel()
		if err == nil {
			if stop < 2 {
				t.Errorf("was not interrupted after %d frames", stop)
			}
			writable(t, dir)
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the cancellation", err)
		}
		empty(t, parent)
	}
}

// mustOpen opens a bundle whose contents nobody has looked at.
func mustOpen(t *testing.T, data []byte) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
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
