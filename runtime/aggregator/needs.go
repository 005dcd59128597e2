package aggregator

import "fx/runtime/codec"

// Needs is what decides how much memory an aggregator uses: values are not in it,
// unless WholeTensors.
type Needs struct {
	Sites        int  // that the roster has now
	Tensors      int  // of the initial model
	WholeTensors bool // the plan's compression pipeline encodes and decodes a tensor at once
}

// Needs says what the memory of this aggregator depends on.
func (a *Aggregator) Needs() Needs {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, plain := a.pipeline.(codec.NoCompression)
	return Needs{Sites: len(a.roster), Tensors: a.tensors, WholeTensors: !plain}
}
