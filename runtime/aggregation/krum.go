package aggregation

import (
	"fmt"
	"slices"

	"fx/schema"
)

// krum keeps the updates that are nearest to most others (Blanchard et al.,
// 2017). An update's score is the sum of its squared distances to the
// n − byzantine − 2 nearest others; those with the lowest scores stay, of equal
// ones the first by name. Distances are those of whole updates, all tensors of
// the model together, so that the model that comes out was made at one site, or
// averaged from several: a rule that chose tensor by tensor would put together
// parts that never were one model. Data sizes count for nothing: a hostile site
// would report a large one.
type krum struct {
	byzantine int
	keep      int // 0: as many as the theory allows, n − byzantine − 2
}

// newKrum takes the one update that Krum chooses for the next model.
func newKrum(s *schema.Settings) *Algorithm {
	f := byzantine(s)
	return &Algorithm{least: 2*f + 3, screens: []screen{krum{f, 1}}, rule: weightedAverage{}}
}

// newMultiKrum averages the `keep` updates that Krum likes best.
func newMultiKrum(s *schema.Settings) *Algorithm {
	f, keep := byzantine(s), s.Integer("keep", 0, 1, maxByzantine)
	return &Algorithm{least: max(2*f+3, keep+f+2), screens: []screen{krum{f, keep}}, rule: weightedAverage{}}
}

func (k krum) screen(tensors []Tensor) (func(Tensor) Tensor, error) {
	d, err := distances(tensors)
	if err != nil {
		return nil, err
	}
	all := upTo(len(d))
	keep := k.keep
	if keep == 0 {
		keep = len(all) - k.byzantine - 2
	}
	return only(krumOrder(d, all, k.byzantine)[:min(keep, len(all))]), nil
}

// krumOrder sorts these updates by Krum's score among themselves, best first.
func krumOrder(d [][]float64, among []int, byzantine int) []int {
	nearest := max(1, len(among)-byzantine-2)
	score := map[int]float64{}
	for _, i := range among {
		var others []float64
		for _, j := range among {
			if i != j {
				others = append(others, d[i][j])
			}
		}
		slices.Sort(others)
		score[i] = sum(others[:min(nearest, len(others))])
	}
	order := slices.Clone(among)
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case score[a] < score[b]:
			return -1
		case score[a] > score[b]:
			return 1
		}
		return a - b
	})
	return order
}

// only keeps the updates at these places, in name order, and lets each count the
// same.
func only(places []int) func(Tensor) Tensor {
	kept := slices.Sorted(slices.Values(places))
	return func(t Tensor) Tensor {
		updates := make([]Update, len(kept))
		for i, at := range kept {
			updates[i] = t.Updates[at]
			updates[i].Weight = 1
		}
		t.Updates = updates
		return t
	}
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// distances is the matrix of squared Euclidean distances between whole updates.
// It reads every update once. Tensors that are not the model's do not count.
func distances(tensors []Tensor) ([][]float64, error) {
	var d [][]float64
	for _, t := range tensors {
		k := len(t.Updates)
		if d == nil {
			d = make([][]float64, k)
			for i := range d {
				d[i] = make([]float64, k)
			}
		}
		if k != len(d) {
			return nil, fmt.Errorf("cannot compare updates: tensor %q has %d, others have %d", t.Name, k, len(d))
		}
		if !t.Extra {
			if err := addDistances(t, d); err != nil {
				return nil, fmt.Errorf("cannot compare updates of tensor %q: %w", t.Name, err)
			}
		}
	}
	return d, nil
}

// addDistances adds one tensor's share to d. A pair is compared over a piece
// that both fit into the first cache.
func addDistances(t Tensor, d [][]float64) error {
	if t.Elements == 0 {
		return nil
	}
	k := len(t.Updates)
	size := min(t.Elements, BlockElements, max(256, blockBytes/4/k))
	block := make([]float32, k*size)
	for off := 0; off < t.Elements; off += size {
		n := min(size, t.Elements-off)
		if err := readAll(t.Updates, block, n, off); err != nil {
			return err
		}
		for i := range k {
			for j := range i {
				d[i][j] += squaredDistance(block[i*n:(i+1)*n], block[j*n:(j+1)*n])
				d[j][i] = d[i][j]
			}
		}
	}
	return nil
}

// squaredDistance sums in four lanes, whose order is fixed, because one lane
// would wait for every addition.
func squaredDistance(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		d0 := float64(a[i]) - float64(b[i])
		d1 := float64(a[i+1]) - float64(b[i+1])
		d2 := float64(a[i+2]) - float64(b[i+2])
		d3 := float64(a[i+3]) - float64(b[i+3])
		s0 += float64(d0 * d0)
		s1 += float64(d1 * d1)
		s2 += float64(d2 * d2)
		s3 += float64(d3 * d3)
	}
	for ; i < len(a); i++ {
		d := float64(a[i]) - float64(b[i])
		s0 += float64(d * d)
	}
	return (s0 + s1) + (s2 + s3)
}
