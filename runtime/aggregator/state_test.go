package aggregator

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/bundle"
	"fx/runtime/tensor"
	"fx/schema"
)

// momentum lets training be aggregated by an algorithm that remembers.
func momentum(f *bundle.Federation) {
	f.Plan.Tasks[1].Aggregation = schema.Component{Template: "fx.aggregation.FedAvgM", Settings: map[string]any{"momentum": 0.5}}
}

func adam(f *bundle.Federation) {
	f.Plan.Tasks[1].Aggregation = schema.Component{Template: "openfl.interface.aggregation_functions.AdamAdaptiveAggregation", Settings: map[string]any{"learning_rate": 0.5}}
}

// The second round goes on with the speed of the first: the mean moves w by
// [0, 1.75, …] in each, and half of the first step comes on top.
func TestMomentumGoesOnFromRoundToRound(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: momentum}
	b.mustStart()
	b.play(asIs, nothing)
	model, err := b.agg.o.Journal.Model(2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	if got, want := floats(t, model.File, "w"), []float32{0, 4.375, 8.75, 13.125, 17.5, 21.875}; !slices.Equal(got, want) {
		t.Errorf("w is %v, want %v", got, want)
	}
	state, err := b.agg.o.Journal.State(2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = state.Close() }()
	if got, want := floats(t, state.File, "train/velocity/w"), []float32{0, -2.625, -5.25, -7.875, -10.5, -13.125}; !slices.Equal(got, want) {
		t.Errorf("the velocity is %v, want %v", got, want)
	}
	if got := state.Metadata()["train/w"]; got != "2" {
		t.Errorf("w has made %q steps, want 2", got)
	}
	if info, _ := state.Info("train/velocity/w"); !slices.Equal(info.Shape, []int{2, 3}) {
		t.Errorf("the velocity has shape %v, want that of w", info.Shape)
	}
}

func floats(t *testing.T, f *tensor.File, name string) []float32 {
	t.Helper()
	section, err := f.Section(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, section.Size())
	if _, err := section.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return tensor.Float32s(b)
}

// TestCrashAtEveryCommitWithState is TestCrashAtEveryCommit for an algorithm that
// remembers: model and memory are the same bytes wherever the process died.
func TestCrashAtEveryCommitWithState(t *testing.T) {
	lossy := func(f *bundle.Federation) {
		adam(f)
		with("EdenPipeline", lossyPipelines["EdenPipeline"], true)(f)
	}
	for name, edit := range map[string]func(*bundle.Federation){"plain": adam, "lossy": lossy} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calm := &testbed{t: t, dir: t.TempDir(), edit: edit}
			calm.mustStart()
			calm.play(asIs, nothing)
			if calm.agg.history.state == "" {
				t.Fatal("the algorithm remembers nothing")
			}
			for i, after := range []bool{false, true} {
				crashes := 0
				for n := 3 - i; ; n += stride(3) {
					b, crashed := crashAt(t, n, after, edit)
					compare(t, calm, b)
					if b.agg.history.state != calm.agg.history.state {
						t.Errorf("crash at commit %d: state %s, want %s", n, b.agg.history.state, calm.agg.history.state)
					}
					b.stop()
					if !crashed {
						break
					}
					crashes++
				}
				if crashes *= stride(3); crashes < 22 {
					t.Errorf("only %d commits were made to crash; the federation has more", crashes)
				}
			}
		})
	}
}

func TestOldStateIsForgotten(t *testing.T) {
	for keep, want := range map[int][]string{0: {"000002"}, 1: {"000001", "000002"}, 2: {"000001", "000002"}, -1: {"000001", "000002"}} {
		b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
			momentum(f)
			f.Plan.Aggregator.DBStoreRounds = keep
		}}
		b.mustStart()
		b.play(asIs, nothing)
		files, err := filepath.Glob(filepath.Join(b.dir, "journal/state/*"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			got = append(got, strings.TrimSuffix(filepath.Base(f), ".safetensors"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("db_store_rounds %d: states %q, want %q", keep, got, want)
		}
		b.restart()
		b.stop()
	}
}

// What training adds to the model is averaged, never stepped, although from the
// second round on the model has it.
func TestOptimizerStateOfSitesIsAveraged(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: momentum}
	b.mustStart()
	for round := range int32(2) {
		w := b.model("one", "w", round)
		for i, name := range []string{"one", "two"} {
			for _, task := range traceTasks {
				r := traceResult(name, task, round, w)
				if task == "train" {
					r.tensors = append(r.tensors, named("__opt_state_0", round, false, []int32{1}, []float32{float32(4 * (i + 1))}, "compressed", "trained"))
				}
				b.mustSend(name, r)
			}
		}
		model, err := b.agg.o.Journal.Model(int(round) + 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := floats(t, model.File, "__opt_state_0"); got[0] != 7 {
			t.Errorf("round %d: the optimizer's tensor is %v, want 7: a quarter of 4 and three of 8", round, got)
		}
		_ = model.Close()
	}
}

// A next value that no float32 holds ends the federation with a reason, not with
// a model of infinities.
func TestValuesBeyondFloat32(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		f.Plan.Aggregator.UseDeltaUpdates = false
		f.Plan.Tasks[1].Aggregation = schema.Component{Template: "fx.aggregation.FedAvgM", Settings: map[string]any{"learning_rate": 1e9}}
	}}
	b.mustStart()
	for _, name := range []string{"one", "two"} {
		for _, task := range traceTasks {
			r := traceResult(name, task, 0, make([]float32, 6))
			if task == "train" {
				r.tensors[1] = named("w", 0, false, []int32{2, 3}, []float32{3e38, 0, 0, 0, 0, 0}, "compressed", "trained")
			}
			b.mustSend(name, r)
		}
	}
	select {
	case err := <-b.agg.Failed():
		if !strings.Contains(err.Error(), `tensor "w": its next value at element 0 would be +Inf`) {
			t.Errorf("error %v, want one that names tensor and element", err)
		}
	default:
		t.Error("the round was closed")
	}
}
