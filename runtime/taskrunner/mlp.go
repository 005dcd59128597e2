package taskrunner

import (
	"gonum.org/v1/gonum/blas"

	"fx/runtime/tensor"
)

// mlp is a perceptron with one hidden layer of rectified linear units.
type mlp struct {
	features, units, labels int
	hidden, out, dhidden    []float64
}

func newMLP(s *settings) model {
	return &mlp{
		features: s.required("features"),
		units:    s.required("hidden"),
		labels:   s.required("classes"),
	}
}

// Places in params.
const (
	hiddenBias = iota
	hiddenWeight
	outputBias
	outputWeight
)

func (m *mlp) inputs() int  { return m.features }
func (m *mlp) classes() int { return m.labels }
func (m *mlp) width() int   { return max(m.features, m.units, m.labels) }

func (m *mlp) tensors() []tensor.Info {
	return []tensor.Info{
		{Name: "hidden.bias", DType: tensor.F32, Shape: []int{m.units}},
		{Name: "hidden.weight", DType: tensor.F32, Shape: []int{m.features, m.units}},
		{Name: "output.bias", DType: tensor.F32, Shape: []int{m.labels}},
		{Name: "output.weight", DType: tensor.F32, Shape: []int{m.units, m.labels}},
	}
}

func (m *mlp) initial(seed int) params {
	p := zeros(m)
	glorot(p[hiddenWeight], m.features, m.units, seed, "hidden.weight")
	glorot(p[outputWeight], m.units, m.labels, seed, "output.weight")
	return p
}

func (m *mlp) logits(p params, x []float64, rows int) []float64 {
	m.hidden = grow(m.hidden, rows*m.units)
	repeatRow(m.hidden, p[hiddenBias], rows)
	matmul(blas.NoTrans, blas.NoTrans, matrix(rows, m.features, x), matrix(m.features, m.units, p[hiddenWeight]), 1, matrix(rows, m.units, m.hidden))
	for i, v := range m.hidden {
		m.hidden[i] = max(0, v)
	}
	m.out = grow(m.out, rows*m.labels)
	repeatRow(m.out, p[outputBias], rows)
	matmul(blas.NoTrans, blas.NoTrans, matrix(rows, m.units, m.hidden), matrix(m.units, m.labels, p[outputWeight]), 1, matrix(rows, m.labels, m.out))
	return m.out
}

func (m *mlp) gradients(p params, x []float64, rows int, dlogits []float64, g params) {
	sumRows(g[outputBias], dlogits, rows)
	matmul(blas.Trans, blas.NoTrans, matrix(rows, m.units, m.hidden), matrix(rows, m.labels, dlogits), 0, matrix(m.units, m.labels, g[outputWeight]))
	m.dhidden = grow(m.dhidden, rows*m.units)
	matmul(blas.NoTrans, blas.Trans, matrix(rows, m.labels, dlogits), matrix(m.units, m.labels, p[outputWeight]), 0, matrix(rows, m.units, m.dhidden))
	for i, v := range m.hidden {
		if v <= 0 {
			m.dhidden[i] = 0
		}
	}
	sumRows(g[hiddenBias], m.dhidden, rows)
	matmul(blas.Trans, blas.NoTrans, matrix(rows, m.features, x), matrix(rows, m.units, m.dhidden), 0, matrix(m.features, m.units, g[hiddenWeight]))
}
