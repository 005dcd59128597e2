package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
	"fx/runtime/aggregator"
	"fx/runtime/collaborator"
	"fx/runtime/journal"
	"fx/runtime/transport"
)

func aggregatorCommand() *cli.Command {
	return &cli.Command{
		Name:  "aggregator",
		Usage: "serve the federation until it is complete",
		Description: `Listens on the one port that the plan names, runs the rounds, and writes the
best, last and final model to STATE/<paths of the plan> and a signed account of
them to STATE/receipt.json. Killed at any moment, the same command carries on
where it was.

Examples:
   fxrun aggregator --bundle ward.fxb
   fxrun aggregator --bundle ward.fxb --state /var/lib/fx --log-format json
   fxrun aggregator --bundle ward.fxb --roster cols.yaml
   fxrun aggregator --bundle ward.fxb --keep-rounds all --receipt-every-round
   fxrun aggregator --bundle ward.fxb --task-group evaluation`,
		Flags: append(participantFlags(), stateFlag(), logFlag(), openFLFlag(),
			&cli.StringFlag{Name: "roster", Usage: "who takes part is in `FILE`, like plan/cols.yaml; read again when a round begins (default: the bundle's)"},
			&cli.StringFlag{Name: "bind", Usage: "listen on this local `ADDRESS` only (default: all)"},
			&cli.StringFlag{Name: "task-group", Usage: "run the plan's task group `NAME` alone; evaluation judges the bundle's model in one round and saves none"},
			&cli.StringFlag{Name: "keep-rounds", Usage: "keep what the last `N` rounds were made of, or all of them, for audits (default: the plan's db_store_rounds)"},
			&cli.BoolFlag{Name: "receipt-every-round", Usage: "also sign a receipt after each round, in STATE/receipts"},
			&cli.DurationFlag{Name: "linger", Value: 15 * time.Second, Usage: "once everybody was told to leave, answer who asks again for `TIME`"},
		),
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			r, err := runAggregator(c.Context, c)
			return r, diskHint(err)
		}),
	}
}

// aggregatorResult is what a complete federation has come to.
type aggregatorResult struct {
	aggregator.Report
	Models      map[string]string `json:"models"` // best, last, final -> file; .safetensors lies beside each .pbuf
	Journal     string            `json:"journal"`
	Receipt     string            `json:"receipt"`     // what fxctl receipt verify checks
	Connections int64             `json:"connections"` // TLS connections this process completed
	Requests    int64             `json:"requests"`
}

func (r *aggregatorResult) Text(w io.Writer) error {
	rows := [][]string{{"federation", r.FederationID}, {"rounds", strconv.Itoa(r.Rounds)}}
	for _, m := range r.Metrics {
		rows = append(rows, []string{m.Task + "/" + m.Name, fmt.Sprintf("%.4f", m.Value)})
	}
	if r.Best != nil {
		rows = append(rows, []string{"best", fmt.Sprintf("%.4f with the model of round %d", r.Best.Score, r.Best.Round)})
	}
	if r.Stopped != nil {
		rows = append(rows, []string{"stopped", fmt.Sprintf("%s/%s reached %.4f", r.Stopped.Task, r.Stopped.Name, r.Stopped.Value)})
	}
	for _, name := range []string{"best", "last", "final"} {
		if file, ok := r.Models[name]; ok {
			rows = append(rows, []string{name + " model", file})
		}
	}
	if _, ok := r.Models["final"]; ok {
		rows = append(rows, []string{"final sha256", r.FinalSHA256})
	}
	rows = append(rows,
		[]string{"records", r.Journal},
		[]string{"receipt", r.Receipt},
		[]string{"connections", fmt.Sprintf("%d for %d requests", r.Connections, r.Requests)})
	return ui.Table(w, nil, rows)
}

func runAggregator(ctx context.Context, c *cli.Context) (*aggregatorResult, error) {
	log, err := newLog(c)
	if err != nil {
		return nil, err
	}
	if t := c.Duration("linger"); t < 0 {
		return nil, ui.Usagef("--linger is %v; it must not be negative", t)
	}
	p, err := open(ctx, c, hostName())
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // read only
	keep, err := keepRounds(c.String("keep-rounds"), p.Plan.Aggregator.DBStoreRounds)
	if err != nil {
		return nil, err
	}
	network := p.Plan.Network
	config := trust.Config{CertDir: p.certDir, Role: identity.Aggregator, Name: network.Host, OpenFLCompat: c.Bool("openfl-certs")}
	certificates, err := newRenewal(config, network.Host, log)
	if err != nil {
		return nil, uncertified(fmt.Errorf("cannot serve as %q: %w", network.Host, err), config)
	}
	warnOfOpenKey(log, config)
	warnOfOpenFL(log, config)
	group := c.String("task-group")
	name, participant := "aggregator", p.Plan.AggregatorID
	if group != "" { // another run, with a journal of its own
		name, participant = name+"-"+url.PathEscape(group), participant+" for task group "+group
	}
	dir := p.stateDir(c, name)
	j, store, err := p.journal(dir, participant)
	if err != nil {
		return nil, err
	}
	warnOfOpenState(log, dir)
	defer func() { _ = store.Close() }() // everything in it is durable already
	signed, err := newReceipts(p, config, j, dir, group, c.Bool("receipt-every-round"), log)
	if err != nil {
		return nil, err
	}
	agg, err := aggregator.New(aggregator.Options{
		Bundle: p.verified, Host: hostName(), Journal: j, Output: dir, Roster: c.String("roster"), TaskGroup: group, Log: log,
		KeepRounds: keep, Closed: signed.closed,
	})
	if err != nil {
		err = fmt.Errorf("cannot start the aggregator: %w", err)
		if errors.Is(err, journal.ErrDamaged) {
			err = ui.Hint(err, "fxrun journal show %s --digests names what is damaged; put those files back from a copy, or begin anew with another --state", dir)
		}
		return nil, err
	}
	boundHeap(agg.Needs())
	listener, err := listen(c.String("bind"), network.Port)
	if err != nil {
		return nil, err
	}
	server := transport.NewServer(transport.ServerOptions{
		TLS: certificates.tls(), Log: log, Verify: newAnchors(config, certificates.anchors, log).verify, Sent: agg.Sent,
	}, agg)
	log.Info("listening", "address", listener.Addr().String(), "federation", p.Plan.FederationID, "bundle", p.verified.ID().String())
	if err := serve(ctx, server, listener, agg, c.Duration("linger"), log); err != nil {
		return nil, err
	}
	result := &aggregatorResult{Report: agg.Report(), Models: agg.Files(), Journal: filepath.Join(dir, "journal"), Receipt: signed.path()}
	result.Connections, result.Requests = server.Counts()
	return result, nil
}

func listen(bind string, port int) (net.Listener, error) {
	address := net.JoinHostPort(bind, strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot listen on %q: %v", address, err)
	}
	if err != nil {
		return nil, ui.Hint(fmt.Errorf("cannot listen on the plan's port %d: %v", port, err), "ss -tlnp 'sport = :%d'", port)
	}
	return l, nil
}

// serve answers until the federation is complete and everybody knows, a round
// cannot be closed, or ctx ends.
func serve(ctx context.Context, server *transport.Server, l net.Listener, agg *aggregator.Aggregator, linger time.Duration, log *slog.Logger) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, l) }()
	var why error
	select {
	case err := <-served:
		return errors.Join(err, context.Cause(ctx))
	case err := <-agg.Failed():
		why = err
		if !journal.DiskTrouble(err) { // else the same command goes on once there is room
			why = fmt.Errorf("%w: %w", err, collaborator.ErrIncomplete)
		}
	case <-agg.Done():
		log.Info("everybody was told", "linger", linger.String())
		select {
		case <-time.After(linger):
		case <-ctx.Done():
		}
	}
	stop()
	return errors.Join(why, <-served)
}
