package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"fx/runtime/tensor"
)

// Noise is added on a grid, not to floating-point numbers, whose rounding would
// give away what was under the noise (Mironov 2012, "On significance of the
// least significant bits for differential privacy"). The change is cut down to
// whole steps of a grid, towards zero, so that its norm cannot grow; to that an
// integer of the discrete Gaussian distribution is added (Canonne, Kamath and
// Steinke 2020, arXiv:2004.00010), drawn exactly, in integer arithmetic. What
// leaves is a function of that sum and of the model that the aggregator has.
const (
	// gridBits: a grid step is the power of two so that the standard deviation is
	// 2^24 to 2^25 steps. The difference to a Gaussian is then far below 1e-1000,
	// and squares of what is drawn fit 64 bits.
	gridBits = 24
	// slack is taken off the norm of a change that gets noise: it covers what
	// rounding in float64 can add to a norm over 2^33 values.
	slack = 1.0 / (1 << 20)
)

// grid returns the step for noise of a standard deviation, and the deviation in
// steps, rounded up.
func grid(sigma float64) (step float64, deviation uint64) {
	_, exponent := math.Frexp(sigma) // sigma = f·2^exponent, f in [1/2, 1)
	step = math.Ldexp(1, exponent-1-gridBits)
	return step, uint64(math.Ceil(sigma / step))
}

// gaussian draws from the discrete Gaussian distribution: the integer z with
// probability proportional to exp(−z²/(2·deviation²)).
type gaussian struct {
	random    io.Reader
	buffer    [64 << 10]byte
	next      int    // of buffer, what is not used yet
	deviation uint64 // at most 2^25
	bits      uint64 // random bits not used yet
	left      int
	err       error // of the source, which ends everything
}

func newGaussian(random io.Reader, deviation uint64) *gaussian {
	g := &gaussian{random: random, deviation: deviation}
	g.next = len(g.buffer)
	return g
}

func (g *gaussian) word() uint64 {
	if g.next == len(g.buffer) {
		if _, err := io.ReadFull(g.random, g.buffer[:]); err != nil && g.err == nil {
			g.err = fmt.Errorf("cannot draw random numbers: %v", err)
		}
		g.next = 0
	}
	w := binary.LittleEndian.Uint64(g.buffer[g.next:])
	g.next += 8
	return w
}

func (g *gaussian) bit() bool {
	if g.left == 0 {
		g.bits, g.left = g.word(), 64
	}
	one := g.bits&1 == 1
	g.bits >>= 1
	g.left--
	return one
}

// below draws uniformly from 0 to n−1 (Lemire 2019, arXiv:1805.10941).
func (g *gaussian) below(n uint64) uint64 {
	high, low := bits.Mul64(g.word(), n)
	if low < n {
		for rest := -n % n; low < rest && g.err == nil; {
			high, low = bits.Mul64(g.word(), n)
		}
	}
	return high
}

// exp is true with probability exp(−p/q) (algorithm 1 of the paper). p/q must be
// at most 1, and q below 2^58.
func (g *gaussian) exp(p, q uint64) bool {
	for k := uint64(1); g.err == nil; k++ {
		if g.below(q*k) >= p {
			return k%2 == 1
		}
	}
	return true
}

// draw returns one number (algorithms 2 and 3 of the paper, with t = deviation).
// After an error of the source it is meaningless, and err is set.
func (g *gaussian) draw() int64 {
	t := g.deviation
	for g.err == nil {
		// A discrete Laplace number of scale t: u + t·v, with a sign.
		u := g.below(t)
		if !g.exp(u, t) {
			continue
		}
		v := uint64(0)
		for v < 64 && g.exp(1, 1) { // beyond 64 the probability is below e^-64, and it would not be taken
			v++
		}
		size, negative := u+t*v, g.bit()
		if negative && size == 0 {
			continue
		}
		// It is taken with probability exp(−(size − t)²/(2·t²)).
		d := size - t
		if size < t {
			d = t - size
		}
		p, q := d*d, 2*t*t
		taken := true
		for ; p > q && taken && g.err == nil; p -= q {
			taken = g.exp(1, 1)
		}
		if !taken || !g.exp(p, q) {
			continue
		}
		if negative {
			return -int64(size)
		}
		return int64(size)
	}
	return 0
}

// Noised reads base + steps·grid, where steps is factor·(trained − base) in whole
// steps plus Gaussian noise of standard deviation sigma, rounded to float32.
// random must be a source that nobody can foresee.
func Noised(base, trained io.Reader, factor, sigma float64, random io.Reader) io.Reader {
	step, deviation := grid(sigma)
	g := newGaussian(random, deviation)
	factor *= 1 - slack
	return &mapped{pairs: newPairs(base, trained), value: func(from, to float64) (float64, error) {
		change := math.Trunc(factor * (to - from) / step)
		if !(math.Abs(change) < 1<<62) { // clipping sees to it that it is far less
			return 0, errors.New("a change is too large for its noise: it was not clipped")
		}
		steps := int64(change) + g.draw()
		return bounded(from + float64(steps)*step), g.err
	}}
}

// bounded keeps a value within what a float32 holds.
func bounded(v float64) float64 {
	return math.Max(-math.MaxFloat32, math.Min(v, math.MaxFloat32))
}

// mapped reads what a function makes of each pair of values, as float32.
type mapped struct {
	*pairs
	value  func(base, trained float64) (float64, error)
	values []float32
	out    []byte // what is still to be read
	spare  []byte
}

// Read implements [io.Reader].
func (m *mapped) Read(p []byte) (int, error) {
	if len(m.out) == 0 {
		from, to, err := m.next()
		if err != nil {
			return 0, err
		}
		m.values = m.values[:0]
		for i, v := range to {
			value, err := m.value(float64(from[i]), float64(v))
			if err != nil {
				return 0, err
			}
			m.values = append(m.values, float32(value))
		}
		m.spare = tensor.AppendFloat32s(m.spare[:0], m.values)
		m.out = m.spare
	}
	n := copy(p, m.out)
	m.out = m.out[n:]
	return n, nil
}
