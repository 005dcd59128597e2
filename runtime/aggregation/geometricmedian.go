package aggregation

import (
	"math"

	"fx/schema"
)

// geometricMedian is OpenFL's GeometricMedian: the point with the least weighted
// sum of Euclidean distances to the updates, by a few steps of Weiszfeld's
// algorithm (Pillutla et al., 2019). As in OpenFL the distances are those within
// one tensor, so each tensor has a median of its own, and each step divides the
// weights of the step before, not the original ones.
//
// The candidates are never stored: a candidate is an average by weights, and is
// made again from the updates, block by block, in every pass.
type geometricMedian struct{}

// OpenFL's fixed parameters.
const (
	weiszfeldSteps = 4
	weiszfeldEps   = 1e-5 // smallest distance to divide by
	weiszfeldTol   = 1e-6 // relative change of the objective at which to stop
)

func newGeometricMedian(*schema.Settings) *Algorithm { return &Algorithm{rule: geometricMedian{}} }

func (geometricMedian) fold(t Tensor, emit Emit) error {
	weights, err := shares(t.Updates)
	if err != nil {
		return err
	}
	size := min(t.Elements, BlockElements)
	values, block := make([]float32, size), make([]float64, size)
	distances, err := distancesToAverage(t, weights, values, block)
	if err != nil {
		return err
	}
	objective := weightedSum(weights, distances)
	for range weiszfeldSteps {
		for i, d := range distances {
			weights[i] /= max(weiszfeldEps, d)
		}
		total := sum(weights)
		for i := range weights {
			weights[i] /= total
		}
		if distances, err = distancesToAverage(t, weights, values, block); err != nil {
			return err
		}
		before := objective
		objective = weightedSum(weights, distances)
		if math.Abs(before-objective) < weiszfeldTol*objective {
			break
		}
	}
	for off := 0; off < t.Elements; off += size {
		acc := block[:min(size, t.Elements-off)]
		if err := average(t.Updates, weights, off, values, acc); err != nil {
			return err
		}
		if err := emit(acc, nil); err != nil {
			return err
		}
	}
	return nil
}

// distancesToAverage is how far each update is from the average by these
// weights.
func distancesToAverage(t Tensor, weights []float64, values []float32, block []float64) ([]float64, error) {
	squares := make([]float64, len(t.Updates))
	for off := 0; off < t.Elements; off += len(block) {
		acc := block[:min(len(block), t.Elements-off)]
		if err := average(t.Updates, weights, off, values, acc); err != nil {
			return nil, err
		}
		x := values[:len(acc)]
		for i, u := range t.Updates {
			if err := u.read(x, off); err != nil {
				return nil, err
			}
			s := squares[i]
			for j, m := range acc {
				d := m - float64(x[j])
				s += float64(d * d)
			}
			squares[i] = s
		}
	}
	for i, s := range squares {
		squares[i] = math.Sqrt(s)
	}
	return squares, nil
}

func weightedSum(weights, values []float64) float64 {
	var s float64
	for i, w := range weights {
		s += float64(w * values[i])
	}
	return s
}
