package aggregator

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/bundle"
	openflpb "fx/proto"
	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// with is the worked example under another pipeline and other switches.
func with(template string, settings map[string]any, aggregatorDeltas bool) func(*bundle.Federation) {
	return func(f *bundle.Federation) {
		f.Plan.Compression = schema.Component{Template: "openfl.pipelines." + template, Settings: settings}
		f.Plan.Aggregator.UseDeltaUpdates = aggregatorDeltas
	}
}

func pipelineOf(t *testing.T, b *testbed) codec.Pipeline {
	t.Helper()
	p, err := codec.New(b.plan.Compression)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// encoded is a tensor as a collaborator sends it.
func encoded(t *testing.T, p codec.Pipeline, name string, round int32, shape []int, v []float32, tags ...string) *openflpb.NamedTensor {
	t.Helper()
	n := tensor.Named{Name: name, Round: round, Tags: append([]string{codec.Tag(p)}, tags...)}
	source, err := p.Encode(n, tensor.Info{Name: name, DType: tensor.F32, Shape: shape}, bytes.NewReader(tensor.AppendFloat32s(nil, v)), 1)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(source.Data)
	if err != nil {
		t.Fatal(err)
	}
	return transport.ToMessage(source.Named, data)
}

// decoded are the values of a message.
func decoded(t *testing.T, p codec.Pipeline, m *openflpb.NamedTensor) []float32 {
	t.Helper()
	_, r, err := p.Decode(transport.FromMessage(m), bytes.NewReader(m.GetDataBytes()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return tensor.Float32s(raw)
}

// fetch asks for a tensor as a collaborator.
func (b *testbed) fetch(name, tensorName string, round int32, lossless bool, tags ...string) (*openflpb.NamedTensor, error) {
	return b.clients[name].Tensor(b.t.Context(), transport.TensorRequest{Name: tensorName, Round: round, Tags: tags, RequireLossless: lossless, Limit: 1 << 20})
}

// playRound sends all results of a round, encoded by the plan's lossless pipeline,
// with each trained w replaced.
func (b *testbed) playRound(round int32, w []float32, replace func(name string, trained *openflpb.NamedTensor) *openflpb.NamedTensor) {
	b.t.Helper()
	for _, name := range []string{"one", "two"} {
		for _, task := range traceTasks {
			r := traceResult(name, task, round, w)
			for i, n := range r.tensors {
				if task == "train" && i == 1 {
					r.tensors[i] = replace(name, n)
					continue
				}
				shape := []int{}
				for _, d := range n.GetTransformerMetadata()[0].GetIntList() {
					shape = append(shape, int(d))
				}
				again := encoded(b.t, codec.Lossless(pipelineOf(b.t, b)), n.GetName(), round, shape, tensor.Float32s(n.GetDataBytes()), n.GetTags()[1:]...)
				again.Report = n.GetReport()
				r.tensors[i] = again
			}
			b.mustSend(name, r)
		}
	}
}

var lossyPipelines = map[string]map[string]any{
	"KCPipeline": {"n_clusters": 3}, "SKCPipeline": {"p_sparsity": 0.5, "n_clusters": 3}, "STCPipeline": {"p_sparsity": 0.5},
	"EdenPipeline": {"n_bits": 4, "dim_threshold": 2},
}

// The global model goes through a pipeline that loses values once a round, and a
// collaborator that asks for the difference comes to the same bits. One sends
// differences, the other whole tensors: under OpenFL's aggregator that would end
// the federation.
func TestLossyRounds(t *testing.T) {
	for template, settings := range lossyPipelines {
		for _, deltas := range []bool{true, false} {
			t.Run(template+map[bool]string{true: " deltas", false: ""}[deltas], func(t *testing.T) {
				b := &testbed{t: t, dir: t.TempDir(), edit: with(template, settings, deltas)}
				b.mustStart()
				p := pipelineOf(t, b)
				before := b.model("one", "w", 0)
				sentByOne := []float32(nil)
				b.playRound(0, before, func(name string, trained *openflpb.NamedTensor) *openflpb.NamedTensor {
					if name == "two" {
						return trained
					}
					step := tensor.Float32s(trained.GetDataBytes())
					for i := range step {
						step[i] -= before[i]
					}
					m := encoded(t, p, "w", 0, []int{2, 3}, step, "delta", "trained")
					sentByOne = decoded(t, p, m)
					return m
				})
				step := make([]float32, 6)
				for i := range step { // one counts a quarter, two adds 2·[0..5]
					own := before[i] + sentByOne[i]
					avg := 0.25*float64(own) + 0.75*float64(before[i]+2*float32(i))
					if deltas {
						avg -= float64(before[i])
					}
					step[i] = float32(avg)
				}
				lossy := decoded(t, p, encodedWith(t, b, p, step))
				after := b.model("one", "w", 1)
				for i := range after {
					want := lossy[i]
					if deltas {
						want += before[i]
					}
					if after[i] != want {
						t.Errorf("element %d of round 1 is %v, want %v", i, after[i], want)
					}
				}
				got, err := b.fetch("two", "w", 1, false, "aggregated", "delta", "lossy_compressed")
				if err != nil {
					t.Fatal(err)
				}
				if want := []string{"aggregated", "delta", "lossy_compressed"}; !slices.Equal(got.GetTags(), want) || got.GetLossless() {
					t.Errorf("the difference has tags %q, lossless %v, want %q, false", got.GetTags(), got.GetLossless(), want)
				}
				if deltas {
					for i, d := range decoded(t, p, got) {
						if before[i]+d != after[i] {
							t.Errorf("element %d: %v plus the difference %v is not %v", i, before[i], d, after[i])
						}
					}
				}
				b.restart()
				if again := b.model("one", "w", 1); !slices.Equal(again, after) {
					t.Errorf("after a restart w is %v, was %v", again, after)
				}
			})
		}
	}
}

// encodedWith is a step as the aggregator encodes it.
func encodedWith(t *testing.T, b *testbed, p codec.Pipeline, step []float32) *openflpb.NamedTensor {
	t.Helper()
	source, err := p.Encode(tensor.Named{Name: "w"}, tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2, 3}},
		bytes.NewReader(tensor.AppendFloat32s(nil, step)), codec.Seed(b.plan.FederationID, b.plan.AggregatorID, "w", 1))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(source.Data)
	if err != nil {
		t.Fatal(err)
	}
	return transport.ToMessage(source.Named, data)
}

// A pipeline that keeps values has no effect on the model, whatever travels.
func TestLosslessDeltas(t *testing.T) {
	for _, template := range []string{"NoCompressionPipeline", "RandomShiftPipeline"} {
		t.Run(template, func(t *testing.T) {
			b := &testbed{t: t, dir: t.TempDir(), edit: with(template, nil, true)}
			b.mustStart()
			p := pipelineOf(t, b)
			got, err := b.fetch("one", "w", 0, true, "model")
			if err != nil {
				t.Fatal(err)
			}
			before := decoded(t, p, got)
			b.playRound(0, before, func(_ string, trained *openflpb.NamedTensor) *openflpb.NamedTensor {
				return encoded(t, p, "w", 0, []int{2, 3}, tensor.Float32s(trained.GetDataBytes()), "trained")
			})
			got, err = b.fetch("one", "w", 1, false, "aggregated", "delta", "compressed")
			if err != nil {
				t.Fatal(err)
			}
			if want := []string{"aggregated", "compressed", "delta"}; !slices.Equal(got.GetTags(), want) || !got.GetLossless() {
				t.Errorf("the difference has tags %q, lossless %v, want %q, true", got.GetTags(), got.GetLossless(), want)
			}
			for i, d := range decoded(t, p, got) {
				if want := 1.75 * float32(i); math.Abs(float64(before[i]+d-want)) > 1e-5 {
					t.Errorf("element %d of the difference leads to %v, want %v", i, before[i]+d, want)
				}
			}
		})
	}
}

// A collaborator gets back what it has sent itself, and nothing of another's.
func TestOwnTensorsOnly(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	b.mustSend("one", traceResult("one", "train", 0, make([]float32, 6)))
	for _, tags := range [][]string{{"one", "trained"}, {"trained", "one"}} {
		got, err := b.fetch("one", "w", 0, true, tags...)
		if err != nil {
			t.Fatal(err)
		}
		if v := tensor.Float32s(got.GetDataBytes()); !slices.Equal(v, []float32{0, 1, 2, 3, 4, 5}) || !slices.Equal(got.GetTags(), []string{"compressed", "one", "trained"}) {
			t.Errorf("tags %q: got %v %q", tags, v, got.GetTags())
		}
		other, err := b.fetch("two", "w", 0, true, tags...)
		if err != nil || other.GetName() != "" || len(other.GetDataBytes()) != 0 {
			t.Errorf("another asks for tags %q: got %v, %v, want an empty tensor", tags, other, err)
		}
	}
	for _, tags := range [][]string{{"trained"}, {"aggregated"}, {"two"}, {}, {"model", "trained"}} {
		if got, err := b.fetch("two", "w", 0, true, tags...); err == nil {
			t.Errorf("tags %q: got %v, want an error", tags, got)
		}
	}
}

// What training adds, such as the state of an optimizer, is averaged and served
// with the next model, but not saved where OpenFL reads it.
func TestOptimizerTensors(t *testing.T) {
	const name = "__opt_state_0_0_istensor_momentum_buffer"
	b := newTestbed(t, t.TempDir())
	for round := range int32(2) {
		for i, who := range []string{"one", "two"} {
			for _, task := range traceTasks {
				r := traceResult(who, task, round, make([]float32, 6))
				if task == "train" {
					r.tensors = append(r.tensors, named(name, round, false, []int32{2}, []float32{float32(4 * i), 1}, "compressed", "trained"))
				}
				b.mustSend(who, r)
			}
		}
		if got, want := b.model("one", name, round+1), []float32{3, 1}; !slices.Equal(got, want) {
			t.Errorf("round %d: got %v, want %v", round+1, got, want)
		}
	}
	saved, err := os.ReadFile(b.agg.Files()["final"])
	if err != nil {
		t.Fatal(err)
	}
	model, err := tensor.ScanModel(bytes.NewReader(saved), int64(len(saved)))
	if err != nil || len(model) != 2 {
		t.Errorf("final.pbuf has %d tensors, %v, want those of the initial model", len(model), err)
	}
}

// A small upload does not unpack to more than the model has.
func TestLossyTensorsMustBeOfTheModel(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: with("KCPipeline", nil, true)}
	b.mustStart()
	p := pipelineOf(t, b)
	for name, tt := range map[string]struct {
		t    *openflpb.NamedTensor
		want string
	}{
		"of no tensor": {encoded(t, p, "x", 0, []int{1 << 20}, make([]float32, 1<<20), "trained"), "nothing bounds what it unpacks to"},
		"other shape":  {encoded(t, p, "w", 0, []int{1 << 20}, make([]float32, 1<<20), "trained"), "has shape [1048576]; the model has [2 3]"},
		"not trained":  {encoded(t, p, "w", 0, []int{2, 3}, make([]float32, 6), "other"), "only what was trained"},
		"other round":  {encoded(t, p, "w", 1, []int{2, 3}, make([]float32, 6), "delta", "trained"), "the model of round 1, in a result of round 0"},
		"broken stream": {func() *openflpb.NamedTensor {
			m := encoded(t, p, "w", 0, []int{2, 3}, make([]float32, 6), "trained")
			m.DataBytes = m.DataBytes[:20]
			return m
		}(), "its data is not gzip"},
	} {
		r := traceResult("one", "train", 0, make([]float32, 6))
		r.tensors[1] = tt.t
		if err := b.send("one", r); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestDifferenceLeadsBack(t *testing.T) {
	from := []float32{1, 0.1, 1e8, -3, 1 + 1.0/(1<<23), 0, 1e-30, 16777216}
	for _, d := range []float32{0, 1, -1, 0.1, 1e-8, 3e7, -1e8, 16777217} {
		to := make([]float32, len(from))
		for i := range from {
			to[i] = from[i] + d // what a model is made of
		}
		step := slices.Clone(to)
		difference(from, step)
		for i := range from {
			if from[i]+step[i] != to[i] {
				t.Errorf("%v to %v: the difference %v leads to %v", from[i], to[i], step[i], from[i]+step[i])
			}
		}
	}
}

// An evaluation is one round on the model that came in.
func TestEvaluation(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), group: Evaluation, edit: func(f *bundle.Federation) {
		groups := f.Plan.Assigner.Settings["task_groups"].([]any)
		f.Plan.Assigner.Settings["task_groups"] = append(slices.Clone(groups), map[string]any{
			"name": "evaluation", "percentage": 0, "tasks": []any{"aggregated_model_validation"},
		})
		for i := range f.Model.Tensors {
			f.Model.Tensors[i].Round = 7 // beyond the plan's rounds
		}
	}}
	b.mustStart()
	for _, name := range []string{"one", "two"} {
		resp := b.tasks(name)
		if len(resp.GetTasks()) != 1 || resp.GetTasks()[0].GetName() != "aggregated_model_validation" || resp.GetRoundNumber() != 0 {
			t.Fatalf("%s is asked for %v in round %d", name, resp.GetTasks(), resp.GetRoundNumber())
		}
		b.mustSend(name, traceResult(name, "aggregated_model_validation", 0, b.model(name, "w", 0)))
	}
	for _, name := range []string{"one", "two"} {
		if resp := b.tasks(name); !resp.GetQuit() || resp.GetRoundNumber() != 1 {
			t.Errorf("%s is told %v", name, resp)
		}
	}
	if r := b.agg.Report(); len(r.Metrics) != 1 || len(b.agg.Files()) != 0 {
		t.Errorf("metrics %v, files %v, want one and none", r.Metrics, b.agg.Files())
	}
	if _, err := os.Stat(filepath.Join(b.dir, "save")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("models were saved: %v", err)
	}
}
