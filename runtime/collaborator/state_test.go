package collaborator

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	openflpb "fx/proto"
	"fx/runtime/codec"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/schema"
)

// momentum is the state of SGD with momentum for the tests' model.
var momentum = tensor.Info{Name: "__opt_state_0_0_istensor_momentum_buffer", DType: tensor.F32, Shape: []int{2}}

// stateful trains like runner, makes optimizer state, and notes what it was
// handed.
type stateful struct {
	runner
	handed [][]string
}

func (r *stateful) Run(ctx context.Context, job taskrunner.Job) (taskrunner.Result, error) {
	b, err := os.ReadFile(job.Inputs)
	if err != nil {
		return taskrunner.Result{}, err
	}
	f, err := tensor.OpenSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return taskrunner.Result{}, err
	}
	var names []string
	for _, info := range f.Infos() {
		names = append(names, info.Name)
	}
	r.handed = append(r.handed, names)
	of := func(info tensor.Info) tensor.Source {
		return tensor.Source{Info: info, Data: bytes.NewReader(tensor.AppendFloat32s(nil, []float32{5, 6}))}
	}
	r.output = []tensor.Source{of(modelInfo), of(momentum)}
	return r.runner.Run(ctx, job)
}

// Under CONTINUE_GLOBAL a site fetches, from the second round on, what it sent
// besides the model, and hands it to the task; a restart between the rounds
// changes nothing. Otherwise it does not ask.
func TestOptimizerStateIsFetched(t *testing.T) {
	for _, tt := range []struct {
		treatment, pipeline string
		deltas, restart     bool
		drop                bool
		asked               []string // "name round tags"
		tags                string   // of the state that is sent in the second round
	}{
		{"RESET", "NoCompressionPipeline", false, false, false, []string{"w 0 [model]", "w 1 [model]"}, "[compressed trained]"},
		{"CONTINUE_LOCAL", "NoCompressionPipeline", false, false, false, []string{"w 0 [model]", "w 1 [model]"}, "[compressed trained]"},
		{"CONTINUE_GLOBAL", "NoCompressionPipeline", false, false, false, []string{"w 0 [model]", "state 1 [model]", "w 1 [model]"}, "[compressed trained]"},
		{"CONTINUE_GLOBAL", "NoCompressionPipeline", false, true, false, []string{"w 0 [model]", "state 1 [model]", "w 1 [model]"}, "[compressed trained]"},
		{"CONTINUE_GLOBAL", "NoCompressionPipeline", true, false, false, []string{"w 0 [model]", "state 1 [model]", "w 1 [model]"}, "[compressed delta trained]"},
		{"CONTINUE_GLOBAL", "KCPipeline", true, true, false, []string{"w 0 [model]", "state 1 [model]", "w 1 [model]"}, "[delta lossy_compressed trained]"},
		{"CONTINUE_GLOBAL", "NoCompressionPipeline", false, false, true, []string{"w 0 [model]", "w 1 [model]"}, ""},
	} {
		t.Run(fmt.Sprintf("%s %s deltas=%v restart=%v drop=%v", tt.treatment, tt.pipeline, tt.deltas, tt.restart, tt.drop), func(t *testing.T) {
			s := newSite(t)
			s.pytorch = true
			s.plan = under(tt.pipeline, "src.runner.Mine")
			s.plan.Collaborator.UseDeltaUpdates = tt.deltas
			s.plan.Collaborator.OptTreatment = tt.treatment
			if tt.drop {
				s.plan.Egress = schema.Egress{Filters: filter("drop", map[string]any{"tensors": []any{"__opt_*"}})}
			}
			runner := &stateful{runner: runner{t: t}}
			s.task = runner
			var asked []string
			agg := &script{give: func(req *openflpb.GetAggregatedTensorRequest) (*openflpb.NamedTensor, error) {
				name := req.GetTensorName()
				if name == momentum.Name {
					name = "state"
				}
				asked = append(asked, fmt.Sprint(name, " ", req.GetRoundNumber(), " ", req.GetTags()))
				m := message(t, codec.Lossless(pipelineOf(t, s.plan)), req.GetRoundNumber(), []float32{1, 2}, "model")
				m.Name = req.GetTensorName()
				return m, nil
			}}
			rounds := []*openflpb.GetTasksResponse{inRound(0, work("train")), inRound(1, work("aggregated_model_validation", "train"))}
			if tt.restart {
				agg.answers = rounds[:1]
				if _, err := s.run(agg); err != nil {
					t.Fatal(err)
				}
				rounds = rounds[1:]
			}
			agg.answers = rounds
			if _, err := s.run(agg); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked for %q, want %q", asked, tt.asked)
			}
			first, last := runner.handed[0], runner.handed[len(runner.handed)-1]
			if len(first) != 1 || len(last) != len(tt.asked)-1 {
				t.Errorf("handed in %q and then %q", first, last)
			}
			sent := agg.received[len(agg.received)-1].GetTensors()
			tags := ""
			for _, n := range sent {
				if n.GetName() == momentum.Name {
					tags = fmt.Sprint(n.GetTags())
				}
			}
			if tags != tt.tags {
				t.Errorf("the state left in the second round with the tags %q, want %q", tags, tt.tags)
			}
		})
	}
}
