package collaborator

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
	"fx/runtime/codec"
	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// under is the tests' plan with a pipeline, a task runner, and deltas.
func under(pipeline, runner string) *schema.Resolved {
	p := *plan
	p.Compression = schema.Component{Template: "openfl.pipelines." + pipeline}
	p.TaskRunner.Template = runner
	p.Collaborator.UseDeltaUpdates = true
	return &p
}

func pipelineOf(t *testing.T, p *schema.Resolved) codec.Pipeline {
	t.Helper()
	pipeline, err := codec.New(p.Compression)
	if err != nil {
		t.Fatal(err)
	}
	return pipeline
}

// message encodes w as an aggregator does.
func message(t *testing.T, p codec.Pipeline, round int32, v []float32, tags ...string) *openflpb.NamedTensor {
	t.Helper()
	source, err := p.Encode(tensor.Named{Name: "w", Round: round, Tags: append(tags, codec.Tag(p))}, modelInfo, bytes.NewReader(tensor.AppendFloat32s(nil, v)), 1)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(source.Data)
	if err != nil {
		t.Fatal(err)
	}
	return transport.ToMessage(source.Named, data)
}

func values(t *testing.T, p codec.Pipeline, m *openflpb.NamedTensor) []float32 {
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

// What is asked for and what is sent in two rounds with differences, by pipeline
// and task runner: what OpenFL's collaborator does with the same runner. The
// runner doubles the model, which is [1, 2] and then [3, 6].
func TestDifferences(t *testing.T) {
	const model, step = "[model] true", "[aggregated delta lossy_compressed] false"
	const difference, lossyDifference, whole = "[compressed delta trained]", "[delta lossy_compressed trained]", "[compressed trained]"
	for _, tt := range []struct {
		pipeline, runner string
		torch, forgetful bool
		asked, sent      []string
	}{
		{"NoCompressionPipeline", "fx.builtin.MLP", false, false, []string{model, model}, []string{difference, difference}},
		{"RandomShiftPipeline", "src.runner.Mine", false, false, []string{model, model}, []string{difference, difference}},
		{"KCPipeline", "fx.builtin.MLP", false, false, []string{model, step}, []string{lossyDifference, lossyDifference}},
		{"KCPipeline", "src.runner.Mine", false, false, []string{model, step}, []string{lossyDifference, whole}},
		{"KCPipeline", "src.runner.Mine", true, false, []string{model, model}, []string{lossyDifference, lossyDifference}},
		{"KCPipeline", "src.runner.Mine", false, true, []string{model, step, model}, []string{lossyDifference, lossyDifference}},
	} {
		t.Run(fmt.Sprintf("%s %s torch=%v forgetful=%v", tt.pipeline, tt.runner, tt.torch, tt.forgetful), func(t *testing.T) {
			s := newSite(t)
			s.plan, s.pytorch = under(tt.pipeline, tt.runner), tt.torch
			p := pipelineOf(t, s.plan)
			var asked []string
			agg := &script{answers: []*openflpb.GetTasksResponse{inRound(0, work("train")), inRound(1, work("train"))}}
			agg.give = func(req *openflpb.GetAggregatedTensorRequest) (*openflpb.NamedTensor, error) {
				asked = append(asked, fmt.Sprint(req.GetTags(), " ", req.GetRequireLossless()))
				if slices.Contains(req.GetTags(), "delta") {
					if tt.forgetful {
						return nil, status.Error(codes.Unknown, "Exception calling application: Aggregator does not have an aggregated tensor for …")
					}
					return message(t, p, 1, []float32{2, 4}, "aggregated", "delta"), nil
				}
				v := []float32{1, 2}
				if req.GetRoundNumber() == 1 {
					v = []float32{3, 6}
				}
				return message(t, codec.Lossless(p), req.GetRoundNumber(), v, "model"), nil
			}
			if _, err := s.run(agg); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked for %q, want %q", asked, tt.asked)
			}
			for i, r := range agg.received {
				sent := r.GetTensors()[1]
				if got := fmt.Sprint(sent.GetTags()); got != tt.sent[i] {
					t.Errorf("round %d: tags %s, want %s", i, got, tt.sent[i])
				}
				want := []float32{1, 2} // what doubling [1, 2] adds
				if i == 1 {
					want = []float32{3, 6}
				}
				with := p
				if tt.sent[i] == whole {
					want, with = []float32{6, 12}, codec.Lossless(p)
				}
				for j, v := range values(t, with, sent) {
					if d := v - want[j]; d > 1e-5 || d < -1e-5 {
						t.Errorf("round %d: sent %v at %d, want %v", i, v, j, want[j])
					}
				}
			}
		})
	}
}

// A result that is sent again after a restart is the same to the last byte, with
// every pipeline.
func TestTheSameBytesAfterARestart(t *testing.T) {
	for _, pipeline := range []string{"NoCompressionPipeline", "RandomShiftPipeline", "KCPipeline", "SKCPipeline", "STCPipeline", "EdenPipeline"} {
		t.Run(pipeline, func(t *testing.T) {
			s := newSite(t)
			s.plan = under(pipeline, "fx.builtin.MLP")
			p := pipelineOf(t, s.plan)
			var sent []string
			for range 2 {
				agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
				agg.give = func(*openflpb.GetAggregatedTensorRequest) (*openflpb.NamedTensor, error) {
					return message(t, codec.Lossless(p), 0, []float32{1, 2}, "model"), nil
				}
				if _, err := s.run(agg); err != nil {
					t.Fatal(err)
				}
				for _, n := range agg.received[0].GetTensors() {
					sent = append(sent, fmt.Sprintf("%x %v", n.GetDataBytes(), n.GetTransformerMetadata()))
				}
			}
			if !slices.Equal(sent[:2], sent[2:]) {
				t.Errorf("first %q, then %q", sent[:2], sent[2:])
			}
		})
	}
}

// The ledger has the values that were checked, and beside them what went over
// the wire where that is something else.
func TestTheLedgerKnowsTheWire(t *testing.T) {
	s := newSite(t)
	s.plan = under("STCPipeline", "fx.builtin.MLP")
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	entries := ledgerOf(t, s)
	metric, w := entries[0], entries[1]
	if metric.Tags != nil || metric.WireBytes != 0 {
		t.Errorf("the metric travelled as it is, the ledger says %+v", metric)
	}
	sent := agg.received[0].GetTensors()[1]
	if w.Bytes != 8 || w.WireBytes != int64(len(sent.GetDataBytes())) || !slices.Equal(w.Tags, sent.GetTags()) || len(w.WireSHA256) != 64 || w.WireSHA256 == w.SHA256 {
		t.Errorf("sent %d bytes with tags %q, the ledger says %+v", len(sent.GetDataBytes()), sent.GetTags(), w)
	}
}

// What is encoded is what the filters left: [1, 2] clipped to half of its length,
// and the ledger's values are those.
func TestWhatFiltersLeftIsEncoded(t *testing.T) {
	for _, pipeline := range []string{"NoCompressionPipeline", "KCPipeline"} {
		s := newSite(t)
		s.plan = under(pipeline, "fx.builtin.MLP")
		s.plan.Egress = schema.Egress{Filters: filter("clip", map[string]any{"norm": math.Sqrt(5) / 2})}
		agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
		if _, err := s.run(agg); err != nil {
			t.Fatal(err)
		}
		sent := agg.received[0].GetTensors()[1]
		if got := values(t, pipelineOf(t, s.plan), sent); !slices.Contains(sent.GetTags(), "delta") || !slices.Equal(got, []float32{0.5, 1}) {
			t.Errorf("%s: %v left with tags %q, want the difference [0.5 1]", pipeline, got, sent.GetTags())
		}
		entry := ledgerOf(t, s)[1]
		if sum := sha256.Sum256(tensor.AppendFloat32s(nil, []float32{1.5, 3})); entry.SHA256 != hex.EncodeToString(sum[:]) || len(entry.Filters) != 1 {
			t.Errorf("%s: the ledger says %+v, want the digest of [1.5 3] and a filter", pipeline, entry)
		}
	}
}

// Noise is drawn once, so what it is encoded to is the same after a kill as well,
// and is paid for once.
func TestNoisedDifferencesAfterARestart(t *testing.T) {
	s := newSite(t)
	s.plan = noise(0)
	s.plan.Compression = schema.Component{Template: "openfl.pipelines.EdenPipeline"}
	s.plan.Collaborator.UseDeltaUpdates = true
	var sent [][]byte
	for range 2 {
		agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
		if _, err := s.run(agg); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, agg.received[0].GetTensors()[1].GetDataBytes())
	}
	if !bytes.Equal(sent[0], sent[1]) {
		t.Errorf("one result left as %x and %x", sent[0], sent[1])
	}
	lines := ledgerOf(t, s)
	if last := lines[len(lines)-1]; last.Kind != egress.KindPrivacy || last.Privacy.Releases != 1 || last.Privacy.Mu != 0 {
		t.Errorf("the account ends with %+v", last)
	}
}

// What may not leave does not leave encoded either.
func TestValuesAreCheckedBeforeTheyAreEncoded(t *testing.T) {
	s := newSite(t)
	s.plan = under("KCPipeline", "fx.builtin.MLP")
	s.plan.Egress = schema.Egress{BytesPerRound: 11}
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	if _, err := s.run(agg); !errors.Is(err, egress.ErrRefused) || len(agg.received) > 0 {
		t.Errorf("got %v and %d results, want a refusal and none", err, len(agg.received))
	}
}

// An aggregator that answers something else than was asked for is not believed.
func TestADifferenceIsNotAModel(t *testing.T) {
	for name, m := range map[string]*openflpb.NamedTensor{
		"a difference": message(t, codec.NoCompression{}, 0, []float32{1, 2}, "aggregated", "delta"),
		"lossy":        message(t, pipelineOf(t, under("KCPipeline", "")), 0, []float32{1, 2}, "model"),
	} {
		s := newSite(t)
		s.plan = under("KCPipeline", "fx.builtin.MLP")
		agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}, tensor: m}
		if _, err := s.run(agg); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "cannot use what the aggregator sent") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

// After an evaluation the site is done; any other early end is none.
func TestTheEndOfAnEvaluation(t *testing.T) {
	for name, tt := range map[string]struct {
		tasks []string
		done  bool
	}{"evaluation": {[]string{"aggregated_model_validation"}, true}, "training": {[]string{"train"}, false}, "nothing": {nil, false}} {
		s := newSite(t)
		p := *plan
		p.Assigner.Settings = map[string]any{"task_groups": []any{
			map[string]any{"name": "learning", "tasks": []any{"train"}},
			map[string]any{"name": "evaluation", "tasks": []any{"aggregated_model_validation"}},
		}}
		s.plan = &p
		agg := &script{}
		if tt.tasks != nil {
			agg.answers = append(agg.answers, work(tt.tasks...))
		}
		agg.answers = append(agg.answers, &openflpb.GetTasksResponse{Quit: true, RoundNumber: 1})
		if _, err := s.run(agg); (err == nil) != tt.done {
			t.Errorf("%s: got %v, complete should be %v", name, err, tt.done)
		}
	}
}
