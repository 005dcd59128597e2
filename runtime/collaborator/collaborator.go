// Package collaborator is a site's side of a federation: it asks the aggregator
// for work, has it done by a task runner, and reports what the approved plan
// lets leave.
package collaborator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	openflpb "fx/proto"
	"fx/runtime/codec"
	"fx/runtime/egress"
	"fx/runtime/journal"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// ErrIncomplete is wrapped by errors that end this site's part before the
// federation is complete: a task failed, or something may not leave.
var ErrIncomplete = errors.New("the federation is not complete")

// errNoModel is an answer of an aggregator that does not have, or cannot read,
// the model of the round for which it asked work.
var errNoModel = errors.New("the aggregator does not give the model of the round")

// What an aggregator says about pauses is kept within limits.
const (
	minPause     = time.Second
	maxPause     = 10 * time.Minute
	pauseSeconds = 10 // where it says nothing: OpenFL's pause
)

// Options is what a collaborator works with.
type Options struct {
	Name         string
	Plan         *schema.Resolved
	Model        []tensor.Info // tensors of the approved initial model
	Client       *transport.Client
	Runner       taskrunner.Runner
	Store        journal.Store  // finished tasks, to survive a restart
	Scratch      string         // folder for files of the task at hand
	Ledger       *egress.Ledger // what left
	Site         schema.Egress  // the site's own rules, which narrow the plan's
	PyTorch      bool           // the task runner is OpenFL's for PyTorch, see egress.UsesPyTorch
	PollInterval time.Duration  // 0 = what the aggregator says
	Retry        transport.RetryPolicy
	Log          *slog.Logger
}

// Report is what a collaborator did.
type Report struct {
	FederationID string `json:"federation_id"`
	Collaborator string `json:"collaborator"`
	Rounds       int    `json:"rounds"` // rounds this process took part in
	Tasks        int    `json:"tasks"`  // results this process reported
	Connections  int64  `json:"connections"`
	Requests     int64  `json:"requests"`
}

// collaborator is one run.
type collaborator struct {
	Options
	contract *egress.Contract
	header   *openflpb.MessageHeader
	report   Report
	pipeline codec.Pipeline
	reported map[string]bool // "round/task" that the aggregator has taken from this process
	whole    map[string]bool // finished tasks whose output was seen to be whole
	round    int             // the round whose model file is in scratch
	model    string          // its path, "" before the first
	digest   string          // its SHA-256
	stepped  bool            // it came as the difference to the model before
}

// Run takes part until the aggregator says that the federation is complete, the
// context ends, or something happens that retrying cannot mend.
func Run(ctx context.Context, o Options) (Report, error) {
	pipeline, err := codec.New(o.Plan.Compression)
	if err != nil {
		return Report{}, err
	}
	for _, info := range o.Model {
		if err := pipeline.Check(info); err != nil {
			return Report{}, fmt.Errorf("%w: %w", err, schema.ErrInvalid)
		}
	}
	contract, err := egress.NewContract(egress.Terms{Tasks: o.Plan.Tasks, Model: o.Model, Plan: o.Plan.Egress, Site: o.Site, PyTorch: o.PyTorch})
	if err != nil {
		return Report{}, err
	}
	c := &collaborator{
		Options:  o,
		contract: contract,
		pipeline: pipeline,
		header: &openflpb.MessageHeader{
			Sender: o.Name, Receiver: o.Plan.AggregatorID, FederationUuid: o.Plan.FederationID,
		},
		report:   Report{FederationID: o.Plan.FederationID, Collaborator: o.Name},
		reported: map[string]bool{},
		whole:    map[string]bool{},
		round:    -1,
	}
	err = c.loop(ctx)
	c.report.Connections, c.report.Requests = o.Client.Counts()
	return c.report, err
}

func (c *collaborator) loop(ctx context.Context) error {
	last := -1
	for {
		resp, err := c.ask(ctx)
		if err != nil {
			return err
		}
		round, rounds := int(resp.GetRoundNumber()), c.Plan.Aggregator.Rounds
		switch {
		case resp.GetQuit() && c.evaluated(round):
			c.Log.Info("the evaluation is complete")
			return nil
		case resp.GetQuit() && round < rounds && c.Plan.Rounds.Stop == nil:
			return fmt.Errorf("the aggregator ends the federation in round %d of %d: %w", round, rounds, ErrIncomplete)
		case resp.GetQuit():
			c.Log.Info("the federation is complete", "rounds", round)
			return nil
		case len(resp.GetTasks()) == 0:
			if err := c.wait(ctx, resp.GetSleepTime()); err != nil {
				return err
			}
			continue
		case round < 0 || round >= rounds:
			return fmt.Errorf("the aggregator asks for work in round %d, the approved plan has rounds 0 to %d: %w", round, rounds-1, ErrIncomplete)
		}
		if round != last {
			last = round
			c.report.Rounds++
			c.Log.Info("round begins", "round", round, "of", rounds)
			c.forget(round)
		}
		if err := c.performAll(ctx, round, resp.GetTasks()); err != nil {
			return err
		}
	}
}

// performAll does what the aggregator asks for. Two things it does not do at
// once but after a pause: what the aggregator has taken before and asks for
// again, and asking anew when the aggregator cannot give the round's model. An
// aggregator that lost its state does both.
func (c *collaborator) performAll(ctx context.Context, round int, tasks []*openflpb.Task) error {
	if err := c.afford(round, tasks); err != nil {
		return err
	}
	for _, t := range tasks {
		key := fmt.Sprintf("%d/%s", round, t.GetName())
		if c.reported[key] {
			c.Log.Warn("the aggregator asks again for what it has taken", "round", round, "task", t.GetName())
			if err := c.wait(ctx, pauseSeconds); err != nil {
				return err
			}
		}
		err := c.perform(ctx, round, t.GetName())
		if errors.Is(err, errNoModel) {
			c.Log.Warn("asking for tasks anew", "round", round, "error", err.Error())
			return c.wait(ctx, pauseSeconds)
		}
		if err != nil {
			return err
		}
		c.reported[key] = true
	}
	return nil
}

// afford ends the run before a round whose results the privacy account has no
// room for, so that nothing of that round leaves. A round of which a result has
// left before may go on: sending that again costs nothing.
func (c *collaborator) afford(round int, tasks []*openflpb.Task) error {
	for _, t := range tasks {
		task, err := c.task(t.GetName())
		if err != nil || !egress.SendsTensors(c.Plan.TaskRunner.Template, task) || c.Ledger.Released(round, task.Name) {
			continue // a task that the plan does not have is refused when its turn comes
		}
		if err := c.contract.Afford(c.Ledger, task.Name, round); err != nil {
			return c.refused(round, err)
		}
	}
	return nil
}

// ask gets the tasks, however long it takes.
func (c *collaborator) ask(ctx context.Context) (*openflpb.GetTasksResponse, error) {
	var resp *openflpb.GetTasksResponse
	err := transport.Retry(ctx, c.Retry, c.Log, func(ctx context.Context) (err error) {
		resp, err = c.Client.Tasks(ctx)
		return err
	})
	return resp, err
}

// wait sleeps for the poll interval, up to a tenth more or less so that sites
// do not ask in step.
func (c *collaborator) wait(ctx context.Context, serverSeconds int32) error {
	d := c.PollInterval
	if d == 0 {
		d = min(max(time.Duration(serverSeconds)*time.Second, minPause), maxPause)
	}
	d = time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
	select {
	case <-time.After(max(d, 10*time.Millisecond)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// evaluated says whether what ended was an evaluation: one round, in which the
// aggregator has asked for nothing but tasks of the plan's group of that name.
func (c *collaborator) evaluated(round int) bool {
	tasks := egress.TaskGroup(c.Plan, "evaluation")
	for key := range c.reported {
		if !slices.Contains(tasks, strings.TrimPrefix(key, "0/")) {
			return false
		}
	}
	return round == 1 && len(c.reported) > 0
}

// shorten cuts what an aggregator calls something.
func shorten(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return name[:most] + "…"
}

// task looks a name up in the approved plan: whatever the aggregator says, no
// other work is done.
func (c *collaborator) task(name string) (schema.Task, error) {
	i := slices.IndexFunc(c.Plan.Tasks, func(t schema.Task) bool { return t.Name == name })
	if i < 0 {
		return schema.Task{}, fmt.Errorf("the aggregator asks for the task %q, which the approved plan does not have: %w", shorten(name), ErrIncomplete)
	}
	return c.Plan.Tasks[i], nil
}
