package aggregation

import "fmt"

// WeightedAverage is federated averaging (McMahan et al., 2017), with the
// arithmetic of OpenFL's WeightedAverage: float64, the sum of share times value
// in collaborator order, divided by the sum of the shares, which rounding may
// leave a little off one.
type WeightedAverage struct{}

func newWeightedAverage() Algorithm { return WeightedAverage{} }

// Aggregate implements Algorithm. It does not look at base.
func (WeightedAverage) Aggregate(name string, n int, _ Source, updates []Update, emit func(block []float64) error) error {
	shares, err := shares(updates)
	if err != nil {
		return fmt.Errorf("cannot average tensor %q: %w", name, err)
	}
	total := sum(shares)
	size := min(n, BlockElements)
	values, sums := make([]float32, size), make([]float64, size)
	for off := 0; off < n; off += size {
		x, acc := values[:min(size, n-off)], sums[:min(size, n-off)]
		for i, u := range updates {
			if err := u.Data.ReadBlock(x, off); err != nil {
				return fmt.Errorf("cannot read tensor %q of %q: %w", name, u.Collaborator, err)
			}
			fold(acc, x, shares[i], i == 0)
		}
		if total != 1 {
			for i := range acc {
				acc[i] /= total
			}
		}
		if err := emit(acc); err != nil {
			return fmt.Errorf("cannot write tensor %q: %w", name, err)
		}
	}
	return nil
}

// fold adds share*x to acc, or sets it. The conversion of the product keeps
// compilers from fusing multiplication and addition, which would make the
// result depend on the processor.
func fold(acc []float64, x []float32, share float64, first bool) {
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
