package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/collaborator"
	"fx/runtime/egress"
	"fx/runtime/transport"
)

func collaboratorCommand() *cli.Command {
	return &cli.Command{
		Name:  "collaborator",
		Usage: "join the federation, work, leave when it is complete",
		Description: `Asks the aggregator for tasks, runs them on this site's data, and reports what
the approved plan lets leave; every tensor and metric that leaves is recorded in
STATE/egress.jsonl before it is sent. Opens no port. While the aggregator is away
it tries again for ever and says why. Killed at any moment, the same command
carries on where it was.

Examples:
   fxrun collaborator --bundle ward.fxb --name hospital-a --data /srv/ward
   fxrun collaborator --bundle ward.fxb --name hospital-a --data /srv/ward --egress site.yaml`,
		Flags: append(slices.Concat(participantFlags(), boxFlags()), nameFlag(), dataFlag(), stateFlag(), egressFlag(), logFlag(), openFLFlag(),
			&cli.DurationFlag{Name: "poll-interval", Usage: "with nothing to do, ask again after `TIME` (default: what the aggregator says, 10s)"},
		),
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if err := ui.Require(c, "bundle", "name"); err != nil {
				return nil, err
			}
			r, err := runCollaborator(c.Context, c)
			return r, diskHint(explain(err))
		}),
	}
}

type collaboratorResult struct{ collaborator.Report }

func (r *collaboratorResult) Text(w io.Writer) error {
	return ui.Table(w, nil, [][]string{
		{"federation", r.FederationID},
		{"collaborator", r.Collaborator},
		{"rounds", strconv.Itoa(r.Rounds)},
		{"tasks reported", strconv.Itoa(r.Tasks)},
		{"connections", fmt.Sprintf("%d for %d requests", r.Connections, r.Requests)},
	})
}

func runCollaborator(ctx context.Context, c *cli.Context) (*collaboratorResult, error) {
	log, err := newLog(c)
	if err != nil {
		return nil, err
	}
	if c.Duration("poll-interval") < 0 {
		return nil, ui.Usagef("--poll-interval is %v; it must not be negative", c.Duration("poll-interval"))
	}
	name := c.String("name")
	if _, err := dataPath(c); err != nil { // before anything is kept
		return nil, err
	}
	if _, err := boxOptions(c); err != nil {
		return nil, err
	}
	site, err := siteEgress(c.String("egress"))
	if err != nil {
		return nil, err
	}
	p, err := open(ctx, c, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // read only
	infos, err := p.Model.Infos()
	if err != nil {
		return nil, err
	}
	client, err := p.client(c, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }() // reports only that it was closed before
	dir := p.stateDir(c, name)
	_, store, err := p.journal(dir, name)
	if err != nil {
		return nil, err
	}
	warnOfOpenState(log, dir)
	defer func() { _ = store.Close() }() // everything in it is durable already
	ledger, err := egress.OpenLedger(filepath.Join(dir, "egress.jsonl"), time.Now)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ledger.Close() }() // every line in it is durable already
	scratch, err := freshScratch(dir)
	if err != nil {
		return nil, err
	}
	runner, err := p.runner(c, name, scratch, log)
	if err != nil {
		return nil, err
	}
	log.Info("joining", "federation", p.Plan.FederationID, "bundle", p.verified.ID().String(),
		"aggregator", fmt.Sprintf("%s:%d", p.Plan.Network.Host, p.Plan.Network.Port))
	interval := p.Plan.Network.ReconnectInterval
	report, err := collaborator.Run(ctx, collaborator.Options{
		Name: name, Plan: p.Plan, Model: infos, Site: site, PyTorch: p.pytorch(), Client: client, Runner: runner, Store: store,
		Scratch: scratch, Ledger: ledger, PollInterval: c.Duration("poll-interval"),
		Retry: transport.RetryPolicy{Interval: interval, Max: 6 * interval, Jitter: 0.2}, Log: log,
	})
	if err := errors.Join(err, runner.Close()); err != nil {
		return nil, err
	}
	return &collaboratorResult{report}, os.RemoveAll(scratch)
}

// freshScratch makes an empty folder for the files of the task at hand; what a
// killed process left there is worth nothing.
func freshScratch(dir string) (string, error) {
	scratch := filepath.Join(dir, "scratch")
	if err := errors.Join(os.RemoveAll(scratch), os.MkdirAll(scratch, 0o700)); err != nil {
		return "", fmt.Errorf("cannot make the scratch folder: %v", err)
	}
	return scratch, nil
}
