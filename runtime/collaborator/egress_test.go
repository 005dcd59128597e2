package collaborator

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
		"a metric that is not listed": {schema.Egress{Metrics: []schema.MetricRange{{Name: "acc", Max: 1}}}, "egress.metrics"},
		"a metric out of range":       {schema.Egress{Metrics: []schema.MetricRange{{Name: "loss", Max: 0.05}}}, "egress.metrics.loss allows 0 to 0.05"},
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
			if len(agg.received) > 0 || len(ledgerOf(t, s)) > 0 {
				t.Errorf("%d results left and %d lines are in the ledger, want none", len(agg.received), len(ledgerOf(t, s)))
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
	if len(agg.received) > 0 || len(ledgerOf(t, s)) != 8 {
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
	if e := first[1]; !slices.Equal(e.Filters, []string{"clip"}) || math.Abs(e.Norm-math.Sqrt(1.5*1.5+9)) > 1e-9 {
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
	if _, err := s.run(agg); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "this version has clip, drop") {
		t.Errorf("error %v, want one that lists the filters", err)
	}
	if len(agg.answers) != 1 {
		t.Error("the aggregator was asked for work")
	}
}
