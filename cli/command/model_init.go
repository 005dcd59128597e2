package command

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
)

func modelInit() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "write a workspace's initial model, where its plan's init_state_path says",
		ArgsUsage: "WORKSPACE",
		Description: `For plans whose task runner is built into fx ("fx.builtin."); what OpenFL users
know as "fx plan initialize". The same plan gives the same bytes. Examples:
   fxctl model init ward
   fxctl model init ward --force`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "replace the model that is there"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "WORKSPACE")
			if err != nil {
				return nil, err
			}
			return runModelInit(c.Context, modelInitOptions{console: ui.From(c), workspace: args[0], force: c.Bool("force")})
		}),
	}
}

type modelInitOptions struct {
	console   *ui.Console
	workspace string
	force     bool
}

type modelInitResult struct {
	Model      string `json:"model"` // path of the file
	TaskRunner string `json:"task_runner"`
	Tensors    int    `json:"tensors"`
	Elements   int64  `json:"elements"`
	Bytes      int64  `json:"bytes"`
}

func runModelInit(ctx context.Context, o modelInitOptions) (*modelInitResult, error) {
	plan, err := resolveWorkspace(o.console, o.workspace)
	if err != nil {
		return nil, err
	}
	if err := writeInitialModel(ctx, plan, o.workspace, o.force); err != nil {
		return nil, alreadyThere(err, fmt.Sprintf("fxctl model init %s --force", o.workspace))
	}
	result := &modelInitResult{Model: filepath.Join(o.workspace, plan.Aggregator.InitStatePath), TaskRunner: plan.TaskRunner.Template}
	model, err := openModel(result.Model)
	if err != nil {
		return nil, err
	}
	defer func() { _ = model.Close() }() // read only
	result.Tensors, result.Bytes = len(model.named), model.size
	for _, n := range model.named {
		info, err := n.Shape()
		if err != nil {
			return nil, err
		}
		result.Elements += int64(info.Elements())
	}
	return result, nil
}

// Text is the result for people.
func (r *modelInitResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "wrote %s: %d tensors, %d numbers, %s (%s)\n", ui.Clean(r.Model), r.Tensors, r.Elements, ui.Bytes(r.Bytes), r.TaskRunner)
	return err
}
