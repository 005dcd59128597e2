package aggregation

import (
	"math"

	"fx/schema"
)

// newAdam is OpenFL's AdamAdaptiveAggregation (Kingma and Ba, 2015):
// m = β1·m + (1−β1)·g, v = β2·v + (1−β2)·g², both divided by what their decay
// has left out, θ −= lr·m / (√v + ε).
func newAdam(s *schema.Settings) *Algorithm {
	return moments(s, func(v, square, beta float64) float64 { return float64(beta*v) + float64((1-beta)*square) })
}

// moments is what Adam and Yogi have in common; second is the next value of the
// second moment.
func moments(s *schema.Settings, second func(v, square, beta float64) float64) *Algorithm {
	lr := s.Number("learning_rate", 0.01, positive, positiveWords)
	betas := s.Numbers("betas", []float64{0.9, 0.999}, decay, "a list of two numbers from 0 to below 1")
	start := s.Number("initial_accumulator_value", 0, notBelow0, notBelow0Words)
	eps := s.Number("epsilon", 1e-8, positive, positiveWords)
	python(s)
	return adaptive{start: start, step: func(n int, theta, g []float64, state [][]float64) {
		m, v := state[0], state[1]
		left1, left2 := 1-power(betas[0], n), 1-power(betas[1], n)
		for j, d := range g {
			m[j] = float64(betas[0]*m[j]) + float64((1-betas[0])*d)
			v[j] = second(v[j], d*d, betas[1])
			theta[j] -= float64(lr * (m[j] / left1) / (math.Sqrt(v[j]/left2) + eps))
		}
	}}.algorithm("mean", "variance")
}

// power is b to the n-th by multiplications alone: math.Pow is not the same to
// the last bit on every processor.
func power(b float64, n int) float64 {
	p := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p *= b
		}
		b *= b
	}
	return p
}
