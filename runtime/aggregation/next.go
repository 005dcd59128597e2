package aggregation

// Next rounds a block of an average to the float32 of the next model, into out,
// which has the length of avg and may be base itself.
//
// With a base and delta updates on, the aggregator steps from the base as
// OpenFL's does: float32(base) + float32(avg - base), added in float32. That is
// not always float32(avg), and collaborators that download deltas arrive at the
// same bits. Without, it is float32(avg). A nil base means that the current
// model does not have the tensor.
func Next(base []float32, avg []float64, deltas bool, out []float32) {
	out = out[:len(avg)]
	if base == nil || !deltas {
		for i, a := range avg {
			out[i] = float32(a)
		}
		return
	}
	base = base[:len(avg)]
	for i, a := range avg {
		out[i] = base[i] + float32(a-float64(base[i]))
	}
}
