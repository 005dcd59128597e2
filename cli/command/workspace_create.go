package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/bundle/workspace"
	"fx/cli/ui"
	"fx/runtime/taskrunner"
	"fx/schema"
)

func workspaceCreate() *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "create a workspace from a template",
		ArgsUsage: "DIR",
		Description: `DIR must not exist, or be empty. "fxctl workspace templates" lists the
templates. What is left to do is said at the end: the code of a workspace runs in
the box of fxrun only, so that "fxrun init" makes the initial model of a template
that brings code. Examples:
   fxctl workspace create ward --template digits
   fxctl workspace create ward --template digits --collaborator north --collaborator south
   fxctl workspace create check --template no-op --agg-addr agg.example.org --agg-port 8443`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "template", Usage: "start from template `NAME`"},
			&cli.StringSliceFlag{Name: "collaborator", Usage: "`NAME` of a collaborator (may be repeated; default: hospital-a, hospital-b, hospital-c)"},
			&cli.StringFlag{Name: "agg-addr", Usage: "`HOST` name or IP address by which collaborators reach the aggregator (default: localhost)"},
			&cli.IntFlag{Name: "agg-port", Usage: "port of the aggregator (default: 50051)"},
			&cli.IntFlag{Name: "rounds", Usage: "rounds to train (default: the template's)"},
			&cli.StringFlag{Name: "model", Usage: "`NAME` of one of the template's models (default: its first)"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "DIR")
			if err != nil {
				return nil, err
			}
			if err := ui.Require(c, "template"); err != nil {
				return nil, err
			}
			for _, flag := range []string{"agg-port", "rounds"} {
				if c.IsSet(flag) && c.Int(flag) == 0 {
					return nil, ui.Usagef("--%s is 0; a number from 1 was expected", flag)
				}
			}
			return runWorkspaceCreate(c.Context, workspaceCreateOptions{
				console: ui.From(c), dir: args[0],
				template: workspace.TemplateOptions{
					Template: c.String("template"), Model: c.String("model"), Collaborators: c.StringSlice("collaborator"),
					Host: c.String("agg-addr"), Port: c.Int("agg-port"), Rounds: c.Int("rounds"),
				},
			})
		}),
	}
}

type workspaceCreateOptions struct {
	console  *ui.Console
	dir      string
	template workspace.TemplateOptions
}

type workspaceCreateResult struct {
	Workspace     string   `json:"workspace"`
	Template      string   `json:"template"`
	FederationID  string   `json:"federation_id"`
	Aggregator    string   `json:"aggregator"` // host:port
	Rounds        int      `json:"rounds"`
	TaskRunner    string   `json:"task_runner"`
	InitialModel  string   `json:"initial_model"` // path inside the workspace; "" while there is none
	Collaborators []string `json:"collaborators"`
	Files         []string `json:"files"`           // paths inside the workspace
	Needs         []string `json:"needs,omitempty"` // what must be installed where the tasks run
	Next          []string `json:"next"`            // what to type, in order
}

func runWorkspaceCreate(ctx context.Context, o workspaceCreateOptions) (*workspaceCreateResult, error) {
	files, err := workspace.Render(o.template)
	if errors.Is(err, schema.ErrInvalid) { // here the document is the command line
		return nil, ui.Hint(ui.Usagef("cannot create workspace: %s", strings.TrimPrefix(err.Error(), schema.ErrInvalid.Error()+": ")), "fxctl workspace create --help")
	}
	if err != nil {
		return nil, err
	}
	template, err := workspace.FindTemplate(o.template.Template)
	if err != nil {
		return nil, err
	}
	result := &workspaceCreateResult{Workspace: o.dir, Template: template.Name, Needs: template.Needs}
	if template.Build != "" {
		result.Next = append(result.Next, fmt.Sprintf("(cd %s && %s)", o.dir, template.Build))
	}
	for _, f := range files {
		result.Files = append(result.Files, f.Path)
	}
	err = workspace.Write(o.dir, files, func(folder string) error { return result.finish(ctx, o.console, folder) })
	if err != nil {
		return nil, err
	}
	result.Next = append(result.Next, "fxctl workspace check "+o.dir)
	for _, command := range result.Next {
		o.console.Infof("next: %s", command)
	}
	return result, nil
}

// finish reads the new plan as any other, and makes its initial model if that takes
// no code of the workspace.
func (r *workspaceCreateResult) finish(ctx context.Context, k *ui.Console, folder string) error {
	plan, err := resolveWorkspace(k, folder)
	if err != nil {
		return err
	}
	cols := filepath.Join(folder, "plan", "cols.yaml")
	data, err := readInput(k, cols, schema.MaxPlanBytes)
	if err != nil {
		return err
	}
	if r.Collaborators, err = schema.ParseCols(cols, data); err != nil {
		return err
	}
	r.FederationID, r.Rounds, r.TaskRunner = plan.FederationID, plan.Aggregator.Rounds, plan.TaskRunner.Template
	r.Aggregator = hostPort(plan.Network)
	if !builtIn(r.TaskRunner) {
		r.Next = append(r.Next, makeModel(r.TaskRunner, r.Workspace))
		return nil
	}
	r.InitialModel = filepath.ToSlash(plan.Aggregator.InitStatePath)
	r.Files = append(r.Files, r.InitialModel)
	return writeInitialModel(ctx, plan, folder, false)
}

// resolveWorkspace reads plan/plan.yaml of a workspace folder.
func resolveWorkspace(k *ui.Console, folder string) (*schema.Resolved, error) {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil, ui.Usagef("%q is no workspace folder", folder)
	}
	f, err := readPlan(k, folder)
	if err != nil {
		return nil, err
	}
	plan, err := schema.ParsePlan(f.name, f.data)
	if err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "" // a plan that needs it says so
	}
	return plan.Resolve(schema.ResolveOptions{FQDN: name})
}

// builtIn tells whether a task runner is a part of fx. All others run code of the
// workspace, which fxctl never does.
func builtIn(taskRunner string) bool { return strings.HasPrefix(taskRunner, "fx.builtin.") }

// makeModel is the command that makes the initial model of a workspace with that
// task runner.
func makeModel(taskRunner, dir string) string {
	if builtIn(taskRunner) {
		return "fxctl model init " + dir
	}
	return "fxrun init " + dir
}

// writeInitialModel writes the plan's init_state_path with its task runner.
func writeInitialModel(ctx context.Context, plan *schema.Resolved, folder string, replace bool) error {
	if !builtIn(plan.TaskRunner.Template) {
		return ui.Hint(ui.Usagef("cannot make initial model: the task runner %q is code of the workspace, and fxctl runs none", plan.TaskRunner.Template),
			"%s", makeModel(plan.TaskRunner.Template, folder))
	}
	runner, err := taskrunner.New(taskrunner.Options{TaskRunner: plan.TaskRunner, DataLoader: plan.DataLoader, Tasks: plan.Tasks})
	if err != nil {
		return err
	}
	path := filepath.Join(folder, filepath.FromSlash(plan.Aggregator.InitStatePath))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make initial model: %v", err)
	}
	return errors.Join(taskrunner.WriteInitialModel(ctx, runner, plan, "", path, replace), runner.Close())
}

// Text is the result for people.
func (r *workspaceCreateResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "created workspace %s from template %s\n", ui.Clean(r.Workspace), r.Template)
	if err != nil {
		return err
	}
	model := r.InitialModel
	if model == "" {
		model = "none yet"
	}
	rows := [][]string{
		{"federation", r.FederationID},
		{"aggregator", r.Aggregator},
		{"collaborators", strings.Join(r.Collaborators, ", ")},
		{"rounds", fmt.Sprint(r.Rounds)},
		{"task runner", r.TaskRunner},
		{"initial model", model},
	}
	if len(r.Needs) > 0 {
		rows = append(rows, []string{"needs", strings.Join(r.Needs, ", ")})
	}
	return ui.Table(w, nil, rows)
}
