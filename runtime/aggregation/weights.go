package aggregation

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Weights turns data sizes into shares of one, in the same order. If all are -1
// (unknown) the shares are equal. A sum of zero, other negative sizes, and sizes
// that are no numbers are refused: each would make the next model meaningless.
func Weights(sizes []float64) ([]float64, error) {
	if len(sizes) == 0 {
		return nil, fmt.Errorf("cannot weigh updates: there are none")
	}
	shares := make([]float64, len(sizes))
	if !slices.ContainsFunc(sizes, func(s float64) bool { return s != -1 }) {
		for i := range shares {
			shares[i] = 1 / float64(len(sizes))
		}
		return shares, nil
	}
	var sum float64
	for _, s := range sizes {
		if !(s >= 0) || math.IsInf(s, 0) {
			return nil, fmt.Errorf("cannot weigh updates: a data size is %v; allowed are sizes from 0 on, or -1 for every collaborator alike", s)
		}
		sum += s
	}
	if sum == 0 || math.IsInf(sum, 0) {
		return nil, fmt.Errorf("cannot weigh updates: the data sizes of %d collaborators add up to %v, so no update counts", len(sizes), sum)
	}
	for i, s := range sizes {
		shares[i] = s / sum
	}
	return shares, nil
}

// shares checks the order of the updates and weighs them.
func shares(updates []Update) ([]float64, error) {
	sizes := make([]float64, len(updates))
	for i, u := range updates {
		if i > 0 && cmp.Compare(updates[i-1].Collaborator, u.Collaborator) >= 0 {
			return nil, fmt.Errorf("cannot weigh updates: %q comes after %q; updates go in collaborator-name order, once each", u.Collaborator, updates[i-1].Collaborator)
		}
		sizes[i] = u.Weight
	}
	return Weights(sizes)
}

func sum(v []float64) float64 {
	var s float64
	for _, x := range v {
		s += x
	}
	return s
}

// Reported is a metric as one collaborator reported it; Weight as in Update.
type Reported struct {
	Collaborator string
	Weight       float64
	Value        float64
}

// Scalar is the weighted average of a metric, by the same rule and in the same
// order as that of tensors. Metrics are averaged so whatever the algorithm.
func Scalar(reported []Reported) (float64, error) {
	updates := make([]Update, len(reported))
	for i, r := range reported {
		updates[i] = Update{Collaborator: r.Collaborator, Weight: r.Weight}
	}
	shares, err := shares(updates)
	if err != nil {
		return 0, err
	}
	var acc float64
	for i, r := range reported {
		acc += float64(shares[i] * r.Value)
	}
	return acc / sum(shares), nil
}
