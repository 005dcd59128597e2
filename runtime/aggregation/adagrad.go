package aggregation

import (
	"math"

	"fx/schema"
)

// newAdagrad is OpenFL's AdagradAdaptiveAggregation (Duchi et al., 2011):
// G += g², θ −= lr·g / (√G + ε).
func newAdagrad(s *schema.Settings) *Algorithm {
	lr := s.Number("learning_rate", 0.01, positive, positiveWords)
	start := s.Number("initial_accumulator_value", 0.1, notBelow0, notBelow0Words)
	eps := s.Number("epsilon", 1e-10, positive, positiveWords)
	python(s)
	return adaptive{start: start, step: func(_ int, theta, g []float64, state [][]float64) {
		squares := state[0]
		for j, d := range g {
			squares[j] += float64(d * d)
			theta[j] -= float64(lr * d / (math.Sqrt(squares[j]) + eps))
		}
	}}.algorithm("squares")
}
