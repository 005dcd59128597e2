package aggregator

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"fx/bundle"
	openflpb "fx/proto"
	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/schema"
)

// Algorithms that read an update more than once, or look at whole updates before
// the first tensor is made, come to the same model whether updates came as their
// values, with a shift, or as clusters of which there are enough for every value.
// What was decoded on the way is gone afterwards.
func TestAlgorithmsReadEncodedUpdates(t *testing.T) {
	const openfl = "openfl.interface.aggregation_functions."
	for name, algorithm := range map[string]schema.Component{
		"median":        {Template: openfl + "Median"},
		"geometric":     {Template: openfl + "GeometricMedian"},
		"adam":          {Template: openfl + "AdamAdaptiveAggregation", Settings: map[string]any{"learning_rate": 0.5}},
		"norm clipping": {Template: "fx.aggregation.NormClipping", Settings: map[string]any{"norm": 2.0}},
	} {
		t.Run(name, func(t *testing.T) {
			plain := nextModel(t, algorithm, "NoCompressionPipeline", nil)
			for pipeline, settings := range map[string]map[string]any{"RandomShiftPipeline": nil, "KCPipeline": {"n_clusters": 32}} {
				for i, v := range nextModel(t, algorithm, pipeline, settings) {
					if math.Abs(float64(v-plain[i])) > 1e-5 {
						t.Errorf("%s: element %d is %v, without it %v", pipeline, i, v, plain[i])
					}
				}
			}
		})
	}
}

// nextModel is w after a round in which one sends the difference and two the
// tensor, both encoded.
func nextModel(t *testing.T, algorithm schema.Component, pipeline string, settings map[string]any) []float32 {
	t.Helper()
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		with(pipeline, settings, true)(f)
		f.Plan.Tasks[1].Aggregation = algorithm
	}}
	b.mustStart()
	p := pipelineOf(t, b)
	before := b.fetchWhole("one", 0)
	b.playRound(0, before, func(name string, trained *openflpb.NamedTensor) *openflpb.NamedTensor {
		values := tensor.Float32s(trained.GetDataBytes())
		if name == "two" {
			return encoded(t, p, "w", 0, []int{2, 3}, values, "trained")
		}
		for i := range values {
			values[i] -= before[i]
		}
		return encoded(t, p, "w", 0, []int{2, 3}, values, "delta", "trained")
	})
	drafts, err := os.ReadDir(filepath.Join(b.dir, "journal", ".drafts"))
	if err != nil || len(drafts) > 0 {
		t.Errorf("%d drafts are left, %v", len(drafts), err)
	}
	return b.fetchWhole("two", 1)
}

// fetchWhole is w in the model of a round.
func (b *testbed) fetchWhole(name string, round int32) []float32 {
	b.t.Helper()
	got, err := b.fetch(name, "w", round, true, "model")
	if err != nil {
		b.t.Fatal(err)
	}
	return decoded(b.t, codec.Lossless(pipelineOf(b.t, b)), got)
}
