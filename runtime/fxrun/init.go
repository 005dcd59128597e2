package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/workspace"
	"fx/cli/ui"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/schema"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "make a workspace's initial model, with its own code in the box",
		ArgsUsage: "WORKSPACE",
		Description: `What OpenFL users know as "fx plan initialize". The code that runs sees what would
be packed into the bundle and the data of --data, and nothing else; the model is
written where the plan's init_state_path says. Without --data the loader is told
what the first line of plan/data.yaml says (or --data-text).

Examples:
   fxrun init ward
   fxrun init ward --data ward/data/hospital-a --force
   fxrun init ward --data-text 1 --python /opt/torch/bin/python3`,
		Flags: append(append([]cli.Flag{dataFlag(), nameFlag(), logFlag()}, boxFlags()...),
			&cli.BoolFlag{Name: "force", Usage: "replace the model that is there"}),
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "WORKSPACE")
			if err != nil {
				return nil, err
			}
			return runInit(c.Context, c, args[0])
		}),
	}
}

type initResult struct {
	Model      string `json:"model"` // path of the file
	TaskRunner string `json:"task_runner"`
	Tensors    int    `json:"tensors"`
	Elements   int64  `json:"elements"`
	Bytes      int64  `json:"bytes"`
}

// Text is the result for people.
func (r *initResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "wrote %s: %d tensors, %d numbers, %s (%s)\n", ui.Clean(r.Model), r.Tensors, r.Elements, ui.Bytes(r.Bytes), ui.Clean(r.TaskRunner))
	return err
}

// defaultKeys are the folders of keys where fxctl puts them by itself: init
// needs none and is told of no others.
var defaultKeys = []string{"cert", "ca"}

func runInit(ctx context.Context, c *cli.Context, dir string) (_ *initResult, err error) {
	log, err := newLog(c)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, ui.Usagef("%q is no workspace folder: %v", dir, err)
	}
	defer func() { _ = root.Close() }() // read only
	plan, err := readPlan(root, dir)
	if err != nil {
		return nil, err
	}
	files, _, err := workspace.Pack(root.FS(), workspace.PackOptions{})
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, filepath.FromSlash(path.Clean(plan.Aggregator.InitStatePath)))
	if _, err := os.Lstat(name); err == nil && !c.Bool("force") { // before any code runs
		return nil, ui.Hint(fmt.Errorf("cannot write %q: %w", name, os.ErrExist), "fxrun init %s --force replaces it", ui.Clean(dir))
	}
	scratch, err := newScratch()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, discard(scratch, err)) }()
	runner, err := newRunner(c, runnerOptions{plan: plan, files: files, name: c.String("name"), scratch: scratch, log: log, private: defaultKeys})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, runner.Close()) }()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make initial model: %v", err)
	}
	if err := taskrunner.WriteInitialModel(ctx, runner, plan, scratch, name, c.Bool("force")); err != nil {
		return nil, err
	}
	return describeModel(name, plan.TaskRunner.Template)
}

// readPlan reads the plan of a workspace folder.
func readPlan(root *os.Root, dir string) (*schema.Resolved, error) {
	f, err := root.Open(bundle.PlanPath)
	if err != nil {
		return nil, ui.Usagef("%q is no workspace folder: %v", dir, err)
	}
	defer func() { _ = f.Close() }() // read only
	text, err := io.ReadAll(io.LimitReader(f, schema.MaxPlanBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the plan of %q: %v", dir, err)
	}
	plan, err := schema.ParsePlan(filepath.Join(dir, bundle.PlanPath), text)
	if err != nil {
		return nil, err
	}
	return plan.Resolve(schema.ResolveOptions{FQDN: hostName()})
}

func describeModel(name, template string) (*initResult, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the initial model: %v", err)
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the initial model: %v", err)
	}
	tensors, err := tensor.ScanModel(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("cannot read the initial model: %w", err)
	}
	r := &initResult{Model: name, TaskRunner: template, Tensors: len(tensors), Bytes: info.Size()}
	for _, t := range tensors {
		i, err := t.Shape()
		if err != nil {
			return nil, err
		}
		r.Elements += int64(i.Elements())
	}
	return r, nil
}
