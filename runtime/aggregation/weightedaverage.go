package aggregation

import (
	"fmt"

	"fx/schema"
)

// weightedAverage is federated averaging (McMahan et al., 2017), with the
// arithmetic of OpenFL's WeightedAverage: float64, the sum of share times value
// in collaborator order, divided by the sum of the shares, which rounding may
// leave a little off one.
type weightedAverage struct{}

func newWeightedAverage(*schema.Settings) *Algorithm { return &Algorithm{rule: weightedAverage{}} }

func (weightedAverage) fold(t Tensor, emit Emit) error {
	shares, err := shares(t.Updates)
	if err != nil {
		return err
	}
	size := min(t.Elements, BlockElements)
	values, sums := make([]float32, size), make([]float64, size)
	for off := 0; off < t.Elements; off += size {
		acc := sums[:min(size, t.Elements-off)]
		if err := average(t.Updates, shares, off, values, acc); err != nil {
			return err
		}
		if err := emit(acc, nil); err != nil {
			return err
		}
	}
	return nil
}

// average sets acc to the block at off of the average by these weights, which
// need not add up to one. values is scratch space.
func average(updates []Update, weights []float64, off int, values []float32, acc []float64) error {
	x := values[:len(acc)]
	for i, u := range updates {
		if err := u.read(x, off); err != nil {
			return err
		}
		addShare(acc, x, weights[i], i == 0)
	}
	if total := sum(weights); total != 1 {
		for i := range acc {
			acc[i] /= total
		}
	}
	return nil
}

// read fills dst with elements [off, off+len(dst)), and says whose they are if
// that fails.
func (u Update) read(dst []float32, off int) error {
	if err := u.Data.ReadBlock(dst, off); err != nil {
		return fmt.Errorf("cannot read the update of %q: %w", u.Collaborator, err)
	}
	return nil
}

// addShare adds share*x to acc, or sets it. The conversion of the product keeps
// compilers from fusing multiplication and addition, which would make the
// result depend on the processor.
func addShare(acc []float64, x []float32, share float64, first bool) {
	acc = acc[:len(x)]
	if first {
		for i, v := range x {
			acc[i] = share * float64(v)
		}
		return
	}
	for i, v := range x {
		acc[i] += float64(share * float64(v))
	}
}
