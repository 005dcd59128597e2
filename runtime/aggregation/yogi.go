package aggregation

import "fx/schema"

// newYogi is OpenFL's YogiAdaptiveAggregation: Adam with
// v = β2·v + (1−β2)·sign(g² − v)·g². That differs from the paper (Zaheer et al.,
// 2018), whose first term is v itself.
func newYogi(s *schema.Settings) *Algorithm {
	return moments(s, func(v, square, beta float64) float64 {
		change := float64((1 - beta) * square)
		switch {
		case square > v:
			return float64(beta*v) + change
		case square < v:
			return float64(beta*v) - change
		}
		return beta * v
	})
}
