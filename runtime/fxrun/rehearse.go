package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/aggregator"
	"fx/runtime/codec"
	"fx/runtime/collaborator"
	"fx/runtime/egress"
	"fx/runtime/journal"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/schema"
)

func rehearseCommand() *cli.Command {
	return &cli.Command{
		Name:  "rehearse",
		Usage: "run the plan's tasks on this site's data alone, without a network",
		Description: `Does what "fxrun collaborator" would do, round after round, but instead of
sending anything it goes on from its own model: proof that code and data fit
before the federation begins, and the model that this site can reach alone.
Results are checked as if they were to leave.

Examples:
   fxrun rehearse --bundle ward.fxb --name hospital-a --data /srv/ward --rounds 1
   fxrun rehearse --bundle ward.fxb --name hospital-a --data /srv/ward -o alone.safetensors`,
		Flags: append(slices.Concat(participantFlags(), boxFlags()), nameFlag(), dataFlag(), egressFlag(), logFlag(),
			&cli.IntFlag{Name: "rounds", Usage: "stop after `N` rounds (default: the plan's number)"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the model to `FILE` (.safetensors or .pbuf)"},
		),
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if err := ui.Require(c, "bundle", "name"); err != nil {
				return nil, err
			}
			return runRehearse(c.Context, c)
		}),
	}
}

type rehearseResult struct {
	Collaborator string                `json:"collaborator"`
	Rounds       int                   `json:"rounds"`
	Metrics      []journal.MetricEntry `json:"metrics"` // of the last round
	Model        string                `json:"model,omitempty"`
}

func (r *rehearseResult) Text(w io.Writer) error {
	rows := [][]string{{"collaborator", r.Collaborator}, {"rounds", strconv.Itoa(r.Rounds)}}
	for _, m := range r.Metrics {
		rows = append(rows, []string{m.Task + "/" + m.Name, fmt.Sprintf("%.4f", m.Value)})
	}
	if r.Model != "" {
		rows = append(rows, []string{"model", r.Model})
	}
	return ui.Table(w, nil, rows)
}

func runRehearse(ctx context.Context, c *cli.Context) (result *rehearseResult, err error) {
	log, err := newLog(c)
	if err != nil {
		return nil, err
	}
	if c.IsSet("rounds") && c.Int("rounds") < 1 {
		return nil, ui.Usagef("--rounds is %d; it must be at least 1", c.Int("rounds"))
	}
	site, err := siteEgress(c.String("egress"))
	if err != nil {
		return nil, err
	}
	p, err := open(ctx, c, hostName())
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // read only
	r, err := p.rehearsal(c, c.String("name"), log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close(err)) }()
	if r.contract, err = p.contract(site); err != nil {
		return nil, err
	}
	first, err := aggregator.FirstRound(p.Federation)
	if err != nil {
		return nil, err
	}
	last := p.Plan.Aggregator.Rounds
	if n := c.Int("rounds"); n > 0 {
		last = min(last, first+n)
	}
	result = &rehearseResult{Collaborator: r.name, Rounds: last - first, Metrics: []journal.MetricEntry{}}
	for round := first; round < last; round++ {
		if result.Metrics, err = r.round(ctx, round, p.Plan.Tasks); err != nil {
			return nil, err
		}
	}
	if out := c.String("output"); out != "" {
		result.Model = out
		if err := r.write(out, p); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// rehearsal runs tasks in a scratch folder.
type rehearsal struct {
	name    string
	runner  taskrunner.Runner
	scratch string
	model   string // the current model's file, "" for a model without tensors
	log     *slog.Logger

	contract *egress.Contract // what results must keep to as if they left; nil if they need not
}

// rehearsal starts from the bundle's initial model.
func (p *participant) rehearsal(c *cli.Context, name string, log *slog.Logger) (*rehearsal, error) {
	scratch, err := newScratch()
	if err != nil {
		return nil, err
	}
	r := &rehearsal{name: name, scratch: scratch, log: log}
	r.runner, err = p.runner(c, name, scratch, log)
	if err == nil && len(p.Model.Tensors) > 0 {
		r.model = filepath.Join(scratch, "model.safetensors")
		err = tensor.WriteFile(r.model, true, p.Model.WriteSafetensors)
	}
	if err != nil {
		return nil, errors.Join(err, discard(scratch, err))
	}
	return r, nil
}

// close ends the task code. err is what the rehearsal ended with: see [discard].
func (r *rehearsal) close(err error) error {
	return errors.Join(r.runner.Close(), discard(r.scratch, err))
}

// round does all tasks of a round. Tasks that work on the local model get what
// this round has trained; the next round goes on from it.
func (r *rehearsal) round(ctx context.Context, round int, tasks []schema.Task) ([]journal.MetricEntry, error) {
	metrics := []journal.MetricEntry{}
	trained := r.model
	for _, t := range tasks {
		inputs := r.model
		if t.Apply() == "local" {
			inputs = trained
		}
		got, err := r.run(ctx, round, t, inputs)
		if err != nil {
			return nil, err
		}
		for _, m := range got.Metrics {
			metrics = append(metrics, journal.MetricEntry{Task: t.Name, Name: m.Name, Value: m.Value})
			r.log.Info("task done", "round", round, "task", t.Name, "metric", m.Name, "value", m.Value, "samples", got.DataSize)
		}
		if got.Tensors {
			trained = filepath.Join(r.scratch, fmt.Sprintf("round%06d.safetensors", round))
			if err := os.Rename(r.output(), trained); err != nil {
				return nil, fmt.Errorf("cannot keep what task %q made: %v", t.Name, err)
			}
		}
	}
	if trained != r.model {
		if err := os.Remove(r.model); err != nil {
			return nil, fmt.Errorf("cannot remove the model of round %d: %v", round, err)
		}
		r.model = trained
	}
	return metrics, nil
}

func (r *rehearsal) output() string { return filepath.Join(r.scratch, "output.safetensors") }

func (r *rehearsal) run(ctx context.Context, round int, t schema.Task, inputs string) (taskrunner.Result, error) {
	if err := os.Remove(r.output()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return taskrunner.Result{}, fmt.Errorf("cannot clean the scratch folder: %v", err)
	}
	got, err := r.runner.Run(ctx, taskrunner.Job{Task: t, Round: round, Collaborator: r.name, Inputs: inputs, Output: r.output()})
	switch {
	case err != nil && ctx.Err() == nil:
		err = fmt.Errorf("task %q of round %d failed: %w: %w", t.Name, round, err, collaborator.ErrIncomplete)
	case err == nil && r.contract != nil:
		err = mayLeave(r.contract, t.Name, round, got, r.output())
	}
	return got, err
}

// write saves the current model in the format that the file's name asks for. A
// .pbuf is encoded by the plan's pipeline, as the aggregator's are.
func (r *rehearsal) write(path string, p *participant) error {
	if r.model == "" {
		return ui.Usagef("cannot write %q: the plan's model has no tensors", path)
	}
	in, err := os.Open(r.model)
	if err != nil {
		return fmt.Errorf("cannot read the model: %v", err)
	}
	defer func() { _ = in.Close() }() // read only
	if !strings.HasSuffix(path, ".pbuf") {
		return tensor.WriteFile(path, true, func(w io.Writer) error {
			_, err := io.Copy(w, in)
			return err
		})
	}
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("cannot read the model: %v", err)
	}
	file, err := tensor.OpenSafetensors(in, info.Size())
	if err != nil {
		return err
	}
	return tensor.WriteFile(path, true, func(w io.Writer) error {
		return codec.WriteModel(w, p.Model.Pipeline, file, nil, func(name string) uint64 { return codec.Seed(p.Plan.FederationID, r.name, name, 0) })
	})
}
