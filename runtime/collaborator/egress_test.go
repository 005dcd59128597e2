package collaborator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/schema"
)

// narrowed is the tests' plan with a section egress.
func narrowed(e schema.Egress) *schema.Resolved {
	p := *plan
	p.Egress = e
	return &p
}

func filter(name string, settings map[string]any) []schema.EgressFilter {
	return []schema.EgressFilter{{Name: name, Settings: settings}}
}

// ledgerOf reads a site's ledger.
func ledgerOf(t *testing.T, s *site) []egress.Entry {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "egress.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []egress.Entry
	for line := range strings.Lines(string(b)) {
		var e egress.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// TestThePlanNarrowsWhatLeaves: what a rule of the section egress forbids is
// neither sent nor recorded as sent, and the message names the rule.
func TestThePlanNarrowsWhatLeaves(t *testing.T) {
	tests := map[string]struct {
		rules schema.Egress
		want  string
	}{
		"a tensor outside the globs":  {schema.Egress{Tensors: []string{"bias*"}}, "egress.tensors"},
		"no tensor at all":            {schema.Egress{Tensors: []string{}}, "egress.tensors"},
		"a metric that is not listed": {schema.Egress{Metrics: []schema.Range{{Name: "acc", Max: 1}}}, "egress.metrics"},
		"a metric out of range":       {schema.Egress{Metrics: []schema.Range{{Name: "loss", Max: 0.05}}}, "egress.metrics.loss allows 0 to 0.05"},
		"a tensor out of range":       {schema.Egress{TensorRanges: []schema.Range{{Name: "w*", Min: -3, Max: 3}}}, "egress.tensor_ranges[\"w*\"] allows -3 to 3"},
		"too many bytes in a round":   {schema.Egress{BytesPerRound: 11}, "egress.bytes_per_round allows 11"},
		"too many bytes in the run":   {schema.Egress{BytesPerRun: 11}, "egress.bytes_per_run allows 11"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.plan = narrowed(tt.rules)
			agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
			_, err := s.run(agg)
			if !errors.Is(err, egress.ErrRefused) || !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want a refusal that says %q", err, tt.want)
			}
			lines := ledgerOf(t, s)
			if len(agg.received) > 0 || len(lines) != 1 || lines[0].Kind != egress.KindRefused || lines[0].Bytes != 0 || !strings.Contains(tt.want, lines[0].Reason) && !strings.Contains(lines[0].Reason, tt.want) {
				t.Errorf("%d results left and the ledger has %+v, want nothing but the refusal", len(agg.received), lines)
			}
		})
	}
}

// TestTheRunsTotalSurvivesRestarts: a site sends 12 bytes a round. With 24
// allowed, the second process sends the second round and again, unchanged, what
// the first had sent of it; the third may send no more.
func TestTheRunsTotalSurvivesRestarts(t *testing.T) {
	s := newSite(t)
	s.plan = narrowed(schema.Egress{BytesPerRound: 12, BytesPerRun: 24})
	round := func(n int32) *openflpb.GetTasksResponse {
		w := work("train")
		w.RoundNumber = n
		return w
	}
	for _, rounds := range [][]int32{{0, 1}, {1}, {1}} {
		agg := &script{}
		for _, n := range rounds {
			agg.answers = append(agg.answers, round(n))
		}
		if _, err := s.run(agg); err != nil || len(agg.received) != len(rounds) {
			t.Fatalf("rounds %v: %d results, %v", rounds, len(agg.received), err)
		}
	}
	if n := len(ledgerOf(t, s)); n != 8 {
		t.Errorf("%d lines in the ledger, want 8: what is sent again is recorded again", n)
	}
	s.plan.Aggregator.Rounds = 3
	agg := &script{answers: []*openflpb.GetTasksResponse{round(2)}}
	if _, err := s.run(agg); !errors.Is(err, egress.ErrRefused) || !strings.Contains(err.Error(), "egress.bytes_per_run allows 24") {
		t.Errorf("error %v, want a refusal by egress.bytes_per_run", err)
	}
	lines := ledgerOf(t, s)
	if len(agg.received) > 0 || len(lines) != 9 || lines[8].Kind != egress.KindRefused {
		t.Errorf("%d results left after the run's total", len(agg.received))
	}
}

// TestAnAggregatorCannotAskForMoreThanARound: another model in the same round
// makes other results, and these count.
func TestAnAggregatorCannotAskForMoreThanARound(t *testing.T) {
	s := newSite(t)
	s.plan = narrowed(schema.Egress{BytesPerRound: 12})
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{work("train")}}); err != nil {
		t.Fatal(err)
	}
	other := &openflpb.NamedTensor{
		Name: "w", Tags: []string{"compressed", "model"}, DataBytes: tensor.AppendFloat32s(nil, []float32{5, 5}),
		TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{2}}},
	}
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}, tensor: other}
	if _, err := s.run(agg); !errors.Is(err, egress.ErrRefused) || len(agg.received) > 0 {
		t.Errorf("error %v and %d results, want a refusal", err, len(agg.received))
	}
}

// TestDroppedTensorsStay: they are in the ledger, and nowhere else. They need
// not be the model's.
func TestDroppedTensorsStay(t *testing.T) {
	s := newSite(t)
	s.plan = narrowed(schema.Egress{Tensors: []string{"w"}, Filters: filter("drop", map[string]any{"tensors": []any{"__opt_*"}})})
	s.runner.output = []tensor.Source{
		{Info: tensor.Info{Name: "__opt_group_lengths", DType: "I64", Shape: []int{1}}, Data: bytes.NewReader(make([]byte, 8))},
		{Info: modelInfo, Data: bytes.NewReader(make([]byte, 8))},
	}
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	for _, sent := range agg.received[0].GetTensors() {
		if sent.GetName() != "w" && sent.GetName() != "loss" {
			t.Errorf("%q left", sent.GetName())
		}
	}
	lines := ledgerOf(t, s)
	last := lines[len(lines)-1]
	if len(lines) != 3 || last.Kind != egress.KindDropped || last.Name != "__opt_group_lengths" || last.Bytes != 0 || !slices.Equal(last.Filters, []string{"drop"}) {
		t.Errorf("the ledger does not say what was dropped: %+v", lines)
	}
}

// TestClippedChangesLeave: the runner makes [2, 4] of [1, 2], a change of norm
// √5; what leaves is in the same direction, with the plan's norm, and what the
// ledger has is what left. The site's own validation sees what it trained.
func TestClippedChangesLeave(t *testing.T) {
	s := newSite(t)
	s.plan = narrowed(schema.Egress{Filters: filter("clip", map[string]any{"norm": math.Sqrt(5) / 2})})
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train", "locally_tuned_model_validation")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if got := tensor.Float32s(agg.received[0].GetTensors()[1].GetDataBytes()); !slices.Equal(got, []float32{1.5, 3}) {
		t.Errorf("%v left, want [1.5 3]", got)
	}
	if want := "locally_tuned_model_validation[2 4]"; s.runner.ran[1] != want {
		t.Errorf("ran %q, want %q", s.runner.ran[1], want)
	}
	first := ledgerOf(t, s)
	if e := first[1]; !slices.Equal(e.Filters, []string{"clip 1.118033988749895"}) || math.Abs(e.Norm-math.Sqrt(1.5*1.5+9)) > 1e-9 {
		t.Errorf("the ledger has %+v, want what was clipped", e)
	}
	// After a restart the same bytes leave.
	again := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(again); err != nil {
		t.Fatal(err)
	}
	if e := ledgerOf(t, s)[len(first)+1]; e.SHA256 != first[1].SHA256 {
		t.Errorf("other bytes left after a restart: %+v", e)
	}
}

// TestSmallChangesAreNotTouched: a bound that holds changes no byte.
func TestSmallChangesAreNotTouched(t *testing.T) {
	s := newSite(t)
	s.plan = narrowed(schema.Egress{Filters: filter("clip", map[string]any{"norm": 3})})
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if got := tensor.Float32s(agg.received[0].GetTensors()[1].GetDataBytes()); !slices.Equal(got, []float32{2, 4}) {
		t.Errorf("%v left, want [2 4]", got)
	}
	if e := ledgerOf(t, s)[1]; len(e.Filters) > 0 {
		t.Errorf("the ledger says that %q changed the tensor", e.Filters)
	}
}

func TestAnUnknownFilterStopsBeforeTheNetwork(t *testing.T) {
	s := newSite(t)
	s.plan = narrowed(schema.Egress{Filters: filter("gaussian", map[string]any{"sigma": 1.0})})
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "this version has clip, drop, noise, quantise") {
		t.Errorf("error %v, want one that lists the filters", err)
	}
	if len(agg.answers) != 1 {
		t.Error("the aggregator was asked for work")
	}
}

// TestTheSiteNarrowsFurther: its own file and the plan must both allow what
// leaves, and its filters work on what the plan's leave.
func TestTheSiteNarrowsFurther(t *testing.T) {
	s := newSite(t)
	s.site = schema.Egress{Metrics: []schema.Range{}}
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); !errors.Is(err, egress.ErrRefused) || !strings.Contains(err.Error(), "the site's metrics does not list") {
		t.Errorf("error %v, want a refusal by the site's file", err)
	}
	if len(agg.received) > 0 {
		t.Errorf("%d results left", len(agg.received))
	}
	s = newSite(t)
	s.plan = narrowed(schema.Egress{Filters: filter("clip", map[string]any{"norm": math.Sqrt(5) / 2})})
	s.site = schema.Egress{Filters: filter("clip", map[string]any{"norm": math.Sqrt(5) / 4})}
	agg = &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if got := tensor.Float32s(agg.received[0].GetTensors()[1].GetDataBytes()); !slices.Equal(got, []float32{1.25, 2.5}) {
		t.Errorf("%v left, want [1.25 2.5]", got)
	}
}

// noise is a plan with noise, and at most that epsilon.
func noise(maxEpsilon float64) *schema.Resolved {
	settings := map[string]any{"noise_multiplier": 1.0}
	if maxEpsilon > 0 {
		settings["max_epsilon"] = maxEpsilon
	}
	return narrowed(schema.Egress{Filters: slices.Concat(filter("clip", map[string]any{"norm": 1.0}), filter("noise", settings))})
}

// TestNoiseIsDrawnOnce: the release is durable before the ledger's line and the
// sending, so after a kill at any moment the same bytes leave, and are paid for
// once. Another round gets other noise, and is paid for again.
func TestNoiseIsDrawnOnce(t *testing.T) {
	s := newSite(t)
	s.plan = noise(0)
	lost := errors.New("the connection breaks")
	var sent [][]byte
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		s.ctx = ctx
		agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}, seen: func(r *openflpb.TaskResults) error {
			sent = append(sent, r.GetTensors()[1].GetDataBytes())
			cancel() // the process ends before it knows that the result has arrived
			return lost
		}}
		if _, err := s.run(agg); err == nil {
			t.Fatal("the process did not end")
		}
	}
	if got := tensor.Float32s(sent[0]); slices.Equal(got, []float32{2, 4}) {
		t.Errorf("%v left: without noise", got)
	}
	if !bytes.Equal(sent[0], sent[1]) || !bytes.Equal(sent[0], sent[2]) {
		t.Errorf("one result left with different noise: %v", sent)
	}
	s.ctx = nil
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{inRound(1, work("train"))}}); err != nil {
		t.Fatal(err)
	}
	var releases, paid []float64
	for _, e := range ledgerOf(t, s) {
		if e.Kind == egress.KindPrivacy {
			releases, paid = append(releases, float64(e.Privacy.Releases)), append(paid, e.Privacy.Mu)
		}
	}
	if !slices.Equal(releases, []float64{1, 1, 1, 2}) || !slices.Equal(paid, []float64{2, 0, 0, 2}) {
		t.Errorf("%v results for mu %v, want 1 1 1 2 for 2 0 0 2", releases, paid)
	}
	lines := ledgerOf(t, s)
	if last := lines[len(lines)-1]; math.Abs(last.Privacy.Epsilon-egress.Epsilon(2*math.Sqrt2, 1e-5)) > 1e-9 || last.Privacy.Delta != 1e-5 {
		t.Errorf("the account is %+v", last.Privacy)
	}
	if e := lines[1]; !slices.Equal(e.Filters, []string{"clip 1", "noise 1"}) {
		t.Errorf("the filters of the tensor are %q", e.Filters)
	}
}

// TestTheRunStopsBeforeItCostsTooMuch: with epsilon for one result, the second
// round does not begin, in this process or the next, and nothing of it leaves.
func TestTheRunStopsBeforeItCostsTooMuch(t *testing.T) {
	s := newSite(t)
	s.plan = noise(egress.Epsilon(2, 1e-5) + 0.1)
	second := func() *openflpb.GetTasksResponse { return inRound(1, work("aggregated_model_validation", "train")) }
	for _, answers := range [][]*openflpb.GetTasksResponse{{work("train"), second()}, {second()}} {
		want := len(answers) - 1
		agg := &script{answers: answers}
		_, err := s.run(agg)
		if !errors.Is(err, egress.ErrRefused) || !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "would raise epsilon in round 1") {
			t.Errorf("error %v, want a refusal by max_epsilon", err)
		}
		if len(agg.received) != want || len(s.runner.ran) != 1 {
			t.Errorf("%d results left and %q ran, want the first round alone", len(agg.received), s.runner.ran)
		}
	}
}

func TestQuantisedValuesLeave(t *testing.T) {
	s := newSite(t)
	s.plan = narrowed(schema.Egress{Filters: filter("quantise", map[string]any{"to": "float16"})})
	s.runner.output = []tensor.Source{{Info: modelInfo, Data: bytes.NewReader(tensor.AppendFloat32s(nil, []float32{1 + 1.0/4096, 7e4}))}}
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if got := tensor.Float32s(agg.received[0].GetTensors()[1].GetDataBytes()); !slices.Equal(got, []float32{1, 65504}) {
		t.Errorf("%v left, want [1 65504]", got)
	}
	if e := ledgerOf(t, s)[1]; !slices.Equal(e.Filters, []string{"quantise float16"}) {
		t.Errorf("the ledger has %+v", e)
	}
}

// TestNoFilterHidesWhatIsNoNumber: clipping, noise and rounding would make a
// number of it.
func TestNoFilterHidesWhatIsNoNumber(t *testing.T) {
	plans := map[string]*schema.Resolved{
		"clip":     narrowed(schema.Egress{Filters: filter("clip", map[string]any{"norm": 1.0})}),
		"noise":    noise(0),
		"quantise": narrowed(schema.Egress{Filters: filter("quantise", map[string]any{"to": "float16"})}),
	}
	for name, p := range plans {
		for _, v := range []float64{math.NaN(), math.Inf(1)} {
			s := newSite(t)
			s.plan = p
			s.runner.output = []tensor.Source{{Info: modelInfo, Data: bytes.NewReader(tensor.AppendFloat32s(nil, []float32{1, float32(v)}))}}
			agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
			if _, err := s.run(agg); !errors.Is(err, egress.ErrRefused) || !strings.Contains(err.Error(), "only finite numbers") || len(agg.received) > 0 {
				t.Errorf("%s, %v: error %v and %d results, want a refusal", name, v, err, len(agg.received))
			}
		}
	}
}

// TestOnlyValuesLeave: what a safetensors file has besides values and their
// names stays, byte for byte, and so does what is wrong with one.
func TestOnlyValuesLeave(t *testing.T) {
	s := newSite(t)
	s.runner.metadata = map[string]string{"patient": "SECRET"}
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if wire, err := proto.Marshal(agg.received[0]); err != nil || bytes.Contains(wire, []byte("SECRET")) || bytes.Contains(wire, []byte("patient")) {
		t.Errorf("metadata left: %q, %v", wire, err)
	}
	s = newSite(t)
	s.runner.extra = []byte("SECRET")
	agg = &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); !errors.Is(err, ErrIncomplete) || !errors.Is(err, tensor.ErrInvalid) || len(agg.received) > 0 {
		t.Errorf("error %v and %d results, want that bytes behind the last tensor are refused", err, len(agg.received))
	}
}

// TestPyTorchsOptimizerStateLeaves without a section egress, as OpenFL's runner
// makes it for Adam; what only looks like it does not.
func TestPyTorchsOptimizerStateLeaves(t *testing.T) {
	f32 := func(name string, shape ...int) tensor.Source {
		info := tensor.Info{Name: name, DType: tensor.F32, Shape: shape}
		return tensor.Source{Info: info, Data: bytes.NewReader(make([]byte, info.Bytes()))}
	}
	adam := func() []tensor.Source {
		return []tensor.Source{
			f32("w", 2), f32("__opt_state_0_0_istensor_step"), f32("__opt_state_0_0_istensor_exp_avg", 2),
			f32("__opt_state_0_0_istensor_exp_avg_sq", 2), f32("__opt_group_lengths", 1),
		}
	}
	s := newSite(t)
	s.pytorch, s.runner.output = true, adam()
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if got := len(agg.received[0].GetTensors()); got != 6 {
		t.Errorf("%d tensors left, want the model's, four states and a metric", got)
	}
	s = newSite(t)
	s.pytorch, s.runner.output = true, append(adam(), f32("__opt_state_0_1_istensor_exp_avg", 2))
	agg = &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); !errors.Is(err, egress.ErrRefused) || len(agg.received) > 0 {
		t.Errorf("error %v, want a refusal of a state that no parameter has", err)
	}
}
