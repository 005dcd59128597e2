package aggregator

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fx/bundle"
	"fx/runtime/transport"
	"fx/schema"
)

const policies = "openfl.component.aggregator.straggler_handling."

// timers is a clock whose hours strike when a test says so.
type timers struct {
	mu      sync.Mutex
	pending map[int]func()
	started []time.Duration
}

func (c *timers) afterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		c.pending = map[int]func(){}
	}
	id := len(c.started)
	c.started = append(c.started, d)
	c.pending[id] = f
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, was := c.pending[id]
		delete(c.pending, id)
		return was
	}
}

// strike ends all times that run, and says how many.
func (c *timers) strike() int {
	c.mu.Lock()
	due := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
	return len(due)
}

func (c *timers) running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)
}

// cutoff is a plan that waits for a minute, and then for some.
func cutoff(minimum int) func(*bundle.Federation) {
	return func(f *bundle.Federation) {
		f.Plan.Straggler = schema.Component{Template: policies + "CutoffTimePolicy", Settings: map[string]any{"straggler_cutoff_time": 60, "minimum_reporting": minimum}}
	}
}

// report sends what a collaborator of the worked example makes of these tasks.
func (b *testbed) report(name string, round int32, tasks ...string) {
	b.t.Helper()
	w := b.model("one", "w", round)
	for _, task := range tasks {
		b.mustSend(name, traceResult(name, task, round, w))
	}
}

// aloneW is w after a round in which only two counted.
var aloneW = []float32{0, 2, 4, 6, 8, 10}

func TestCutoffTime(t *testing.T) {
	clock := &timers{}
	b := &testbed{t: t, dir: t.TempDir(), edit: cutoff(1), after: clock.afterFunc}
	b.mustStart()
	if clock.running() > 0 {
		t.Error("the time runs before any task was handed out")
	}
	b.tasks("one")
	b.tasks("two")
	if clock.running() != 1 || clock.started[0] != time.Minute {
		t.Errorf("times %v, want one of a minute", clock.started)
	}
	b.report("one", 0, "train") // not all of it
	b.report("two", 0, traceTasks...)
	if got := b.tasks("two"); got.GetRoundNumber() != 0 {
		t.Errorf("the round is %d before the time is over", got.GetRoundNumber())
	}
	clock.strike()
	if got := b.tasks("two"); got.GetRoundNumber() != 1 || len(got.GetTasks()) != 3 {
		t.Errorf("after the time the answer is %v, want the tasks of round 1", got)
	}
	if got := b.model("one", "w", 1); !slices.Equal(got, aloneW) {
		t.Errorf("w of round 1 is %v, want %v: what the straggler sent of the round does not count", got, aloneW)
	}
	c, _, err := b.agg.o.Journal.Closing(0)
	if err != nil || !slices.Equal(c.Done, []string{"two"}) || !slices.Equal(c.Stragglers, []string{"one"}) || len(c.Results) != 3 {
		t.Errorf("round 0 was closed with %+v, %v; want three results of two, and one as straggler", c, err)
	}
	// Late, it gets the answer of everybody, and no effect; then it is back.
	b.mustSend("one", traceResult("one", "locally_tuned_model_validation", 0, make([]float32, 6)))
	if got := b.tasks("one"); got.GetRoundNumber() != 1 || len(got.GetTasks()) != 3 {
		t.Errorf("a straggler that returns gets %v, want the tasks of round 1", got)
	}
	b.report("one", 1, traceTasks...)
	b.report("two", 1, traceTasks...)
	if got := b.tasks("one"); !got.GetQuit() {
		t.Errorf("with all results the answer is %v, want quit", got)
	}
	if clock.running() > 0 {
		t.Error("the time runs on after the end of the round")
	}
}

func TestCutoffWaitsForTheMinimum(t *testing.T) {
	clock := &timers{}
	b := &testbed{t: t, dir: t.TempDir(), edit: cutoff(2), after: clock.afterFunc}
	b.mustStart()
	b.tasks("one")
	clock.strike()
	b.report("two", 0, traceTasks...)
	if got := b.tasks("two"); got.GetRoundNumber() != 0 {
		t.Errorf("the round is %d with one of two that must report", got.GetRoundNumber())
	}
	b.report("one", 0, traceTasks...)
	if got := b.tasks("two"); got.GetRoundNumber() != 1 {
		t.Errorf("the round is %d with all results", got.GetRoundNumber())
	}
}

// After a restart everybody gets the whole time again, from the start if work
// was handed out before: the one who makes the round wait may never ask again.
func TestCutoffSurvivesARestart(t *testing.T) {
	clock := &timers{}
	b := &testbed{t: t, dir: t.TempDir(), edit: cutoff(1), after: clock.afterFunc}
	b.mustStart()
	b.tasks("one")
	b.report("two", 0, traceTasks...)
	if clock.running() != 1 {
		t.Errorf("%d times run before the restart, want one", clock.running())
	}
	clock = &timers{}
	b.after = clock.afterFunc
	b.restart()
	if clock.running() != 1 {
		t.Fatalf("%d times run after the restart, want one", clock.running())
	}
	clock.strike()
	if got := b.tasks("two"); got.GetRoundNumber() != 1 {
		t.Errorf("the round is %d, want 1", got.GetRoundNumber())
	}
	if got := b.model("two", "w", 1); !slices.Equal(got, aloneW) {
		t.Errorf("w is %v, want %v", got, aloneW)
	}
}

// A time that is over while its round closes must not touch the next one.
func TestCutoffOfAnEarlierRound(t *testing.T) {
	clock := &timers{}
	b := &testbed{t: t, dir: t.TempDir(), edit: cutoff(1), after: clock.afterFunc}
	b.mustStart()
	b.tasks("one")
	late := clock.pending[0]
	b.report("one", 0, traceTasks...)
	b.report("two", 0, traceTasks...)
	b.report("one", 1, traceTasks...)
	late()
	if got := b.tasks("two"); got.GetRoundNumber() != 1 {
		t.Errorf("the round is %d, want 1 still open", got.GetRoundNumber())
	}
}

func TestPercentage(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		f.Plan.Straggler = schema.Component{Template: policies + "PercentagePolicy", Settings: map[string]any{"percent_collaborators_needed": 0.5}}
	}}
	b.mustStart()
	b.report("two", 0, traceTasks...)
	if got := b.tasks("two"); got.GetRoundNumber() != 1 {
		t.Errorf("the round is %d with half of all, want 1", got.GetRoundNumber())
	}
	b.restart()
	if got := b.model("one", "w", 1); !slices.Equal(got, aloneW) {
		t.Errorf("w is %v, want %v", got, aloneW)
	}
	// The wrong round, and twice: no error, no effect.
	b.mustSend("one", traceResult("one", "train", 0, make([]float32, 6)))
	b.report("one", 1, "train", "train")
	if got := b.tasks("one"); len(got.GetTasks()) != 2 {
		t.Errorf("tasks %v, want the two that are left", got.GetTasks())
	}
}

// A policy that would close a round without a result of some task, or without
// samples, finds it held open.
func TestARoundThatCannotBeAggregatedStaysOpen(t *testing.T) {
	groups := func(f *bundle.Federation) {
		cutoff(1)(f)
		f.Plan.Assigner = schema.Component{Template: "openfl.component.StaticGroupedAssigner", Settings: map[string]any{"task_groups": []any{
			map[string]any{"name": "learn", "collaborators": []any{"one"}, "tasks": []any{"train"}},
			map[string]any{"name": "judge", "collaborators": []any{"two"}, "tasks": []any{"aggregated_model_validation"}},
		}}}
	}
	clock := &timers{}
	b := &testbed{t: t, dir: t.TempDir(), edit: groups, after: clock.afterFunc}
	b.mustStart()
	b.tasks("one")
	b.report("two", 0, "aggregated_model_validation")
	clock.strike()
	if got := b.tasks("two"); got.GetRoundNumber() != 0 || got.GetSleepTime() == 0 {
		t.Errorf("answer %v, want to wait: nobody has trained", got)
	}
	b.report("one", 0, "train")
	if got := b.tasks("two"); got.GetRoundNumber() != 1 {
		t.Errorf("the round is %d, want 1", got.GetRoundNumber())
	}

	clock = &timers{}
	b = &testbed{t: t, dir: t.TempDir(), edit: cutoff(1), after: clock.afterFunc}
	b.mustStart()
	b.tasks("one")
	for _, task := range traceTasks {
		r := traceResult("one", task, 0, make([]float32, 6))
		r.dataSize = 0
		b.mustSend("one", r)
	}
	clock.strike()
	if got := b.tasks("one"); got.GetRoundNumber() != 0 {
		t.Errorf("the round is %d; results without samples cannot be weighed", got.GetRoundNumber())
	}
	b.report("two", 0, traceTasks...)
	if got := b.model("two", "w", 1); !slices.Equal(got, aloneW) {
		t.Errorf("w is %v, want %v", got, aloneW)
	}
}

// write replaces the roster file as an editor would.
func writeRoster(t *testing.T, path string, names ...string) {
	t.Helper()
	text := "collaborators:\n"
	for _, name := range names {
		text += "- " + name + "\n"
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestSitesJoinAndLeaveBetweenRounds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cols.yaml")
	writeRoster(t, file, "one", "two")
	b := &testbed{t: t, dir: t.TempDir(), roster: file, edit: func(f *bundle.Federation) { f.Plan.Aggregator.Rounds = 3 }}
	b.mustStart()
	if _, err := b.clients["three"].Tasks(t.Context()); err == nil {
		t.Error("a site that is not in the file gets an answer")
	}
	b.report("one", 0, traceTasks...)
	writeRoster(t, file, "one", "two", "three")
	if got := b.tasks("three"); len(got.GetTasks()) > 0 || got.GetSleepTime() == 0 || got.GetQuit() {
		t.Errorf("a site that joins gets %v while the round is open, want to wait", got)
	}
	b.mustSend("three", traceResult("two", "train", 0, make([]float32, 6))) // nobody gave it that task
	b.report("two", 0, traceTasks...)
	if got := b.tasks("three"); got.GetRoundNumber() != 1 || len(got.GetTasks()) != 3 {
		t.Errorf("in the next round it gets %v, want its tasks", got)
	}
	if got, want := b.model("one", "w", 1), []float32{0, 1.75, 3.5, 5.25, 7, 8.75}; !slices.Equal(got, want) {
		t.Errorf("w of round 1 is %v, want %v", got, want)
	}
	b.report("three", 1, traceTasks...)
	writeRoster(t, file, "two", "three") // one leaves, after this round
	b.restart()                          // or now, where somebody restarts
	if _, err := b.clients["one"].Tasks(t.Context()); err == nil {
		t.Error("a site that left gets an answer after a restart")
	}
	w := b.model("two", "w", 1)
	for _, task := range traceTasks {
		b.mustSend("two", traceResult("two", task, 1, w))
	}
	c, _, err := b.agg.o.Journal.Closing(1)
	if err != nil || !slices.Equal(c.Done, []string{"three", "two"}) || len(c.Stragglers) > 0 {
		t.Errorf("round 1 was closed with %+v, %v; want two and three", c, err)
	}
	// A file that cannot be used changes nothing, and the round begins.
	if err := os.WriteFile(file, []byte("collaborators: {one"), 0o600); err != nil {
		t.Fatal(err)
	}
	w = b.model("two", "w", 2)
	for _, name := range []string{"two", "three"} {
		for _, task := range traceTasks {
			b.mustSend(name, traceResult(name, task, 2, w))
		}
	}
	for _, name := range []string{"two", "three"} {
		if got := b.tasks(name); !got.GetQuit() {
			t.Errorf("%s gets %v at the end, want quit", name, got)
		}
	}
	select {
	case <-b.agg.Done():
	case <-time.After(5 * time.Second):
		t.Error("everybody of the last round was told, but the aggregator is not done")
	}
}

func TestRostersThatCannotBeUsed(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
	}{
		"nobody":      {"collaborators: []\n", "names no collaborator"},
		"no list":     {"collaborators: one\n", "a list of names"},
		"a bad name":  {"collaborators: [One!]\n", "which no certificate carries"},
		"a tag":       {"collaborators: [trained]\n", "which no certificate carries"},
		"twice":       {"collaborators: [one, one]\n", "already on line"},
		"another key": {"collaborators: [one]\nfrom: [two]\n", "there is no such key"},
		"too large":   {"# " + strings.Repeat("x", maxRoster), "more than 1048576 bytes"},
		"too few":     {"collaborators: [one, two]\n", "needs the results of 3 collaborators, the roster gives the task to 2"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cols.yaml")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			b := &testbed{t: t, dir: t.TempDir(), roster: file, edit: func(f *bundle.Federation) {
				f.Plan.Tasks[1].Aggregation = schema.Component{Template: "fx.aggregation.TrimmedMean"}
			}}
			err := b.start()
			t.Cleanup(func() { b.stop() })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
	b := &testbed{t: t, dir: t.TempDir(), roster: filepath.Join(t.TempDir(), "none")}
	if err := b.start(); err == nil || !strings.Contains(err.Error(), "cannot read the roster") {
		t.Errorf("a roster that is not there: error %v", err)
	}
	b.stop()
}

// TestStrangersDoNotHaveTheRosterRead again and again: only a file that changed
// is read.
func TestStrangersDoNotHaveTheRosterRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cols.yaml")
	writeRoster(t, file, "one", "two")
	b := &testbed{t: t, dir: t.TempDir(), roster: file}
	b.mustStart()
	first := b.agg.members.read
	for range 3 {
		_, err := b.clients["three"].Tasks(t.Context())
		if f, ok := errors.AsType[*transport.Failure](err); !ok || f.Cause != transport.CauseNotInRoster {
			t.Errorf("error %v, want cause %s", err, transport.CauseNotInRoster)
		}
	}
	if b.agg.members.read != first {
		t.Error("the file was read again although nobody wrote it")
	}
}

func TestBestByAMetricAndADirection(t *testing.T) {
	for _, tt := range []struct {
		rule  *schema.BestRule
		round int
		score float64
	}{
		{nil, 1, 4.375},
		{&schema.BestRule{Metric: "acc", Task: traceTasks[0]}, 1, 4.375},
		{&schema.BestRule{Metric: "acc", Least: true}, 0, 0},
	} {
		b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) { f.Plan.Rounds.Best = tt.rule }}
		b.mustStart()
		b.play(asIs, nothing)
		if got := b.agg.Report().Best; got == nil || got.Round != tt.round || math.Abs(got.Score-tt.score) > 1e-9 {
			t.Errorf("%v: best %+v, want round %d with %v", tt.rule, got, tt.round, tt.score)
		}
		b.stop()
	}
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		f.Plan.Rounds.Best = &schema.BestRule{Metric: "acc", Task: "locally_tuned_model_validation"}
	}}
	b.mustStart()
	b.play(asIs, nothing)
	if got := b.agg.Report().Best; got != nil {
		t.Errorf("a metric of local models chose %+v", got)
	}
}

func TestEarlyStop(t *testing.T) {
	stop := func(target float64, most bool) func(*bundle.Federation) {
		return func(f *bundle.Federation) {
			f.Plan.Aggregator.Rounds = 5
			f.Plan.Rounds.Stop = &schema.StopRule{Metric: "acc", Target: target, AtMost: most}
		}
	}
	b := &testbed{t: t, dir: t.TempDir(), edit: stop(4, false)}
	b.mustStart()
	b.play(asIs, nothing) // rounds 0 and 1, of which the second begins with 4.375
	for _, when := range []string{"reached", "reached, and it was started again"} {
		r := b.agg.Report()
		if r.Rounds != 2 || r.Stopped == nil || r.Stopped.Name != "acc" || r.Stopped.Value != 4.375 {
			t.Errorf("the target was %s: report %+v, want an end after two rounds", when, r)
		}
		if got := b.tasks("one"); !got.GetQuit() || got.GetRoundNumber() != 2 {
			t.Errorf("the target was %s: answer %v, want quit", when, got)
		}
		b.restart()
	}
	if _, err := os.Stat(b.agg.Files()["final"]); err != nil {
		t.Error(err)
	}

	b = &testbed{t: t, dir: t.TempDir(), edit: stop(-1, true)}
	b.mustStart()
	b.play(asIs, nothing)
	if got := b.tasks("one"); got.GetQuit() || got.GetRoundNumber() != 2 {
		t.Errorf("without the target the answer is %v, want round 2", got)
	}
}

// A result that the roster of a restart gives to nobody any more is left alone.
func TestAResultOfASiteThatLeftDoesNotCount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cols.yaml")
	writeRoster(t, file, "one", "two")
	b := &testbed{t: t, dir: t.TempDir(), roster: file}
	b.mustStart()
	b.report("one", 0, traceTasks...)
	writeRoster(t, file, "two")
	b.restart()
	w := make([]float32, 6)
	for _, task := range traceTasks {
		b.mustSend("two", traceResult("two", task, 0, w))
	}
	if got := b.model("two", "w", 1); !slices.Equal(got, aloneW) {
		t.Errorf("w is %v, want %v: only two takes part", got, aloneW)
	}
}
