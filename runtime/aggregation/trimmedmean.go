package aggregation

import "fx/schema"

// trimmedMean is the element-wise mean without the extremes (Yin et al., 2018):
// of each element the `byzantine` largest and as many smallest values are left
// out, and the others averaged, each counting the same whatever the data size.
type trimmedMean struct{ byzantine int }

// maxByzantine is far above the number of collaborators of any federation.
const maxByzantine = 10000

// byzantine reads how many collaborators may be faulty or hostile.
func byzantine(s *schema.Settings) int { return s.Integer("byzantine", 1, 1, maxByzantine) }

func newTrimmedMean(s *schema.Settings) *Algorithm {
	f := byzantine(s)
	return &Algorithm{least: 2*f + 1, rule: trimmedMean{f}}
}

func (r trimmedMean) fold(t Tensor, emit Emit) error {
	return columns(t, emit, func(column []float64) float64 {
		sortColumn(column)
		kept := column[r.byzantine : len(column)-r.byzantine]
		return sum(kept) / float64(len(kept))
	})
}
