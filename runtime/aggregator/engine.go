package aggregator

import (
	"io"

	"fx/runtime/fold"
	"fx/runtime/tensor"
)

// What arrives and what is served is encoded as what is folded.

func (a *Aggregator) describe(t tensor.Named) (tensor.Info, error) { return a.engine.Describe(t) }

func (a *Aggregator) decode(t tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	return a.engine.Decode(t, r)
}

func (a *Aggregator) seed(name string, round int) uint64 { return a.engine.Seed(name, round) }

func isTrained(t tensor.Named) bool { return fold.Trained(t) }

func tensorKey(t tensor.Named) string { return fold.Key(t) }
