package command

import (
	"context"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/schema"
)

func planID() *cli.Command {
	return &cli.Command{
		Name:      "id",
		Usage:     "print the ids, the host and the port that follow from a plan",
		ArgsUsage: "PLAN",
		Description: `PLAN is a file, a workspace folder, or - for standard input (named plan.yaml).
The ids are those that OpenFL computes; the file's base name is part of them. The
plan need not be valid. Examples:
   fxctl plan id ward
   fxctl plan id ward --json | jq -r .federation_id
   fxctl plan id plan.yaml --fqdn agg.example.org`,
		Flags: []cli.Flag{fqdnFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "PLAN")
			if err != nil {
				return nil, err
			}
			return runPlanID(c.Context, planIDOptions{console: ui.From(c), plan: args[0], resolve: resolveOptions(c)})
		}),
	}
}

type planIDOptions struct {
	console *ui.Console
	plan    string
	resolve schema.ResolveOptions
}

type planIDResult struct{ schema.IDs }

func runPlanID(_ context.Context, o planIDOptions) (*planIDResult, error) {
	f, err := loadPlan(o.console, o.plan)
	if err != nil {
		return nil, err
	}
	ids, _, err := f.identify(o.console, o.resolve)
	if err != nil {
		return nil, err
	}
	return &planIDResult{ids}, nil
}

// Text is the result for people.
func (r *planIDResult) Text(w io.Writer) error {
	return ui.Table(w, nil, [][]string{
		{"federation", r.FederationID},
		{"aggregator", r.AggregatorID},
		{"host", r.Host},
		{"port", strconv.Itoa(r.Port)},
		{"hash", r.Hash},
	})
}
