package aggregator

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fx/bundle"
	openflpb "fx/proto"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// TestResultsThatDoNotGoTogetherAreRefused sends what is good on its own, but
// could not be folded with what "one" has sent: the second is refused, and the
// round can still be closed.
func TestResultsThatDoNotGoTogetherAreRefused(t *testing.T) {
	w := make([]float32, 6)
	momentum := func(n int32) *openflpb.NamedTensor {
		return named("momentum", 0, false, []int32{n}, make([]float32, n), "compressed", "trained")
	}
	with := func(r result, change func(*result)) result {
		change(&r)
		return r
	}
	train := func(name string) result { return traceResult(name, "train", 0, w) }
	tests := map[string]struct {
		first, second result // of one, of two
		good          result // what two may send instead
		want          string
	}{
		"a tensor is missing": {train("one"), with(train("two"), func(r *result) { r.tensors = r.tensors[:2] }), train("two"),
			`tensor "b" is missing; the result of "one", which came first, has it`},
		"a tensor more": {train("one"), with(train("two"), func(r *result) { r.tensors = append(r.tensors, momentum(2)) }), train("two"),
			`tensor "momentum" is not in the result of "one"`},
		"another shape of what the model does not have": {
			with(train("one"), func(r *result) { r.tensors = append(r.tensors, momentum(2)) }),
			with(train("two"), func(r *result) { r.tensors = append(r.tensors, momentum(3)) }),
			with(train("two"), func(r *result) { r.tensors = append(r.tensors, momentum(2)) }),
			`tensor "momentum" has shape [3]; in the result of "one", which came first, it has [2]`},
		"samples unknown to one side": {train("one"), with(train("two"), func(r *result) { r.dataSize = -1 }), train("two"),
			`it has -1 samples, that of "one" has 100`},
		"no samples at all": {with(train("one"), func(r *result) { r.dataSize = 0 }), with(train("two"), func(r *result) { r.dataSize = 0 }), train("two"),
			`the samples of all collaborators add up to 0`},
		"trained by another task": {train("one"),
			with(train("two"), func(r *result) { r.task = "aggregated_model_validation" }),
			traceResult("two", "aggregated_model_validation", 0, w),
			`tensor "b" is trained by task "train"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newTestbed(t, t.TempDir())
			b.mustSend("one", tt.first)
			for range 2 { // also after a restart
				err := b.send("two", tt.second)
				if f, ok := errors.AsType[*transport.Failure](err); !ok || f.Retry() || !strings.Contains(f.Detail, tt.want) {
					t.Errorf("error %v, want one that says %q and is final", err, tt.want)
				}
				b.restart()
			}
			b.mustSend("two", tt.good)
			for _, name := range []string{"one", "two"} {
				for _, task := range b.tasks(name).GetTasks() {
					b.mustSend(name, traceResult(name, task.GetName(), 0, w))
				}
			}
			if got := b.tasks("one").GetRoundNumber(); got != 1 {
				t.Errorf("the round is %d, want 1: the first one is closed", got)
			}
		})
	}
}

func TestOneCollaboratorCannotUploadAtWill(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	good := traceResult("one", "train", 0, make([]float32, 6))
	var release []func()
	for range maxUploads {
		r, ok := b.agg.beginUpload("one")
		if !ok {
			t.Fatal("an upload was not admitted")
		}
		release = append(release, r)
	}
	err := b.send("one", good)
	if f, ok := errors.AsType[*transport.Failure](err); !ok || f.Cause != transport.CauseUnavailable || !f.Retry() {
		t.Errorf("one more: %v, want cause %s, to be tried again", err, transport.CauseUnavailable)
	}
	b.mustSend("two", traceResult("two", "train", 0, make([]float32, 6)))
	release[0]()
	b.mustSend("one", good)
}

// TestWhatIsNoDifferenceIsAccepted: the order of tags, and a site that has no
// samples for a task while others have.
func TestWhatIsNoDifferenceIsAccepted(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	w := make([]float32, 6)
	b.mustSend("one", traceResult("one", "aggregated_model_validation", 0, w))
	r := traceResult("two", "aggregated_model_validation", 0, w)
	r.dataSize, r.tensors[0].Tags = 0, []string{"validate_agg", "metric", "compressed"}
	b.mustSend("two", r)
}

// failing is a store whose disk reports an error although the object is there.
type failing struct {
	journal.Store
	once string // part of the name
}

func (f *failing) Draft() (journal.Draft, error) {
	d, err := f.Store.Draft()
	return &failingDraft{d, f}, err
}

type failingDraft struct {
	journal.Draft
	f *failing
}

func (d *failingDraft) Commit(name string) error {
	err := d.Draft.Commit(name)
	if d.f.once != "" && strings.Contains(name, d.f.once) {
		d.f.once = ""
		return errCrash
	}
	return err
}

func TestAResultThatWasStoredInSpiteOfAnErrorCounts(t *testing.T) {
	dir := t.TempDir()
	inner, err := journal.OpenDir(filepath.Join(dir, "faulty"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	b := &testbed{t: t, dir: dir, store: &failing{inner, "000000/results/_train/_two"}}
	b.mustStart()
	w := make([]float32, 6)
	for _, name := range []string{"one", "two"} {
		for _, task := range traceTasks {
			r := traceResult(name, task, 0, w)
			if err := b.send(name, r); err != nil {
				b.mustSend(name, r) // again, as a collaborator would
			}
		}
	}
	if got := b.tasks("one").GetRoundNumber(); got != 1 {
		t.Errorf("the round is %d, want 1: all results are in", got)
	}
}

// TestAChangedResultIsNotFolded: between a round's decision and its outcome the
// results that it names must stay as they are.
func TestAChangedResultIsNotFolded(t *testing.T) {
	dir := t.TempDir()
	inner, err := journal.OpenDir(filepath.Join(dir, "faulty"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	b := &testbed{t: t, dir: dir, store: &failing{inner, "000000/closing.json"}}
	b.mustStart()
	for _, name := range []string{"one", "two"} {
		for _, task := range traceTasks {
			b.mustSend(name, traceResult(name, task, 0, make([]float32, 6)))
		}
	}
	if err := <-b.agg.Failed(); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	b.stop()
	path := filepath.Join(dir, "faulty/rounds/000000/results/_train/_one.pb")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1 // a value of a tensor
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.start(); err == nil || !strings.Contains(err.Error(), `the journal is damaged: "rounds/000000/results/_train/_one.pb"`) {
		t.Errorf("error %v, want one about damage", err)
	}
}

func TestNothingIsForgottenIfThePlanSaysSo(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) { f.Plan.Aggregator.DBStoreRounds = -1 }}
	b.mustStart()
	b.play(asIs, nothing)
	for pattern, want := range map[string]int{"models/*": 3, "rounds/*/results/*/*": 12} {
		if got, err := filepath.Glob(filepath.Join(b.dir, "journal", pattern)); err != nil || len(got) != want {
			t.Errorf("%s: %q, %v; want %d files", pattern, got, err, want)
		}
	}
}

func TestOldResultsAreForgotten(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) { f.Plan.Aggregator.DBStoreRounds = 0 }}
	b.mustStart()
	b.play(asIs, nothing)
	files := func(folder string) (names []string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(b.dir, "journal", folder))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := files("rounds/*/results/*/*"); len(got) > 0 {
		t.Errorf("raw results %q, want none", got)
	}
	if got := files("models/*"); len(got) != 2 {
		t.Errorf("models %q, want the initial and the final one", got)
	}
	if got := files("rounds/*/*.json"); len(got) != 4 {
		t.Errorf("records %q, want a closing and an outcome for each round", got)
	}
	// Killed while it forgot, it goes on with that.
	left := filepath.Join(b.dir, "journal/rounds/000001/results/_train/_one.pb")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if got := files("rounds/*/results/*/*"); len(got) > 0 {
		t.Errorf("after a restart raw results %q, want none", got)
	}
}

// TestDamageIsNoticedAtTheStart changes one file of a journal that has a closed
// round, which nothing can make anew: the aggregator must not go on from it.
func TestDamageIsNoticedAtTheStart(t *testing.T) {
	tests := map[string]struct{ file, old, new string }{
		"a decision":          {"rounds/000000/closing.json", `"data_size": 100`, `"data_size": 900`},
		"an outcome":          {"rounds/000000/outcome.json", `"round": 0`, `"round": 0,"closing": "00"`},
		"a result under way":  {"rounds/000001/results/_train/_one.pb", "trained", "drained"},
		"a record of another": {"rounds/000000/closing.json", `"previous": ""`, `"previous": "00"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newTestbed(t, t.TempDir())
			w := make([]float32, 6)
			for _, name := range []string{"one", "two"} {
				for _, task := range traceTasks {
					b.mustSend(name, traceResult(name, task, 0, w))
				}
			}
			b.mustSend("one", traceResult("one", "train", 1, b.model("one", "w", 1)))
			b.mustSend("two", traceResult("two", "train", 1, b.model("one", "w", 1)))
			b.stop()
			// Without them, as in a journal made before there were any, nobody knows
			// which of two results that do not go together has changed.
			if err := os.RemoveAll(filepath.Join(b.dir, "journal/rounds/000001/digests")); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(b.dir, "journal", tt.file)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), tt.old, tt.new, 1)
			if changed == string(text) {
				t.Fatalf("%s has no %q", tt.file, tt.old)
			}
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := b.start(); err == nil || !strings.Contains(err.Error(), "the journal is damaged") {
				t.Errorf("error %v, want one about damage", err)
			}
		})
	}
}

// TestPlansThatCannotWorkAreRefused at the start, not after a day.
func TestPlansThatCannotWorkAreRefused(t *testing.T) {
	ofRound := func(n int32) func(*bundle.Federation) {
		return func(f *bundle.Federation) {
			for i := range f.Model.Tensors {
				f.Model.Tensors[i].Round = n
			}
		}
	}
	tests := map[string]struct {
		edit func(*bundle.Federation)
		want string
	}{
		"no round is left":    {ofRound(2), "it is of round 2, and with rounds_to_train 2 the last round is 1"},
		"a negative round":    {ofRound(-1), "it is of round -1"},
		"rounds that differ":  {func(f *bundle.Federation) { f.Model.Tensors[0].Round = 1 }, "a model has one round"},
		"nobody":              {func(f *bundle.Federation) { f.Roster = nil }, "names no collaborator"},
		"best over last":      {func(f *bundle.Federation) { f.Plan.Aggregator.LastStatePath = "save/best.pb" }, `the best model is there`},
		"final over last":     {func(f *bundle.Federation) { f.Plan.Aggregator.LastStatePath = "save/final.pbuf" }, `the last model is there`},
		"a model for records": {func(f *bundle.Federation) { f.Plan.Aggregator.BestStatePath = "journal/federation.json" }, `the journal is in "journal"`},
		"safetensors twice":   {func(f *bundle.Federation) { f.Plan.Aggregator.BestStatePath = "save/best.safetensors" }, `.safetensors is written beside`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := &testbed{t: t, dir: t.TempDir(), edit: tt.edit}
			err := b.start()
			t.Cleanup(func() { b.stop() })
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, schema.ErrInvalid) && !errors.Is(err, tensor.ErrInvalid) {
				t.Errorf("error %v, want one that says %q and is about the plan", err, tt.want)
			}
		})
	}
}

// TestRoundsAreAbsolute: a model of round 1 has one round to go of two.
func TestRoundsAreAbsolute(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		for i := range f.Model.Tensors {
			f.Model.Tensors[i].Round = 1
		}
	}}
	b.mustStart()
	for _, name := range []string{"one", "two"} {
		for _, task := range traceTasks {
			b.mustSend(name, traceResult(name, task, 1, make([]float32, 6)))
		}
	}
	if got := b.tasks("one"); !got.GetQuit() || got.GetRoundNumber() != 2 {
		t.Errorf("answer %v, want quit in round 2", got)
	}
}

// TestATensorThatCannotTravelIsRefusedAtTheStart, before anybody has worked.
func TestATensorThatCannotTravelIsRefusedAtTheStart(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		f.Model.Tensors = []tensor.Named{{Name: "w", Metadata: tensor.ShapeMetadata([]int{1 << 28}), DataSize: 1 << 30}}
	}}
	if err := b.start(); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "too large to be sent") {
		t.Errorf("got %v, want an error about a tensor that is too large to be sent", err)
	}
}
