package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/schema"
	"fx/schema/check"
)

func planValidate() *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "say everything that is wrong with a plan, and where",
		ArgsUsage: "PLAN",
		Description: `PLAN is a file, a workspace folder (its plan/plan.yaml, plan/cols.yaml and
plan/data.yaml), or - for standard input. Exit code 3 if there is an error;
warnings count only with --strict. Examples:
   fxctl plan validate ward
   fxctl plan validate ward --strict
   fxctl plan validate plan.yaml --cols cols.yaml
   fxctl plan validate ward --json | jq -r '.findings[].message'`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "cols", Usage: "check the plan against the list of collaborators in `FILE`", TakesFile: true},
			&cli.BoolFlag{Name: "strict", Usage: "accept no plan with warnings"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "PLAN")
			if err != nil {
				return nil, err
			}
			return runPlanValidate(c.Context, planValidateOptions{console: ui.From(c), plan: args[0], cols: c.String("cols"), strict: c.Bool("strict")})
		}),
	}
}

type planValidateOptions struct {
	console *ui.Console
	plan    string
	cols    string // "" for the workspace's own, if there is one
	strict  bool   // warnings count
}

type planValidateResult struct {
	Valid    bool            `json:"valid"`
	Findings schema.Findings `json:"findings"`

	name string
}

func runPlanValidate(_ context.Context, o planValidateOptions) (*planValidateResult, error) {
	if o.plan == "-" && o.cols == "-" {
		return nil, ui.Usagef("PLAN and --cols cannot both be standard input")
	}
	f, err := readPlan(o.console, o.plan)
	if err != nil {
		return nil, err
	}
	roster, found, err := readRoster(o, f)
	if err != nil {
		return nil, err
	}
	data, err := dataFindings(o.console, f)
	if err != nil {
		return nil, err
	}
	found = slices.Concat(check.Plan(f.name, f.data, roster), found, data)
	if dir := workspaceOf(o.plan, f); dir != "" {
		if plan, err := schema.ReadPlan(f.name, f.data); err == nil {
			found = append(found, modelFindings(plan, dir)...)
		}
	}
	result := &planValidateResult{Findings: found, name: f.name}
	if result.Findings == nil {
		result.Findings = schema.Findings{}
	}
	if found.Err() != nil || o.strict && len(found) > 0 {
		return result, fmt.Errorf("cannot accept plan %q: %s\n%w", f.name, count(found), found)
	}
	result.Valid = true
	for _, f := range found {
		f.Severity = "" // Warnf says it
		o.console.Warnf("%s", f)
	}
	return result, nil
}

// readRoster reads the list of collaborators: --cols, else that of the
// workspace. What is wrong with it comes back as findings.
func readRoster(o planValidateOptions, f *planFile) (*check.Roster, schema.Findings, error) {
	name := o.cols
	if name == "" {
		if f.dir == "" {
			return nil, nil, nil
		}
		name = filepath.Join(f.dir, "cols.yaml")
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil
		}
	}
	data, err := readInput(o.console, name, schema.MaxPlanBytes)
	if err != nil {
		return nil, nil, err
	}
	nodes, err := schema.ReadCols(name, data)
	if found, ok := errors.AsType[schema.Findings](err); ok {
		return nil, found, nil
	}
	return &check.Roster{File: name, Names: nodes}, nil, err
}

// dataFindings says what is wrong with plan/data.yaml of a workspace, if there
// is one.
func dataFindings(k *ui.Console, f *planFile) (schema.Findings, error) {
	name := filepath.Join(f.dir, "data.yaml")
	if _, err := os.Stat(name); f.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	data, err := readInput(k, name, schema.MaxPlanBytes)
	if err != nil {
		return nil, err
	}
	_, err = schema.ParseData(name, data)
	if found, ok := errors.AsType[schema.Findings](err); ok {
		return found, nil
	}
	return nil, err
}

// count is the number of errors and, if there are any, of warnings.
func count(found schema.Findings) string {
	errs, warnings := 0, 0
	for _, f := range found {
		if f.Severity == schema.SeverityWarning {
			warnings++
		} else {
			errs++
		}
	}
	plural := func(n int, word string) string {
		if n == 1 {
			return "1 " + word
		}
		return fmt.Sprintf("%d %ss", n, word)
	}
	switch {
	case errs == 0:
		return plural(warnings, "warning")
	case warnings == 0:
		return plural(errs, "error")
	}
	return plural(errs, "error") + ", " + plural(warnings, "warning")
}

// Text is the result for people. What is wrong is an error, and not repeated.
func (r *planValidateResult) Text(w io.Writer) error {
	if !r.Valid {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: valid\n", ui.Clean(r.name))
	return err
}
