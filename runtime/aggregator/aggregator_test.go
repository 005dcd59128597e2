package aggregator

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fx/bundle"
	openflpb "fx/proto"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/runtime/transport"
)

// play runs the worked example to its end. Between two results it calls
// between, and the results of a round come in the order that shuffle gives.
func (b *testbed) play(shuffle func([]step), between func()) {
	b.t.Helper()
	for round := range int32(2) {
		w := b.model("one", "w", round)
		var steps []step
		for _, name := range []string{"one", "two"} {
			for _, task := range traceTasks {
				steps = append(steps, step{name, task})
			}
		}
		shuffle(steps)
		for _, s := range steps {
			b.mustSend(s.name, traceResult(s.name, s.task, round, w))
			between()
		}
	}
}

type step struct{ name, task string }

func asIs([]step) {}
func nothing()    {}

func TestWorkedTrace(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	got := b.tasks("one")
	if got.GetRoundNumber() != 0 || got.GetQuit() || got.GetSleepTime() != 0 {
		t.Errorf("first answer %v, want round 0, no sleep, no quit", got)
	}
	var names []string
	for _, task := range got.GetTasks() {
		names = append(names, task.GetName())
		if task.GetFunctionName() != "" || task.GetTaskType() != "" || task.GetApplyLocal() {
			t.Errorf("task %v says more than its name", task)
		}
	}
	if !slices.Equal(names, traceTasks) {
		t.Errorf("tasks %q, want %q in plan order", names, traceTasks)
	}

	b.play(asIs, nothing)

	if got, want := b.model("one", "w", 1), []float32{0, 1.75, 3.5, 5.25, 7, 8.75}; !slices.Equal(got, want) {
		t.Errorf("w of round 1 is %v, want %v: a quarter of one, three quarters of two", got, want)
	}
	for _, name := range []string{"one", "two"} {
		if got := b.tasks(name); !got.GetQuit() || len(got.GetTasks()) > 0 || got.GetSleepTime() != 0 {
			t.Errorf("last answer to %s is %v, want quit", name, got)
		}
	}
	for _, when := range []string{"told", "told, and it was started again"} {
		select {
		case <-b.agg.Done():
		case <-time.After(5 * time.Second):
			t.Errorf("everybody was %s, but the aggregator is not done", when)
		}
		b.restart()
	}
	r := b.agg.Report()
	if r.Rounds != 2 || r.Best == nil || r.Best.Round != 1 {
		t.Errorf("report %+v, want 2 rounds and the best model of round 1", r)
	}
	if c, _, err := b.agg.o.Journal.Closing(0); err != nil || !slices.Equal(c.Done, []string{"one", "two"}) || len(c.Stragglers) > 0 || len(c.Results) != 6 {
		t.Errorf("round 0 was closed with %+v, %v; want six results, all of one and two", c, err)
	}
	if want := (journal.MetricEntry{Task: "locally_tuned_model_validation", Name: "acc", Value: 8.75/2 + 0.25*2.5 + 0.75*5}); r.Metrics[len(r.Metrics)-1] != want {
		t.Errorf("last metric %v, want %v", r.Metrics[len(r.Metrics)-1], want)
	}
}

func TestSavedModels(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	if best, ok := b.agg.Files()["best"]; ok {
		t.Errorf("before any validation the best model is %q, want none", best)
	}
	b.play(asIs, nothing)
	round1 := []float32{0, 1.75, 3.5, 5.25, 7, 8.75}
	round2 := []float32{0, 3.5, 7, 10.5, 14, 17.5}
	for name, want := range map[string]struct {
		w     []float32
		round int32
	}{"best": {round1, 1}, "last": {round1, 1}, "final": {round2, 2}} {
		f, err := os.Open(b.agg.Files()[name])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		model, err := tensor.ScanModel(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(model, func(n tensor.Named) bool { return n.Name == "w" })
		data := make([]byte, model[i].DataSize)
		if _, err := f.ReadAt(data, model[i].DataOffset); err != nil {
			t.Fatal(err)
		}
		if got := tensor.Float32s(data); !slices.Equal(got, want.w) || model[i].Round != want.round {
			t.Errorf("%s.pbuf holds w = %v of round %d, want %v of round %d", name, got, model[i].Round, want.w, want.round)
		}
		if _, err := os.Stat(strings.TrimSuffix(b.agg.Files()[name], ".pbuf") + ".safetensors"); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsDroppedGetsTheSameAnswer(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	w := make([]float32, 6)
	good := traceResult("one", "train", 0, w)
	b.mustSend("one", good)
	again := traceResult("one", "train", 0, []float32{9, 9, 9, 9, 9, 9})
	late := traceResult("one", "aggregated_model_validation", 7, w)
	foreign := traceResult("one", "aggregated_model_validation", 0, w)
	foreign.task = "no such task"
	for name, r := range map[string]result{"a second result": again, "another round": late, "a task that nobody was given": foreign} {
		if err := b.send("one", r); err != nil {
			t.Errorf("%s: %v, want no error and no effect", name, err)
		}
	}
	for _, s := range []step{{"one", traceTasks[0]}, {"one", traceTasks[2]}, {"two", traceTasks[0]}, {"two", traceTasks[1]}, {"two", traceTasks[2]}} {
		b.mustSend(s.name, traceResult(s.name, s.task, 0, w))
	}
	if got, want := b.model("one", "w", 1), []float32{0, 1.75, 3.5, 5.25, 7, 8.75}; !slices.Equal(got, want) {
		t.Errorf("w of round 1 is %v, want %v", got, want)
	}
}

func TestIdleCollaboratorSleeps(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	w := make([]float32, 6)
	for _, task := range traceTasks {
		b.mustSend("one", traceResult("one", task, 0, w))
	}
	if got := b.tasks("one"); len(got.GetTasks()) > 0 || got.GetSleepTime() != 10 || got.GetQuit() {
		t.Errorf("answer %v, want no tasks and sleep 10", got)
	}
}

func TestBadResultsAreRefused(t *testing.T) {
	inf := float32(math.Inf(1))
	w := func(tensors ...*openflpb.NamedTensor) result { return result{0, "train", 100, tensors} }
	tests := map[string]struct {
		result result
		want   string
	}{
		"not finite":        {w(named("w", 0, false, []int32{2, 3}, []float32{0, 0, inf, 0, 0, 0}, "compressed", "trained")), `"w" has the value +Inf at element 2`},
		"not a number":      {w(named("w", 0, false, []int32{2, 3}, []float32{0, float32(math.NaN()), 0, 0, 0, 0}, "compressed", "trained")), `"w" has the value NaN at element 1`},
		"another shape":     {w(named("w", 0, false, []int32{3, 2}, make([]float32, 6), "compressed", "trained")), `"w" has shape [3 2]; the model has [2 3]`},
		"short data":        {w(named("w", 0, false, []int32{2, 3}, make([]float32, 5), "compressed", "trained")), `needs 24`},
		"metric of two":     {w(named("loss", 0, true, []int32{2}, make([]float32, 2), "compressed", "metric")), `metric "loss" has 2 values`},
		"not encoded":       {w(named("w", 0, false, []int32{2, 3}, make([]float32, 6), "trained")), `exactly one of "compressed" and "lossy_compressed"`},
		"encoded with loss": {w(named("w", 0, false, []int32{2, 3}, make([]float32, 6), "lossy_compressed", "trained")), `encoded with loss`},
		"delta to nothing":  {w(named("x", 0, false, []int32{1}, make([]float32, 1), "compressed", "delta", "trained")), `a difference to a tensor that the model does not have`},
		"twice": {w(named("w", 0, false, []int32{2, 3}, make([]float32, 6), "compressed", "trained"),
			named("w", 0, false, []int32{2, 3}, make([]float32, 6), "trained", "compressed")), `"w" is there twice`},
		"trained twice": {w(named("w", 0, false, []int32{2, 3}, make([]float32, 6), "compressed", "trained"),
			named("w", 0, false, []int32{2, 3}, make([]float32, 6), "compressed", "trained", "other")), `"w" is there twice`},
		"a name that no file can hold": {w(named("__metadata__", 0, false, []int32{1}, make([]float32, 1), "compressed", "trained")), `may not be named "__metadata__"`},
		"a negative number of samples": {result{0, "train", -2, nil}, `data_size is -2`},
	}
	b := newTestbed(t, t.TempDir())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := b.send("one", tt.result)
			if f, ok := errors.AsType[*transport.Failure](err); !ok || !strings.Contains(f.Detail, tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
	if got := b.tasks("one"); len(got.GetTasks()) != 3 {
		t.Errorf("after refused results the tasks are %v, want all three", got.GetTasks())
	}
	garbage := []byte("\xff\xff\xff")
	if err := b.clients["one"].Send(t.Context(), strings.NewReader(string(garbage)), 3); err == nil {
		t.Error("garbage was accepted")
	}
}

func TestDeltasAreAddedToTheModel(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	w := make([]float32, 6)
	for _, s := range []step{{"one", traceTasks[0]}, {"one", traceTasks[2]}, {"two", traceTasks[0]}, {"two", traceTasks[1]}, {"two", traceTasks[2]}} {
		b.mustSend(s.name, traceResult(s.name, s.task, 0, w))
	}
	r := traceResult("one", "train", 0, w)
	for _, n := range r.tensors[1:] {
		n.Tags = []string{"compressed", "delta", "trained"}
	}
	r.tensors[2].DataBytes = tensor.AppendFloat32s(nil, []float32{0, 0}) // b stays [0, 1]
	b.mustSend("one", r)
	if got, want := b.model("one", "b", 1), []float32{0, 1}; !slices.Equal(got, want) {
		t.Errorf("b of round 1 is %v, want %v", got, want)
	}
}

func TestTensorOfALaterRoundIsWaitedFor(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	got := make(chan []float32)
	go func() { got <- b.model("two", "w", 1) }()
	w := make([]float32, 6)
	for _, name := range []string{"one", "two"} {
		for _, task := range traceTasks {
			b.mustSend(name, traceResult(name, task, 0, w))
		}
	}
	if v, want := <-got, []float32{0, 1.75, 3.5, 5.25, 7, 8.75}; !slices.Equal(v, want) {
		t.Errorf("w of round 1 is %v, want %v", v, want)
	}
}

func TestUnknownTensorIsAnError(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	_, err := b.clients["one"].Tensor(t.Context(), transport.TensorRequest{Name: "nothing", Round: 0, Tags: []string{"model"}, RequireLossless: true, Limit: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "does not have an aggregated tensor") {
		t.Errorf("error %v, want OpenFL's wording", err)
	}
}

func TestStrangerIsRefused(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	_, err := b.clients["three"].Tasks(t.Context())
	if f, ok := errors.AsType[*transport.Failure](err); !ok || f.Cause != transport.CauseNotInRoster {
		t.Errorf("GetTasks: error %v, want cause %s", err, transport.CauseNotInRoster)
	}
	_, err = b.clients["three"].Tensor(t.Context(), transport.TensorRequest{Name: "w", Round: 0, Tags: []string{"model"}, RequireLossless: true, Limit: 1 << 20})
	if f, ok := errors.AsType[*transport.Failure](err); !ok || f.Cause != transport.CauseNotInRoster {
		t.Errorf("GetAggregatedTensor: error %v, want cause %s", err, transport.CauseNotInRoster)
	}
	err = b.send("three", traceResult("one", "train", 0, make([]float32, 6)))
	if f, ok := errors.AsType[*transport.Failure](err); !ok || f.Cause != transport.CauseNotInRoster {
		t.Errorf("SendLocalTaskResults: error %v, want cause %s", err, transport.CauseNotInRoster)
	}
}

// TestAResultInAnothersNameIsRefused: the header inside an upload must be the
// sender's, whoever opened the connection.
func TestAResultInAnothersNameIsRefused(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	msg := b.message("two", traceResult("two", "train", 0, make([]float32, 6)))
	err := b.clients["one"].Send(t.Context(), bytes.NewReader(msg), int64(len(msg)))
	if f, ok := errors.AsType[*transport.Failure](err); !ok || f.Cause != transport.CauseNameMismatch {
		t.Errorf("error %v, want cause %s", err, transport.CauseNameMismatch)
	}
	for _, name := range []string{"one", "two"} {
		if got := b.tasks(name).GetTasks(); len(got) != 3 {
			t.Errorf("%s has %d tasks to do, want all three", name, len(got))
		}
	}
}

// TestTheBestModelIsTheFirstOfEquals, and is judged by the first metric.
func TestTheBestModelIsTheFirstOfEquals(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	for round := range int32(2) {
		for _, name := range []string{"one", "two"} {
			for _, task := range traceTasks {
				r := traceResult(name, task, round, make([]float32, 6))
				if task == traceTasks[0] {
					r.tensors = append(r.tensors, named("age", round, true, nil, []float32{float32(90 + round)}, "compressed", "metric", "validate_agg"))
				}
				b.mustSend(name, r)
			}
		}
	}
	if got, want := b.agg.Report().Best, (journal.BestSelection{Round: 0, Score: 0}); got == nil || *got != want {
		t.Errorf("best %+v, want %+v", got, want)
	}
}

func TestRestartAfterEveryResultChangesNothing(t *testing.T) {
	calm := newTestbed(t, t.TempDir())
	calm.play(asIs, nothing)
	restless := newTestbed(t, t.TempDir())
	restless.play(asIs, restless.restart)
	compare(t, calm, restless)
}

func TestArrivalOrderDoesNotShow(t *testing.T) {
	calm := newTestbed(t, t.TempDir())
	calm.play(asIs, nothing)
	for seed := range uint64(5) {
		other := newTestbed(t, t.TempDir())
		rng := rand.New(rand.NewPCG(seed, 1))
		other.play(func(s []step) { rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) }, nothing)
		compare(t, calm, other)
	}
}

// compare requires two finished federations to have the same records.
func compare(t *testing.T, a, b *testbed) {
	t.Helper()
	ra, rb := a.agg.Report(), b.agg.Report()
	if ra.FinalSHA256 == "" || ra.FinalSHA256 != rb.FinalSHA256 || ra.outcome != rb.outcome {
		t.Errorf("final model %s and last outcome %s, want %s and %s", rb.FinalSHA256, rb.outcome, ra.FinalSHA256, ra.outcome)
	}
}

// crashing is a store in which the process "dies" at a certain commit: before
// it (the object is not there), or after it (it is, but nobody heard).
type crashing struct {
	journal.Store
	left  int
	after bool
}

var errCrash = errors.New("crashed here")

func (c *crashing) Draft() (journal.Draft, error) {
	d, err := c.Store.Draft()
	return &crashingDraft{d, c}, err
}

type crashingDraft struct {
	journal.Draft
	c *crashing
}

func (d *crashingDraft) Commit(name string) error {
	d.c.left--
	if d.c.left > 0 {
		return d.Draft.Commit(name)
	}
	if d.c.left == 0 && d.c.after {
		if err := d.Draft.Commit(name); err != nil {
			return err
		}
	}
	return errCrash
}

// TestCrashAtEveryCommit lets the aggregator die before and after each durable
// write of a whole federation, starts it again, and lets the collaborators send
// again whatever was not acknowledged. With a pipeline that loses values there is
// one more write a round.
func TestCrashAtEveryCommit(t *testing.T) {
	for name, edit := range map[string]func(*bundle.Federation){"plain": nil, "lossy": with("EdenPipeline", lossyPipelines["EdenPipeline"], true)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calm := &testbed{t: t, dir: t.TempDir(), edit: edit}
			calm.mustStart()
			calm.play(asIs, nothing)
			for i, after := range []bool{false, true} {
				crashes := 0
				for n := 1 + i; ; n += stride(3) {
					b, crashed := crashAt(t, n, after, edit)
					compare(t, calm, b)
					if !crashed {
						break
					}
					crashes++
				}
				if crashes *= stride(3); crashes < 20 {
					t.Errorf("only %d commits were made to crash; the federation has more", crashes)
				}
			}
		})
	}
}

// stride is how many of the places where something may happen are passed over to the
// next one that is tried: n, or 1 with FX_LONG=1.
func stride(n int) int {
	if os.Getenv("FX_LONG") != "" {
		return 1
	}
	return n
}

// crashAt plays the worked example with a crash at commit n, and reports
// whether there was such a commit.
func crashAt(t *testing.T, n int, after bool, edit func(*bundle.Federation)) (b *testbed, crashed bool) {
	t.Helper()
	dir := t.TempDir()
	inner, err := journal.OpenDir(filepath.Join(dir, "faulty"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	store := &crashing{Store: inner, left: n, after: after}
	b = &testbed{t: t, dir: dir, store: store, edit: edit}
	recovered := func() {
		t.Helper()
		crashed = true
		store.left = math.MaxInt
		b.stop()
		if err := b.start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.start(); err != nil {
		if !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		recovered()
	}
	t.Cleanup(func() { b.stop() })
	for round := range int32(2) {
		w := b.model("one", "w", round)
		for _, name := range []string{"one", "two"} {
			for _, task := range traceTasks {
				r := traceResult(name, task, round, w)
				if err := b.send(name, r); err != nil {
					recovered()
					b.mustSend(name, r) // again, as a collaborator that got no answer
				}
				select {
				case err := <-b.agg.Failed():
					if !errors.Is(err, errCrash) {
						t.Fatal(err)
					}
					recovered()
				default:
				}
			}
		}
	}
	return b, crashed
}

func TestJournalOfAnotherBundleIsRefused(t *testing.T) {
	dir, err := journal.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	if _, err := journal.Open(dir, journal.Federation{Bundle: "b1", FederationID: "f", Participant: "a"}); err != nil {
		t.Fatal(err)
	}
	_, err = journal.Open(dir, journal.Federation{Bundle: "b2", FederationID: "f", Participant: "a"})
	if err == nil || !strings.Contains(err.Error(), "--state") {
		t.Errorf("error %v, want one that names --state", err)
	}
}

func TestContextEndsAWait(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.clients["one"].Tensor(ctx, transport.TensorRequest{Name: "w", Round: 1, Tags: []string{"model"}, RequireLossless: true, Limit: 1 << 20})
	f, ok := errors.AsType[*transport.Failure](err) // where the server notices the deadline first
	if !errors.Is(err, context.DeadlineExceeded) && (!ok || f.Cause != transport.CauseTimeout) {
		t.Errorf("error %v, want the end of the time", err)
	}
}
