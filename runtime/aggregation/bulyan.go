package aggregation

import (
	"slices"

	"fx/schema"
)

// bulyan is Bulyan over Krum (El Mhamdi et al., 2018): Krum chooses a whole
// update again and again, each time among those not chosen yet, until
// n − 2·byzantine are; then, for each element, the chosen values nearest to
// their median, all but 2·byzantine of them, are averaged, each counting the
// same. It stands attacks on few elements of a large model, which Krum does not
// see.
type bulyan struct{ byzantine int }

func newBulyan(s *schema.Settings) *Algorithm {
	b := bulyan{byzantine(s)}
	return &Algorithm{least: 4*b.byzantine + 3, screens: []screen{b}, rule: b}
}

// screen chooses updates by Krum. Towards the end fewer are left than Krum asks
// for; the score is then the distance to the nearest.
func (b bulyan) screen(tensors []Tensor) (func(Tensor) Tensor, error) {
	d, err := distances(tensors)
	if err != nil {
		return nil, err
	}
	left := upTo(len(d))
	var chosen []int
	for range len(d) - 2*b.byzantine {
		best := krumOrder(d, left, b.byzantine)[0]
		chosen = append(chosen, best)
		left = slices.DeleteFunc(left, func(i int) bool { return i == best })
	}
	return only(chosen), nil
}

func (b bulyan) fold(t Tensor, emit Emit) error {
	keep := len(t.Updates) - 2*b.byzantine
	return columns(t, emit, func(column []float64) float64 {
		sortColumn(column)
		m := middle(column)
		near := column
		for len(near) > keep { // what is farthest is at one of the ends; of equals the larger goes
			if last := len(near) - 1; m-near[0] > near[last]-m {
				near = near[1:]
			} else {
				near = near[:last]
			}
		}
		return sum(near) / float64(len(near))
	})
}
