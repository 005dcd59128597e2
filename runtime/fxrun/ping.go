package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
)

func pingCommand() *cli.Command {
	return &cli.Command{
		Name:  "ping",
		Usage: "prove the connection to the aggregator, or say exactly what is wrong",
		Description: `Verifies the bundle, makes one mutually authenticated connection to the plan's
aggregator as this collaborator, and asks one question. Touches no data.

Examples:
   fxrun ping --bundle ward.fxb --name hospital-a
   fxrun ping --bundle ward.fxb --name hospital-a --json`,
		Flags: append(participantFlags(), nameFlag(), logFlag(), openFLFlag(),
			&cli.DurationFlag{Name: "timeout", Value: 20 * time.Second, Usage: "give up after `TIME`"}),
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if err := ui.Require(c, "bundle", "name"); err != nil {
				return nil, err
			}
			r, err := runPing(c.Context, c)
			return r, explain(err)
		}),
	}
}

type pingResult struct {
	OK           bool    `json:"ok"`
	Address      string  `json:"address"`
	FederationID string  `json:"federation_id"`
	AggregatorID string  `json:"aggregator_id"`
	Collaborator string  `json:"collaborator"`
	Milliseconds float64 `json:"milliseconds"` // connection, handshake and answer
}

func (r *pingResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s answers %s as %s in %.1f ms over mutually authenticated TLS 1.3\n",
		r.AggregatorID, r.Collaborator, r.Address, r.Milliseconds)
	return err
}

func runPing(ctx context.Context, c *cli.Context) (*pingResult, error) {
	name := c.String("name")
	if t := c.Duration("timeout"); t <= 0 {
		return nil, ui.Usagef("--timeout is %v; it must be longer than nothing", t)
	}
	p, err := open(ctx, c, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // read only
	client, err := p.client(c, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }() // reports only that it was closed before
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	start := time.Now()
	if err := client.Ping(ctx); err != nil {
		return nil, err
	}
	return &pingResult{
		OK: true, Address: net.JoinHostPort(p.Plan.Network.Host, strconv.Itoa(p.Plan.Network.Port)),
		FederationID: p.Plan.FederationID, AggregatorID: p.Plan.AggregatorID, Collaborator: name,
		Milliseconds: float64(time.Since(start).Microseconds()) / 1000,
	}, nil
}
