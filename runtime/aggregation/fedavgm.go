package aggregation

import "fx/schema"

// newFedAvgM is federated averaging with momentum on the server (Hsu et al.,
// 2019): velocity = momentum·velocity + g, θ −= lr·velocity. With momentum 0 and
// learning rate 1 it is the weighted average.
func newFedAvgM(s *schema.Settings) *Algorithm {
	momentum := s.Number("momentum", 0.9, decay, decayWords)
	lr := s.Number("learning_rate", 1, positive, positiveWords)
	return adaptive{step: func(_ int, theta, g []float64, state [][]float64) {
		velocity := state[0]
		for j, d := range g {
			velocity[j] = float64(momentum*velocity[j]) + d
			theta[j] -= float64(lr * velocity[j])
		}
	}}.algorithm("velocity")
}
