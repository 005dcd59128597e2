package aggregator

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"fx/bundle"
	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/runtime/transport"
)

// TestMemoryDoesNotGrowWithTheModel runs a round in which three collaborators, at
// once, download a model and upload as much, and looks at the heap, which has the
// collaborators' share in it: never is there as much as one model.
// scripts/bench/memory.sh does so with large models and many collaborators.
func TestMemoryDoesNotGrowWithTheModel(t *testing.T) {
	const tensors, size = 48, 1 << 20
	names := []string{"one", "two", "three"}
	path := filepath.Join(t.TempDir(), "init.pbuf")
	var all []tensor.NamedSource
	for i := range tensors {
		n := source(layer(i), []int{size / 4}, nil)
		n.DataSize, n.Data = size, io.LimitReader(zeros{}, size)
		all = append(all, n)
	}
	if err := tensor.WriteFile(path, false, func(w io.Writer) error { return tensor.WriteModel(w, all) }); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	model, err := tensor.ScanModel(file, fileSize(t, file))
	if err != nil {
		t.Fatal(err)
	}
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		f.Roster = names
		f.Model = &bundle.Model{Tensors: model, Data: file, Pipeline: codec.NoCompression{}}
	}}
	b.mustStart()
	uploads := map[string]*os.File{}
	for _, name := range names {
		uploads[name] = largeResult(t, b, name, model)
	}
	peak := watchHeap(t)
	var sites sync.WaitGroup
	for _, name := range names {
		sites.Go(func() { playLarge(t, b, name, uploads[name], model) })
	}
	sites.Wait()
	if got := b.agg.Report().Rounds; got != 1 {
		t.Fatalf("%d rounds were closed, want 1", got)
	}
	if got, most := peak(), uint64(tensors*size*3/4); got > most {
		t.Errorf("the heap had up to %d bytes, want at most %d; the model has %d", got, most, tensors*size)
	}
}

func layer(i int) string { return string([]byte{'l', byte('0' + i/10), byte('0' + i%10)}) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func fileSize(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// largeResult writes a training result, with tensors like the model's, to a file.
func largeResult(t *testing.T, b *testbed, name string, model []tensor.Named) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write(b.message(name, result{0, "train", 100, nil})); err != nil {
		t.Fatal(err)
	}
	for _, n := range model {
		n.Tags = []string{"compressed", "trained"}
		body := n.AppendHeader(nil)
		const tensorsField = 5
		frame := protowire.AppendVarint(protowire.AppendTag(nil, tensorsField, protowire.BytesType), uint64(int64(len(body))+n.DataSize))
		if _, err := f.Write(append(frame, body...)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(f, zeros{}, n.DataSize); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// playLarge does all of the round's tasks as a collaborator.
func playLarge(t *testing.T, b *testbed, name string, upload *os.File, model []tensor.Named) {
	for _, n := range model {
		d, err := b.clients[name].Download(t.Context(), transport.TensorRequest{Name: n.Name, Tags: []string{"model"}, RequireLossless: true, Limit: n.DataSize})
		if err != nil {
			t.Error(err)
			return
		}
		if d.Size() != n.DataSize {
			t.Errorf("tensor %q has %d bytes, want %d", n.Name, d.Size(), n.DataSize)
		}
		d.Free()
	}
	w := make([]float32, 6)
	for _, task := range traceTasks {
		r, size := io.ReaderAt(upload), fileSize(t, upload)
		if task != "train" {
			msg := b.message(name, traceResult(name, task, 0, w))
			r, size = bytes.NewReader(msg), int64(len(msg))
		}
		if err := b.clients[name].Send(t.Context(), r, size); err != nil {
			t.Errorf("%s, %s: %v", name, task, err)
		}
	}
}

// watchHeap looks at the heap until the function that it returns is called,
// which says how large it was at most. Garbage is collected early.
func watchHeap(t *testing.T) func() uint64 {
	t.Helper()
	percent := debug.SetGCPercent(20)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	end, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-end:
				peak <- most
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(end)
		return <-peak
	}
}
