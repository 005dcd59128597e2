package aggregation

import (
	"fmt"

	"fx/schema"
)

// adaptive takes the updates for a gradient, g = Σ share·(base − update), and
// lets an optimizer step from the base against it (Reddi et al., 2020). OpenFL's
// classes need start values that only Python code can give; here the base is the
// round's own model, so that a plan is enough. What the sites' own optimizers
// send besides the model (Tensor.Extra) is averaged.
//
// The optimizer's state is kept as float32, like the model itself.
type adaptive struct {
	slots int
	start float64 // of every value of every slot
	// step moves theta against g, and the state along. n counts the steps of this
	// tensor, from 1.
	step func(n int, theta, g []float64, state [][]float64)
}

func (a adaptive) algorithm(slots ...string) *Algorithm {
	a.slots = len(slots)
	return &Algorithm{rule: a, slots: slots}
}

// Ranges of the optimizers' settings.
var (
	positive  = func(v float64) bool { return v > 0 && v <= 1e9 }
	notBelow0 = func(v float64) bool { return v >= 0 && v <= 1e9 }
	decay     = func(v float64) bool { return v >= 0 && v < 1 }
)

const (
	positiveWords  = "a number above 0"
	notBelow0Words = "a number from 0"
	decayWords     = "a number from 0 to below 1"
)

// python refuses what only a Python program can pass to OpenFL's adaptive
// classes.
func python(s *schema.Settings) { s.Null("params", "model_interface", "agg_func") }

func (a adaptive) fold(t Tensor, emit Emit) error {
	if t.Base == nil || t.Extra {
		return weightedAverage{}.fold(t, emit) // nothing to remember
	}
	shares, err := shares(t.Updates)
	if err != nil {
		return err
	}
	size := min(t.Elements, BlockElements)
	values, base := make([]float32, size), make([]float32, size)
	theta, g := make([]float64, size), make([]float64, size)
	state := make([][]float64, a.slots)
	for i := range state {
		state[i] = make([]float64, size)
	}
	for off := 0; off < t.Elements; off += size {
		n := min(size, t.Elements-off)
		if err := t.Base.ReadBlock(base[:n], off); err != nil {
			return fmt.Errorf("cannot read the current model: %w", err)
		}
		if err := gradient(t.Updates, shares, base[:n], values[:n], g[:n], off); err != nil {
			return err
		}
		for j := range n {
			theta[j] = float64(base[j])
		}
		for i := range state {
			state[i] = state[i][:n]
			if err := a.load(t, i, off, values[:n], state[i]); err != nil {
				return err
			}
		}
		a.step(t.Step+1, theta[:n], g[:n], state)
		if err := emit(theta[:n], state); err != nil {
			return err
		}
	}
	return nil
}

// gradient sets g to the block at off of Σ share·(base − update).
func gradient(updates []Update, shares []float64, base, values []float32, g []float64, off int) error {
	clear(g)
	for i, u := range updates {
		if err := u.read(values, off); err != nil {
			return err
		}
		for j, v := range values {
			g[j] += float64(shares[i] * (float64(base[j]) - float64(v)))
		}
	}
	return nil
}

// load sets block to slot i's state before this step.
func (a adaptive) load(t Tensor, i, off int, values []float32, block []float64) error {
	if t.State == nil {
		for j := range block {
			block[j] = float64(float32(a.start)) // as if it had been kept
		}
		return nil
	}
	if err := t.State[i].ReadBlock(values, off); err != nil {
		return fmt.Errorf("cannot read the state of the last round: %w", err)
	}
	for j, v := range values {
		block[j] = float64(v)
	}
	return nil
}
