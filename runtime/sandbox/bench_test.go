//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"os/exec"
	"testing"
	"time"

	"fx/runtime/sandbox"
)

// BenchmarkStart starts /bin/true in a full box and waits for its end, beside
// the same without a box.
func BenchmarkStart(b *testing.B) {
	plain, boxed := time.Duration(0), time.Duration(0)
	for b.Loop() {
		start := time.Now()
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		plain += time.Since(start)
		start = time.Now()
		p, err := sandbox.Start(b.Context(), sandbox.Box{Argv: []string{"/bin/true"}, Show: system()})
		if err != nil {
			b.Fatal(err)
		}
		if exit := p.Wait(); exit.Code != 0 {
			b.Fatalf("%+v", exit)
		}
		boxed += time.Since(start)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(ms(plain), "plain-ms")
	b.ReportMetric(ms(boxed), "boxed-ms")
	b.ReportMetric(ms(boxed-plain), "extra-ms")
}
