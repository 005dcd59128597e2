package bundle

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkTree packs the folder FX_BENCH_TREE, and nothing else: no check of a
// workspace, no reading back, no signature. scripts/bench/bundle.sh runs it
// beside tar and zstd.
func BenchmarkTree(b *testing.B) {
	dir := os.Getenv("FX_BENCH_TREE")
	if dir == "" {
		b.Skip("FX_BENCH_TREE names no folder")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := root.Close(); err != nil {
			b.Error(err)
		}
	}()
	out := filepath.Join(filepath.Dir(dir), "pack.fxb")
	for b.Loop() {
		f, err := os.Create(out)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Create(context.Background(), f, root.FS(), Options{Name: "bench", Version: "1"}); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFrames opens the bundle FX_BENCH_BUNDLE and compares the digest of
// every frame, side by side, which is what pins each byte of the file, and no
// more: nothing is decompressed, no file's digest is taken.
func BenchmarkFrames(b *testing.B) {
	path := os.Getenv("FX_BENCH_BUNDLE")
	if path == "" {
		b.Skip("FX_BENCH_BUNDLE names no file")
	}
	none := func(int, *buffers) error { return nil }
	for b.Loop() {
		bundle, err := OpenFile(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := inOrder(context.Background(), workerCount(0), len(bundle.manifest.Frames), none, bundle.readPacked, none); err != nil {
			b.Fatal(err)
		}
		if err := bundle.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
