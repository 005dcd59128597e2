package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/sandbox"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "which layers of the box work here, tried for real",
		Description: `Tries every layer of the box that task code runs in, and says what to change
where one is missing. Needs no bundle and touches no data. The exit code is 0 if
a box of the level asked for works here, and 1 if not.

Examples:
   fxrun doctor
   fxrun doctor --box confined
   fxrun doctor --json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "box", Value: string(sandbox.Full), Usage: "the `LEVEL` that must work: full or confined"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			level := sandbox.Level(c.String("box"))
			if level != sandbox.Full && level != sandbox.Confined {
				return nil, ui.Usagef("--box is %q; it is %s or %s", c.String("box"), sandbox.Full, sandbox.Confined)
			}
			r := runDoctor(c.Context, level)
			return r, r.judge()
		}),
	}
}

type doctorResult struct {
	OK     bool              `json:"ok"`     // a box of the level works here
	Level  string            `json:"level"`  // what was asked for
	Levels []sandbox.Finding `json:"levels"` // the strongest first
	Layers []sandbox.Finding `json:"layers"` // from the outermost to the innermost
}

func runDoctor(ctx context.Context, level sandbox.Level) *doctorResult {
	r := &doctorResult{Level: string(level)}
	for _, f := range sandbox.Probe(ctx) {
		if !f.Whole {
			r.Layers = append(r.Layers, f)
			continue
		}
		r.Levels = append(r.Levels, f)
		r.OK = r.OK || f.OK && f.Layer == r.Level
	}
	return r
}

// judge is the error where the level asked for does not work.
func (r *doctorResult) judge() error {
	for _, f := range r.Levels {
		if f.Layer != r.Level || f.OK {
			continue
		}
		err := fmt.Errorf("cannot make a box of level %q here: %s", r.Level, f.Detail)
		if f.Fix != "" {
			err = ui.Hint(err, "%s", f.Fix)
		}
		return err
	}
	return nil
}

func (r *doctorResult) Text(w io.Writer) error {
	var rows [][]string
	for _, f := range r.Layers {
		state := "ok"
		if !f.OK {
			state = "missing"
		}
		rows = append(rows, []string{f.Layer, state, cmp.Or(f.Detail, "-")})
	}
	if err := ui.Table(w, []string{"LAYER", "STATE", "DETAIL"}, rows); err != nil {
		return err
	}
	said := map[string]bool{"": true}
	for _, f := range append(r.Layers, r.Levels...) {
		if !f.OK && !said[f.Fix] {
			said[f.Fix] = true
			if _, err := fmt.Fprintf(w, "\nTo get %s: %s\n", f.Layer, ui.Clean(f.Fix)); err != nil {
				return err
			}
		}
	}
	for i, f := range r.Levels {
		works, gap := "yes", ""
		if !f.OK {
			works = "no: " + f.Detail
		}
		if i == 0 {
			gap = "\n"
		}
		if _, err := fmt.Fprintf(w, "%s%s: %s\n", gap, f.Layer, ui.Clean(works)); err != nil {
			return err
		}
	}
	return nil
}
