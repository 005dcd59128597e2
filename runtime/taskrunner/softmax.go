package taskrunner

import (
	"gonum.org/v1/gonum/blas"

	"fx/runtime/tensor"
)

// softmax is multinomial logistic regression: one matrix and a bias. It starts
// from zero: its loss is convex, so no other start is better.
type softmax struct {
	features, labels int
	out              []float64
}

func newSoftmax(s *settings) model {
	return &softmax{features: s.required("features"), labels: s.required("classes")}
}

func (m *softmax) inputs() int  { return m.features }
func (m *softmax) classes() int { return m.labels }
func (m *softmax) width() int   { return max(m.features, m.labels) }

func (m *softmax) tensors() []tensor.Info {
	return []tensor.Info{
		{Name: "bias", DType: tensor.F32, Shape: []int{m.labels}},
		{Name: "weight", DType: tensor.F32, Shape: []int{m.features, m.labels}},
	}
}

func (m *softmax) initial(int) params { return zeros(m) }

func (m *softmax) logits(p params, x []float64, rows int) []float64 {
	m.out = grow(m.out, rows*m.labels)
	repeatRow(m.out, p[0], rows)
	matmul(blas.NoTrans, blas.NoTrans, matrix(rows, m.features, x), matrix(m.features, m.labels, p[1]), 1, matrix(rows, m.labels, m.out))
	return m.out
}

func (m *softmax) gradients(_ params, x []float64, rows int, dlogits []float64, g params) {
	sumRows(g[0], dlogits, rows)
	matmul(blas.Trans, blas.NoTrans, matrix(rows, m.features, x), matrix(rows, m.labels, dlogits), 0, matrix(m.features, m.labels, g[1]))
}
