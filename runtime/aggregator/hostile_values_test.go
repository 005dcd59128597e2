package aggregator

import (
	"errors"
	"math"
	"strings"
	"testing"

	openflpb "fx/proto"
	"fx/runtime/transport"
)

// TestAHostileCollaboratorHarmsNobody: what a collaborator with a good certificate
// sends is refused with its reason, or has no effect, and the round can be closed
// by what all send afterwards. Reasons are short and safe for a terminal.
func TestAHostileCollaboratorHarmsNobody(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	w := make([]float32, 6)
	train := func(change func(*result)) result {
		r := traceResult("one", "train", 0, w)
		change(&r)
		return r
	}
	metadata := func(r *result) *openflpb.MetadataProto { return r.tensors[1].TransformerMetadata[0] }
	tests := map[string]struct {
		send result
		want string // "" if it is dropped without an error
	}{
		"a negative number of samples": {train(func(r *result) { r.dataSize = math.MinInt32 }), "data_size is -2147483648"},
		"a round to come":              {train(func(r *result) { r.round = math.MaxInt32 }), ""},
		"a round before all":           {train(func(r *result) { r.round = -1 }), ""},
		"a task that is not":           {train(func(r *result) { r.task = "../../etc/passwd" }), ""},
		"a task of control characters": {train(func(r *result) { r.task = "\x1b[2Jtrain\n" }), ""},
		"NaN": {train(func(r *result) {
			r.tensors[1] = named("w", 0, false, []int32{2, 3}, []float32{0, 0, nan, 0, 0, 0}, "compressed", "trained")
		}), "element 2"},
		"an infinite metric": {train(func(r *result) { r.tensors[0] = named("loss", 0, true, nil, []float32{inf}, "compressed", "metric") }), "+Inf"},
		"a metric of many values": {train(func(r *result) {
			r.tensors[0] = named("loss", 0, true, []int32{2}, []float32{1, 2}, "compressed", "metric")
		}), "2 values instead of one"},
		"another shape":            {train(func(r *result) { metadata(r).IntList = []int32{3, 2} }), "has shape [3 2]; the model has [2 3]"},
		"a shape that overflows":   {train(func(r *result) { metadata(r).IntList = []int32{math.MaxInt32, math.MaxInt32, math.MaxInt32} }), "tensor"},
		"a negative shape":         {train(func(r *result) { metadata(r).IntList = []int32{-2, -3} }), "tensor"},
		"too many dimensions":      {train(func(r *result) { metadata(r).IntList = make([]int32, 1<<20) }), "tensor"},
		"a table nobody asked for": {train(func(r *result) { metadata(r).IntToFloat = map[int32]float32{1: 2} }), "another compression pipeline"},
		"no metadata":              {train(func(r *result) { r.tensors[1].TransformerMetadata = nil }), "metadata"},
		"the same tensor twice":    {train(func(r *result) { r.tensors = append(r.tensors, r.tensors[1]) }), "there twice"},
		"a difference to nothing": {train(func(r *result) {
			r.tensors[1].Tags, r.tensors[1].RoundNumber = []string{"compressed", "delta", "trained"}, -7
		}), "difference to the model of round -7"},
		"two encodings": {train(func(r *result) { r.tensors[1].Tags = []string{"compressed", "lossy_compressed", "trained"} }), "tensor"},
		"a long name with an escape": {train(func(r *result) {
			r.tensors[1].Tags = append(r.tensors[1].Tags, "delta", strings.Repeat("\x1b\n", 2000))
			r.tensors[1].RoundNumber = 9
		}), "tensor"},
		"data that end early": {train(func(r *result) { r.tensors[1].DataBytes = r.tensors[1].DataBytes[:23] }), "23 bytes"},
	}
	b := newTestbed(t, t.TempDir())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := b.send("one", tt.send)
			f, failed := errors.AsType[*transport.Failure](err)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%v, want it to be dropped", err)
			case tt.want != "" && (!failed || f.Retry() || !strings.Contains(f.Detail, tt.want)):
				t.Errorf("%v, want a final refusal with %q", err, tt.want)
			case failed && (len(f.Detail) > 2*maxReason || strings.ContainsAny(f.Detail, "\x1b\n")):
				t.Errorf("the reason has %d bytes, or is not fit for a terminal", len(f.Detail))
			}
		})
	}
	playOut(b, w)
}

// playOut has both collaborators do what is left of round 0, and requires it to be
// closed.
func playOut(b *testbed, w []float32) {
	b.t.Helper()
	for _, name := range []string{"one", "two"} {
		for _, task := range b.tasks(name).GetTasks() {
			b.mustSend(name, traceResult(name, task.GetName(), 0, w))
		}
	}
	if got := b.tasks("two").GetRoundNumber(); got != 1 {
		b.t.Errorf("the round is %d, want 1", got)
	}
}

// TestTheLargestWeightDoesNotOverflow: sums of samples are 64 bits wide.
func TestTheLargestWeightDoesNotOverflow(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	w := make([]float32, 6)
	for _, name := range []string{"one", "two"} {
		for _, task := range b.tasks(name).GetTasks() {
			r := traceResult(name, task.GetName(), 0, w)
			r.dataSize = math.MaxInt32
			b.mustSend(name, r)
		}
	}
	if got := b.model("one", "w", 1); got[2] != 3 { // of 2 and 4
		t.Errorf("w is %v, want the mean of both", got)
	}
}
