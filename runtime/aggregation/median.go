package aggregation

import "fx/schema"

// median is the element-wise median, in which every collaborator counts the
// same whatever its data size (OpenFL's Median; Yin et al., 2018). Of an even
// number of values it is the mean of the two in the middle.
type median struct{}

func newMedian(*schema.Settings) *Algorithm { return &Algorithm{rule: median{}} }

func (median) fold(t Tensor, emit Emit) error {
	return columns(t, emit, func(column []float64) float64 {
		sortColumn(column)
		return middle(column)
	})
}

// middle is the median of sorted values.
func middle(sorted []float64) float64 {
	k := len(sorted)
	if k%2 == 1 {
		return sorted[k/2]
	}
	return (sorted[k/2-1] + sorted[k/2]) / 2
}
