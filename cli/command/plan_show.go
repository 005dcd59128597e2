package command

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/schema"
)

func planShow() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "print a plan with its defaults, host and port filled in",
		ArgsUsage: "PLAN",
		Description: `PLAN is a file, a workspace folder, or - for standard input. The text is the one
that OpenFL makes of the same plan, byte for byte: its canonical form. The plan
need not be valid; see "fxctl plan validate". Examples:
   fxctl plan show ward
   fxctl plan show plan.yaml --json`,
		Flags: []cli.Flag{fqdnFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "PLAN")
			if err != nil {
				return nil, err
			}
			return runPlanShow(c.Context, planShowOptions{console: ui.From(c), plan: args[0], resolve: resolveOptions(c)})
		}),
	}
}

type planShowOptions struct {
	console *ui.Console
	plan    string
	resolve schema.ResolveOptions
}

type planShowResult struct {
	schema.IDs
	Plan any `json:"plan"` // merged; infinities and NaN as YAML spells them

	config *schema.Node
}

func runPlanShow(_ context.Context, o planShowOptions) (*planShowResult, error) {
	ids, config, err := identify(o.console, o.plan, o.resolve)
	if err != nil {
		return nil, err
	}
	return &planShowResult{IDs: ids, Plan: finite(config.Any()), config: config}, nil
}

// identify reads a plan and computes its ids.
func identify(k *ui.Console, arg string, o schema.ResolveOptions) (schema.IDs, *schema.Node, error) {
	f, err := readPlan(k, arg)
	if err != nil {
		return schema.IDs{}, nil, err
	}
	p, err := schema.ReadPlan(f.name, f.data)
	if err != nil {
		return schema.IDs{}, nil, fmt.Errorf("cannot read plan %q:\n%w", f.name, err)
	}
	ids, config, err := p.Identify(o)
	if err != nil {
		return schema.IDs{}, nil, fmt.Errorf("cannot resolve plan %q:\n%w", f.name, err)
	}
	if addr := p.Config().At("network", "settings", "agg_addr"); addr.Text == "auto" {
		k.Infof("agg_addr is auto: taking the host name %q; --fqdn names another", ids.Host)
	}
	return ids, config, nil
}

// finite replaces what JSON has no number for.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case math.IsInf(v, 1):
			return ".inf"
		case math.IsInf(v, -1):
			return "-.inf"
		case math.IsNaN(v):
			return ".nan"
		}
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = finite(v[k])
		}
	}
	return v
}

// Text is the canonical dump.
func (r *planShowResult) Text(w io.Writer) error {
	_, err := w.Write(schema.Dump(r.config))
	return err
}
