package aggregator

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"fx/bundle"
	openflpb "fx/proto"
	"fx/schema"
)

// permuted are algorithms and pipelines under which five updates, whatever the
// order in which they arrive, must make one model.
var permuted = []struct {
	name        string
	aggregation schema.Component
	pipeline    string
	settings    map[string]any
}{
	{"weighted average", schema.Component{}, "NoCompressionPipeline", nil},
	{"median", schema.Component{Template: "openfl.interface.aggregation_functions.Median"}, "NoCompressionPipeline", nil},
	{"geometric median", schema.Component{Template: "openfl.interface.aggregation_functions.GeometricMedian"}, "NoCompressionPipeline", nil},
	{"Adam", schema.Component{Template: "openfl.interface.aggregation_functions.AdamAdaptiveAggregation", Settings: map[string]any{"learning_rate": 0.5}}, "NoCompressionPipeline", nil},
	{"FedAvgM", schema.Component{Template: "fx.aggregation.FedAvgM", Settings: map[string]any{"momentum": 0.5}}, "NoCompressionPipeline", nil},
	{"Krum", schema.Component{Template: "fx.aggregation.Krum"}, "NoCompressionPipeline", nil},
	{"weighted average, with loss", schema.Component{}, "KCPipeline", map[string]any{"n_clusters": 3}},
}

var five = []string{"one", "two", "three", "four", "five"}

// training is a plan of one round with one task, for five.
func training(aggregation schema.Component, pipeline string, settings map[string]any) func(*bundle.Federation) {
	return func(f *bundle.Federation) {
		with(pipeline, settings, true)(f)
		f.Roster = five
		f.Plan.Aggregator.Rounds = 1
		f.Plan.Tasks = f.Plan.Tasks[1:2]
		f.Plan.Tasks[0].Aggregation = aggregation
		f.Plan.Assigner.Settings = map[string]any{"task_groups": []any{map[string]any{"name": "learning", "percentage": 1.0, "tasks": []any{"train"}}}}
	}
}

// arrivals runs a federation whose five updates come in this order, and gives
// the digest of its final model. Two of the updates cancel each other and swallow
// what is added in between, in float64 too: sums in another order differ.
func arrivals(t *testing.T, edit func(*bundle.Federation), order []int) string {
	t.Helper()
	b := &testbed{t: t, dir: t.TempDir(), edit: edit}
	b.mustStart()
	p := pipelineOf(t, b)
	for _, i := range order {
		v := make([]float32, 6)
		random := rand.New(rand.NewPCG(uint64(i), 5))
		for k := range v {
			v[k] = float32(random.NormFloat64()) + []float32{1e18, 0, -1e18, 0, 0}[i]
		}
		w := named("w", 0, false, []int32{2, 3}, v, "compressed", "trained")
		if p.Lossy() {
			w = encoded(t, p, "w", 0, []int{2, 3}, v, "delta", "trained")
		}
		b.mustSend(five[i], result{0, "train", 10, []*openflpb.NamedTensor{
			named("loss", 0, true, nil, []float32{0.1 * float32(i)}, "compressed", "metric"), w,
			named("b", 0, false, []int32{2}, []float32{float32(i) / 3, 1}, "compressed", "trained"),
		}})
	}
	got := b.agg.Report().FinalSHA256
	b.stop()
	if got == "" {
		t.Fatal("there is no final model")
	}
	return got
}

// A hundred orders of arrival in all, every other one with two threads: one
// digest for each algorithm. FX_LONG=1 takes a hundred for each, with one thread
// and with two.
func TestOrdersOfArrivalOnOneAndTwoThreads(t *testing.T) {
	orders, long := 100/len(permuted)+1, os.Getenv("FX_LONG") != ""
	if long {
		orders = 100
	}
	for _, tt := range permuted {
		t.Run(tt.name, func(t *testing.T) {
			edit := training(tt.aggregation, tt.pipeline, tt.settings)
			want := arrivals(t, edit, []int{0, 1, 2, 3, 4})
			random := rand.New(rand.NewPCG(uint64(len(tt.name)), 1))
			seen := map[string]bool{}
			for len(seen) < orders {
				order := random.Perm(len(five))
				if seen[fmt.Sprint(order)] {
					continue
				}
				seen[fmt.Sprint(order)] = true
				for _, threads := range []int{1, 2} {
					if !long && threads != 1+len(seen)%2 {
						continue
					}
					before := runtime.GOMAXPROCS(threads)
					got := arrivals(t, edit, order)
					runtime.GOMAXPROCS(before)
					if got != want {
						t.Fatalf("order %v on %d threads: %s, want %s", order, threads, got, want)
					}
				}
			}
		})
	}
}
