//go:build linux

package taskrunner

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fx/runtime/sandbox"
	"fx/runtime/tensor"
)

// nothing is an endless source of zeros.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// BenchmarkHandOver hands a model of 400 MB to a boxed program, which maps it and
// writes a new one of the same size, and takes that back: as an open file, or as
// a copy on disk. Beside it stand two copies of the same bytes in memory: the
// least that could be, into memory that is there (ratio), and what a program that
// makes a new model needs anyway, into memory that the kernel first has to find
// (fresh-ratio).
func BenchmarkHandOver(b *testing.B) {
	b.Run("opened", func(b *testing.B) { benchmarkHandOver(b, true) })
	b.Run("copied", func(b *testing.B) { benchmarkHandOver(b, false) })
}

func benchmarkHandOver(b *testing.B, lend bool) {
	const bytes = 400 << 20
	r, o := double(b, "copies", func(o *Options) {
		o.Box.Limits = sandbox.Limits{Memory: 2 << 30, Scratch: 1 << 30}
	})
	model := filepath.Join(o.Scratch, "model.safetensors")
	err := tensor.WriteFile(model, true, func(w io.Writer) error {
		return tensor.WriteSafetensors(w, nil, []tensor.Source{{
			Info: tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{bytes / 4}}, Data: io.LimitReader(nothing{}, bytes),
		}})
	})
	if err != nil {
		b.Fatal(err)
	}
	job := Job{
		Task:   task("train", "train_task", m{"metrics": []any{"loss", "accuracy"}}),
		Inputs: model, Output: filepath.Join(o.Scratch, "out"), Lend: lend,
	}
	run := func() {
		got, err := r.Run(b.Context(), job)
		needBox(b, err)
		if err == nil && lend {
			err = got.File.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	run() // starts the program
	from, to := touched(bytes), touched(bytes)
	var copying, fresh, handing time.Duration
	b.SetBytes(2 * bytes)
	for b.Loop() {
		start := time.Now()
		copy(to, from)
		copy(from, to)
		copying += time.Since(start)
		start = time.Now()
		for range 2 {
			p, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			if err != nil {
				b.Fatal(err)
			}
			copy(p, from)
			if err := unix.Munmap(p); err != nil {
				b.Fatal(err)
			}
		}
		fresh += time.Since(start)
		start = time.Now()
		run()
		handing += time.Since(start)
	}
	b.ReportMetric(copying.Seconds()/float64(b.N), "copy-s")
	b.ReportMetric(handing.Seconds()/float64(b.N), "handover-s")
	b.ReportMetric(handing.Seconds()/copying.Seconds(), "ratio")
	b.ReportMetric(handing.Seconds()/fresh.Seconds(), "fresh-ratio")
}

// touched is memory whose every page is there.
func touched(n int) []byte {
	p := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		p[i] = 1
	}
	return p
}
