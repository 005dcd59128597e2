// Package aggregator runs the rounds of a federation: it hands out tasks,
// accepts results into the journal, closes rounds, and serves models.
//
// It holds nothing that the journal does not: at every start the state is read
// from there, so that an aggregator which was killed carries on as if it had
// only paused.
package aggregator

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"fx/bundle"
	openflpb "fx/proto"
	"fx/runtime/aggregation"
	"fx/runtime/assigner"
	"fx/runtime/codec"
	"fx/runtime/fold"
	"fx/runtime/journal"
	"fx/runtime/straggler"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// Options is what an aggregator works with.
type Options struct {
	Bundle  *bundle.Verified // plan, roster and initial model
	Journal *journal.Journal
	Host    string // this host's name, for a plan that leaves the address open
	Output  string // folder for best, last and final models
	Roster  string // file like plan/cols.yaml, read again when a round begins; "" is the bundle's own
	Log     *slog.Logger

	// TaskGroup is the one task group of the plan to run, "" for all. With
	// Evaluation one round is run on the initial model, and no model is saved.
	TaskGroup string

	// KeepRounds is how many closed rounds to keep if that is more than the plan's
	// db_store_rounds; negative keeps all.
	KeepRounds int

	// Closed is called, if it is not nil, once a round is closed, and once more with
	// complete when no other follows: next is the round after it. After a restart it
	// is called again for the last one. An error ends the federation.
	Closed func(first, next int, complete bool) error

	// AfterFunc calls f once d is over, in a goroutine of its own, unless stop is
	// called before; nil is time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
}

// Evaluation is the task group that OpenFL judges a model with instead of
// training it.
const Evaluation = "evaluation"

// Aggregator is the state of one federation. It implements the OpenFL service.
type Aggregator struct {
	openflpb.UnimplementedAggregatorServer
	o          Options
	plan       *schema.Resolved
	members    roster
	federation transport.Federation
	policy     straggler.Policy
	engine     *fold.Engine
	pipeline   codec.Pipeline
	algorithms map[string]*aggregation.Algorithm // by task
	tasks      map[string]schema.Task
	first      int   // the initial model's round
	tensors    int   // of the initial model
	maxUpload  int64 // bytes of one TaskResults message

	shelf *shelf // what collaborators download

	uploadsMu sync.Mutex
	uploads   map[string]int // under way, by collaborator

	mu       sync.Mutex
	round    int
	roster   []string // of the open round, sorted
	assigner assigner.Assigner
	open     openRound
	deadline deadline
	history  Report
	told     map[string]bool
	closing  bool          // a round, or all: what stands above does not change until that is done
	complete bool          // all rounds are closed
	done     chan struct{} // everybody was told
	turned   chan struct{} // closed and replaced whenever closing ends
	failed   chan error    // a round that cannot be closed
}

// openRound is the round that is under way.
type openRound struct {
	assigned map[string][]string         // collaborator -> tasks in order
	has      map[string]map[string]int64 // collaborator -> task -> samples of the result that was accepted
	sums     map[[2]string]string        // task and collaborator -> SHA-256 of that result
	agreed   map[string]agreement        // by task, once there is a result
	done     []string                    // collaborators whose tasks are all in
	held     string                      // why it stays open although the policy would close it
}

// Report is what a federation has come to.
type Report struct {
	FederationID string                 `json:"federation_id"`
	Rounds       int                    `json:"rounds"` // rounds closed, counted from 0
	Best         *journal.BestSelection `json:"best,omitempty"`
	FinalSHA256  string                 `json:"final_sha256,omitempty"` // of final.safetensors
	Metrics      []journal.MetricEntry  `json:"metrics"`                // of the last closed round
	Stopped      *journal.MetricEntry   `json:"stopped,omitempty"`      // the metric that reached the plan's target

	outcome string // SHA-256 of the last outcome record
	state   string // SHA-256 of the state that goes with the final model, "" if there is none
}

// New reads the state of a federation from its journal, finishes what was
// interrupted, and is ready to serve.
func New(o Options) (*Aggregator, error) {
	f, err := o.Bundle.Federation(o.Host)
	if err != nil {
		return nil, err
	}
	return start(f, o)
}

// start is New for what a verified bundle says.
func start(f *bundle.Federation, o Options) (*Aggregator, error) {
	a := &Aggregator{
		o:       o,
		tasks:   map[string]schema.Task{},
		told:    map[string]bool{},
		uploads: map[string]int{},
		done:    make(chan struct{}),
		turned:  make(chan struct{}),
		failed:  make(chan error, 1),
		plan:    selectGroup(f.Plan, o.TaskGroup),
		shelf:   newShelf(o.Journal),
	}
	if a.o.AfterFunc == nil {
		a.o.AfterFunc = afterFunc
	}
	a.members = roster{path: o.Roster, bundled: f.Roster}
	a.federation = transport.Federation{
		ID: a.plan.FederationID, AggregatorID: a.plan.AggregatorID,
		Member: a.members.member,
	}
	a.history = Report{FederationID: a.plan.FederationID, Metrics: []journal.MetricEntry{}}
	var err error
	if !a.evaluates() { // else round 0, whatever the model's is
		if a.first, err = FirstRound(f); err != nil {
			return nil, err
		}
	}
	if err := a.checkPaths(); err != nil {
		return nil, err
	}
	if err := a.components(f); err != nil {
		return nil, err
	}
	return a, a.recover(f.Model)
}

// evaluates says whether this run judges a model and trains none.
func (a *Aggregator) evaluates() bool { return a.o.TaskGroup == Evaluation }

// selectGroup is the plan with one task group alone. Its id stays what it is: the
// choice is the aggregator's, and the collaborators need not know of it.
func selectGroup(plan *schema.Resolved, group string) *schema.Resolved {
	if group == "" {
		return plan
	}
	one := *plan
	one.Assigner.Settings = maps.Clone(plan.Assigner.Settings)
	one.Assigner.Settings["selected_task_group"] = group
	if group == Evaluation {
		one.Aggregator.Rounds = 1
	}
	return &one
}

// components builds what the plan names from the tables.
func (a *Aggregator) components(f *bundle.Federation) error {
	infos, err := f.Model.Infos()
	if err != nil {
		return err
	}
	a.tensors, a.maxUpload = len(infos), protobufLimit
	model := int64(0)
	for _, info := range infos {
		model += info.Bytes()
		a.maxUpload = max(a.maxUpload, uploadPerModel*model)
	}
	if a.engine, err = fold.New(fold.Options{Plan: a.plan, Model: infos, Journal: a.o.Journal, Known: a.known}); err != nil {
		return err
	}
	a.algorithms, a.pipeline = a.engine.Algorithms(), a.engine.Pipeline()
	for _, t := range a.plan.Tasks {
		a.tasks[t.Name] = t
	}
	a.policy, err = straggler.New(a.plan.Straggler)
	return err
}

// FirstRound is the number of the round that a federation begins with: that of
// its initial model. Rounds are absolute, so that a federation can go on from
// the final model of another; one that leaves no round to do is refused.
func FirstRound(f *bundle.Federation) (int, error) {
	path, rounds := f.Plan.Aggregator.InitStatePath, f.Plan.Aggregator.Rounds
	n, err := tensor.Round(f.Model.Tensors)
	if err != nil {
		return 0, fmt.Errorf("cannot start from the initial model %q: %w", path, err)
	}
	first := int(n)
	if first < 0 || first >= rounds {
		return 0, fmt.Errorf("cannot start from the initial model %q: it is of round %d, and with rounds_to_train %d the last round is %d: %w", path, first, rounds, rounds-1, schema.ErrInvalid)
	}
	return first, nil
}

// recover walks through the closed rounds, checking that each follows from the
// one before, and loads the open one.
func (a *Aggregator) recover(model *bundle.Model) error {
	// The initial model may be there; then it must be the same.
	if err := a.initialModel(model); err != nil {
		return err
	}
	a.round, a.history.Rounds = a.first, a.first
	for {
		outcome, record, err := a.o.Journal.Outcome(a.round)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		closing, decision, err := a.o.Journal.Closing(a.round)
		if err != nil {
			return err
		}
		if closing.Previous != a.history.outcome || outcome.Closing != decision {
			return journal.Damagef("the records of round %d do not follow from those before", a.round)
		}
		a.remember(outcome, record)
		a.round++
	}
	if a.round > a.first {
		a.o.Log.Info("carrying on", "round", a.round, "rounds", a.plan.Aggregator.Rounds)
		if err := a.checkNewest(); err != nil {
			return err
		}
		if err := a.forget(a.round - 1); err != nil { // which may have been interrupted
			return err
		}
		if err := a.closed(); err != nil {
			return err
		}
	}
	quit, err := a.o.Journal.Quit()
	if err != nil {
		return err
	}
	for _, name := range quit {
		a.told[name] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begin()
}

func (a *Aggregator) remember(o journal.Outcome, sum string) {
	a.history.Rounds = o.Round + 1
	a.history.Best, a.history.Metrics, a.history.FinalSHA256, a.history.outcome = o.Best, o.Metrics, o.Model, sum
	a.history.Stopped, a.history.state = o.Stop, o.State
}

// checkState compares what algorithms remember with what was written.
func (a *Aggregator) checkState() error {
	sum, err := a.o.Journal.StateSHA256(a.round)
	if errors.Is(err, fs.ErrNotExist) {
		sum, err = "", nil
	}
	if err == nil && sum != a.history.state {
		err = journal.Damagef("%q has SHA-256 %q, was written with %q", journal.StateName(a.round), sum, a.history.state)
	}
	return err
}

// begin starts the current round from what the journal has of it, and closes
// it if nothing is missing. The caller holds mu, which is free while something
// is closed.
func (a *Aggregator) begin() error {
	for a.round < a.plan.Aggregator.Rounds && a.history.Stopped == nil {
		if err := a.gather(); err != nil {
			return err
		}
		if err := a.load(); err != nil {
			return err
		}
		closing, sum, err := a.o.Journal.Closing(a.round)
		switch {
		case err == nil: // interrupted between decision and outcome
			err = a.finish(func() (journal.Closing, string, error) { return closing, sum, nil })
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case !a.closable():
			return nil
		default:
			err = a.closeRound()
		}
		if err != nil {
			return err
		}
	}
	if a.assigner == nil { // complete already when the process started
		if err := a.gather(); err != nil {
			return err
		}
	}
	if err := a.unlocked(a.writeFinal); err != nil {
		return err
	}
	a.complete = true
	a.checkDone()
	return a.closed()
}

// closed tells that a round was closed, or that none follows.
func (a *Aggregator) closed() error {
	if a.o.Closed == nil {
		return nil
	}
	return a.o.Closed(a.first, a.round, a.complete)
}

// unlocked does long work on what mu guards, which stays as it is meanwhile:
// others may look at it, and nobody changes it while closing is set. The caller
// holds mu.
func (a *Aggregator) unlocked(work func() error) error {
	a.closing = true
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.closing = false
		close(a.turned)
		a.turned = make(chan struct{})
	}()
	return work()
}

// load reads which results of the current round are in the journal.
func (a *Aggregator) load() error {
	a.open = openRound{
		assigned: a.assigner.Assign(a.round, a.roster),
		has:      map[string]map[string]int64{},
		sums:     map[[2]string]string{},
		agreed:   map[string]agreement{},
	}
	for _, name := range a.roster {
		a.open.has[name] = map[string]int64{}
	}
	accepted, err := a.o.Journal.Accepted(a.round)
	if err != nil {
		return err
	}
	_, _, err = a.o.Journal.Closing(a.round)
	decided := !errors.Is(err, fs.ErrNotExist) // then the results that count are fixed
	for _, task := range slices.Sorted(maps.Keys(accepted)) {
		for _, name := range accepted[task] {
			if !slices.Contains(a.open.assigned[name], task) {
				continue // the roster has changed since
			}
			err := a.reload(task, name)
			if errors.Is(err, errUnreadable) && !decided {
				if err := a.askAgain(task, name, err); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			a.startDeadline() // work was handed out
		}
	}
	return nil
}

// reload accepts a result that is in the journal.
func (a *Aggregator) reload(task, name string) (err error) {
	r, err := a.o.Journal.Result(a.round, task, name)
	if errors.Is(err, journal.ErrDamaged) {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := a.contents(name, r.Results)
	if err == nil {
		err = a.open.misfit(c)
	}
	if err != nil {
		return journal.Damagef("%q: %w", journal.ResultName(a.round, task, name), err)
	}
	a.open.accept(c, r.SHA256)
	return nil
}

// pending lists the tasks of a collaborator that have no result yet, in order.
func (r *openRound) pending(name string) []string {
	var out []string
	for _, t := range r.assigned[name] {
		if _, ok := r.has[name][t]; !ok {
			out = append(out, t)
		}
	}
	return out
}

// Done is closed when the federation is complete and every collaborator was
// told so.
func (a *Aggregator) Done() <-chan struct{} { return a.done }

// Failed delivers the reason when a round cannot be closed.
func (a *Aggregator) Failed() <-chan error { return a.failed }

// Report says what the federation has come to.
func (a *Aggregator) Report() Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.history
}
