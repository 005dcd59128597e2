package taskrunner

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"fx/runtime/tensor"
)

// Bounds on what a plan may ask for.
const (
	maxCount    = 1_000_000 // features, hidden units, classes, samples in a batch, epochs
	maxElements = 1 << 26   // of all tensors, or of a layer of a batch: 512 MiB of float64
)

// params are the values of a model's tensors, in the order of tensors(), in
// float64: rounding to float32 happens only on the way out.
type params [][]float64

// model is a classifier with a fixed list of tensors. Matrices are
// [inputs, outputs], so a batch goes through as rows times matrix.
type model interface {
	tensors() []tensor.Info
	initial(seed int) params
	inputs() int
	classes() int
	width() int // the most values that a sample has in any layer
	// logits computes the scores of a batch of rows×inputs values, rows×classes.
	// The answer is valid until the next call.
	logits(p params, x []float64, rows int) []float64
	// gradients overwrites g, given the derivative of the loss by the logits of
	// the batch that logits has just seen.
	gradients(p params, x []float64, rows int, dlogits []float64, g params)
}

// elements counts the values of all tensors.
func elements(m model) int {
	n := 0
	for _, info := range m.tensors() {
		n += info.Elements()
	}
	return n
}

// zeros makes parameters of the model's shape, all zero.
func zeros(m model) params {
	p := make(params, len(m.tensors()))
	for i, info := range m.tensors() {
		p[i] = make([]float64, info.Elements())
	}
	return p
}

// glorot fills a fan-in × fan-out matrix with uniform values in ±sqrt(6/(in+out))
// (Glorot and Bengio, 2010), a function of seed and name alone.
func glorot(w []float64, in, out, seed int, name string) {
	r := random("initial", seed, name)
	limit := math.Sqrt(6 / float64(in+out))
	for i := range w {
		w[i] = limit * (2*r.Float64() - 1)
	}
}

// random is a generator that depends on its arguments and nothing else.
func random(a ...any) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%#v", a))))
}

// matmul sets c = op(a)·op(b) + beta·c for row-major matrices.
func matmul(ta, tb blas.Transpose, a, b table, beta float64, c table) {
	k := a.cols
	if ta == blas.Trans {
		k = a.rows
	}
	// Called by its type: through the package blas64, all of BLAS would be linked.
	gonum.Implementation{}.Dgemm(ta, tb, c.rows, c.cols, k, 1, a.data, a.cols, b.data, b.cols, beta, c.data, c.cols)
}

// table is a matrix, row by row.
type table struct {
	rows, cols int
	data       []float64
}

func matrix(rows, cols int, data []float64) table {
	return table{rows: rows, cols: cols, data: data[:rows*cols]}
}

// repeatRow copies the bias into every row of a batch.
func repeatRow(dst, row []float64, rows int) {
	for i := range rows {
		copy(dst[i*len(row):], row)
	}
}

// sumRows sets dst to the sum of the rows.
func sumRows(dst, x []float64, rows int) {
	clear(dst)
	for i := range rows {
		for j, v := range x[i*len(dst) : (i+1)*len(dst)] {
			dst[j] += v
		}
	}
}

// grow gives a buffer of n elements, reusing b where it is large enough.
func grow(b []float64, n int) []float64 {
	if cap(b) < n {
		return make([]float64, n)
	}
	return b[:n]
}
