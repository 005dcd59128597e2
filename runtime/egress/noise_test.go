package egress

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"fx/runtime/tensor"
)

// seeded is a source that gives the same bytes every time.
func seeded(n byte) io.Reader { return mathrand.NewChaCha8([32]byte{n}) }

// TestDiscreteGaussian compares frequencies with the probabilities
// exp(−z²/2s²)/Σ, by the chi-squared statistic.
func TestDiscreteGaussian(t *testing.T) {
	const draws = 200_000
	for _, deviation := range []uint64{1, 2, 5} {
		g := newGaussian(seeded(1), deviation)
		count := map[int64]int{}
		for range draws {
			count[g.draw()]++
		}
		s := float64(deviation)
		weight := func(z int64) float64 { return math.Exp(-float64(z*z) / (2 * s * s)) }
		total := 0.0
		for z := int64(-100); z <= 100; z++ {
			total += weight(z)
		}
		chi, cells := 0.0, 0.0
		for z := int64(-100); z <= 100; z++ {
			if want := draws * weight(z) / total; want > 20 {
				chi += (float64(count[z]) - want) * (float64(count[z]) - want) / want
				cells++
			}
		}
		if bound := cells + 5*math.Sqrt(2*cells); chi > bound || g.err != nil {
			t.Errorf("deviation %d: chi squared %v over %v cells, want at most %v (%v)", deviation, chi, cells, bound, g.err)
		}
	}
}

// TestNoiseIsGaussian at the size that is used: moments, and the share of draws
// in each fifth of a normal distribution.
func TestNoiseIsGaussian(t *testing.T) {
	const n = 200_000
	_, deviation := grid(1.1)
	g := newGaussian(seeded(2), deviation)
	var sum, squares, fourth float64
	fifths := [5]int{}
	for range n {
		x := float64(g.draw()) / float64(deviation)
		sum, squares, fourth = sum+x, squares+x*x, fourth+x*x*x*x
		p := math.Erfc(-x/math.Sqrt2) / 2
		fifths[min(int(5*p), 4)]++
	}
	// Standard errors: 1/√n of the mean, √2/√n of the variance, √96/√n of the fourth moment.
	root := math.Sqrt(n)
	if m, v, f := sum/n, squares/n, fourth/n; math.Abs(m) > 5/root || math.Abs(v-1) > 5*math.Sqrt2/root || math.Abs(f-3) > 5*math.Sqrt(96)/root {
		t.Errorf("mean %v, variance %v, fourth moment %v; want 0, 1, 3", m, v, f)
	}
	for i, c := range fifths {
		if math.Abs(float64(c)-n/5) > 5*math.Sqrt(n*0.16) {
			t.Errorf("fifth %d has %d of %d draws", i, c, n)
		}
	}
}

func TestGrid(t *testing.T) {
	for _, sigma := range []float64{1e-30, 0.3, 1, 1.1, 2, 1e30} {
		step, deviation := grid(sigma)
		if f, _ := math.Frexp(step); f != 0.5 {
			t.Errorf("sigma %v: the step %v is no power of two", sigma, step)
		}
		if got := step * float64(deviation); got < sigma || got > sigma*(1+1e-7) || deviation < 1<<gridBits || deviation > 2<<gridBits {
			t.Errorf("sigma %v: %d steps of %v", sigma, deviation, step)
		}
	}
}

// noised reads what leaves of values, whose model is base.
func noised(t *testing.T, base, trained []float32, sigma float64, random io.Reader) []float32 {
	t.Helper()
	b, err := io.ReadAll(Noised(bytes.NewReader(tensor.AppendFloat32s(nil, base)), bytes.NewReader(tensor.AppendFloat32s(nil, trained)), 1, sigma, random))
	if err != nil {
		t.Fatal(err)
	}
	return tensor.Float32s(b)
}

// TestNoiseIsOnAGrid: without a model to add to, what leaves is whole steps of a
// power of two; its low bits say nothing about what was under the noise.
func TestNoiseIsOnAGrid(t *testing.T) {
	trained := []float32{0.1, math.Pi, -1e-30, 1e-9, 0}
	step, _ := grid(0.7)
	for _, v := range noised(t, make([]float32, len(trained)), trained, 0.7, seeded(3)) {
		if r := math.Mod(float64(v), step); r != 0 {
			t.Errorf("%v is %v beside the grid of %v", v, r, step)
		}
	}
}

// TestCutChangesDoNotGrow: what the noise is added to has at most the norm that
// the noise is for. A source of zeros draws 0.
func TestCutChangesDoNotGrow(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	base, trained := make([]float32, 1000), make([]float32, 1000)
	for i := range base {
		base[i] = float32(r.NormFloat64())
		trained[i] = base[i] + float32(r.NormFloat64())
	}
	from, to := tensor.AppendFloat32s(nil, base), tensor.AppendFloat32s(nil, trained)
	norm, err := ChangeNorm(bytes.NewReader(from), bytes.NewReader(to))
	if err != nil {
		t.Fatal(err)
	}
	step, _ := grid(1.5)
	squares := 0.0
	for i := range trained {
		change := math.Trunc((1 - slack) / norm * (float64(trained[i]) - float64(base[i])) / step)
		squares += change * change
	}
	if got := math.Sqrt(squares) * step; got > 1 || got < 1-1e-5 {
		t.Errorf("a change that was clipped to 1 has norm %v on the grid", got)
	}
}

func TestNoiseHasItsDeviation(t *testing.T) {
	n := 100_003 // several blocks and a rest
	base, trained := make([]float32, n), make([]float32, n)
	for i := range base {
		base[i], trained[i] = 5, 5.25
	}
	sum, squares := 0.0, 0.0
	for _, v := range noised(t, base, trained, 0.5, seeded(4)) {
		d := float64(v) - 5.25
		sum, squares = sum+d, squares+d*d
	}
	mean, deviation := sum/float64(n), math.Sqrt(squares/float64(n))
	if math.Abs(mean) > 5*0.5/math.Sqrt(float64(n)) || math.Abs(deviation-0.5) > 0.01 {
		t.Errorf("mean %v and deviation %v around the change, want 0 and 0.5", mean, deviation)
	}
}

func TestNoiseDiffersEachTime(t *testing.T) {
	zero := make([]float32, 8)
	a, b := noised(t, zero, zero, 1, rand.Reader), noised(t, zero, zero, 1, rand.Reader)
	for i := range a {
		if a[i] == b[i] && a[(i+1)%8] == b[(i+1)%8] {
			t.Errorf("the same noise was drawn twice: %v and %v", a, b)
		}
	}
}

func TestNoiseFailsWithItsSource(t *testing.T) {
	broken := errors.New("no entropy")
	values := func() io.Reader { return bytes.NewReader(make([]byte, 400)) }
	for _, random := range []io.Reader{iotest.ErrReader(broken), io.LimitReader(seeded(5), 100)} {
		if _, err := io.ReadAll(Noised(values(), values(), 1, 1, random)); err == nil || !strings.Contains(err.Error(), "cannot draw random numbers") {
			t.Errorf("error %v, want one about the source", err)
		}
	}
	huge := tensor.AppendFloat32s(nil, []float32{math.MaxFloat32})
	if _, err := io.ReadAll(Noised(bytes.NewReader(make([]byte, 4)), bytes.NewReader(huge), 1, 1e-6, seeded(6))); err == nil {
		t.Error("a change that was not clipped got noise")
	}
}

func BenchmarkNoised(b *testing.B) {
	values := make([]byte, 4<<20)
	b.SetBytes(int64(len(values)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.Copy(io.Discard, Noised(bytes.NewReader(values), bytes.NewReader(values), 1, 1.1, rand.Reader)); err != nil {
			b.Fatal(err)
		}
	}
}
