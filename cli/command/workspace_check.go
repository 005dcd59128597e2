package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/workspace"
	"fx/cli/ui"
	"fx/schema"
	"fx/schema/check"
)

func workspaceCheck() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say everything that is wrong with a workspace folder, and where",
		ArgsUsage: "DIR",
		Description: `Checks the plan as "fxctl plan validate" does, the list of collaborators, data.yaml,
requirements.txt, the classes and functions of src that the plan names, the
initial model against the plan, and what must not lie in a workspace. No code is
run. Exit code 3 if there is an error, with --strict also if there is a warning.
Examples:
   fxctl workspace check ward
   fxctl workspace check ward --strict
   fxctl workspace check ward --json | jq -r '.findings[].id'`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "strict", Usage: "take warnings for errors"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "DIR")
			if err != nil {
				return nil, err
			}
			return runWorkspaceCheck(c.Context, workspaceCheckOptions{console: ui.From(c), dir: args[0], strict: c.Bool("strict")})
		}),
	}
}

type workspaceCheckOptions struct {
	console *ui.Console
	dir     string
	strict  bool
}

type workspaceCheckResult struct {
	Workspace string          `json:"workspace"`
	Valid     bool            `json:"valid"`
	Errors    int             `json:"errors"`
	Warnings  int             `json:"warnings"`
	Findings  schema.Findings `json:"findings"`
}

func runWorkspaceCheck(_ context.Context, o workspaceCheckOptions) (*workspaceCheckResult, error) {
	if info, err := os.Stat(o.dir); err != nil || !info.IsDir() {
		return nil, ui.Hint(ui.Usagef("%q is no workspace folder", o.dir), "fxctl workspace create DIR --template digits")
	}
	r, err := checkFolder(o.dir)
	if err != nil {
		return nil, err
	}
	r.Valid = r.Errors == 0 && (r.Warnings == 0 || !o.strict)
	if !r.Valid {
		return r, fmt.Errorf("cannot accept workspace %q: %s\n%w", o.dir, r.count(), r.Findings)
	}
	for _, warning := range r.Findings {
		o.console.Warnf("%s", warning)
	}
	return r, nil
}

// checkFolder checks a whole workspace. The error is about reading the folder at
// all.
func checkFolder(dir string) (_ *workspaceCheckResult, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot check workspace: %v", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	r := &workspaceCheckResult{Workspace: dir, Findings: schema.Findings{}}
	folder := workspace.OpenFolder(root.FS(), dir)
	if folder.PlanData != nil {
		var roster *check.Roster
		if folder.Roster != nil {
			roster = &check.Roster{Names: folder.Roster}
		}
		r.Findings = append(r.Findings, check.Plan(folder.PlanFile, folder.PlanData, roster)...)
		if plan, err := schema.ReadPlan(folder.PlanFile, folder.PlanData); err == nil {
			r.Findings = append(r.Findings, modelFindings(plan, dir)...)
		}
	}
	r.Findings = append(r.Findings, folder.Check(bundle.CheckPath)...)
	r.Findings.Sort()
	for _, f := range r.Findings {
		if f.Severity == schema.SeverityWarning {
			r.Warnings++
		} else {
			r.Errors++
		}
	}
	r.Valid = r.Errors == 0
	return r, nil
}

// count says how many findings there are.
func (r *workspaceCheckResult) count() string {
	word := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	switch {
	case r.Warnings == 0:
		return word(r.Errors, "error")
	case r.Errors == 0:
		return word(r.Warnings, "warning")
	}
	return word(r.Errors, "error") + ", " + word(r.Warnings, "warning")
}

// Text is the result for people. What is wrong is an error, and not repeated.
func (r *workspaceCheckResult) Text(w io.Writer) error {
	if !r.Valid {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: valid\n", ui.Clean(r.Workspace))
	return err
}
