package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/codec"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/schema"
)

func evaluateCommand() *cli.Command {
	return &cli.Command{
		Name:      "evaluate",
		Usage:     "judge a model on data of your own, with the plan's validation task",
		ArgsUsage: "MODEL",
		Description: `Runs the plan's first task that validates the global model (or --task) on the
given model and data. Nothing is sent.

Examples:
   fxrun evaluate save/final.safetensors --bundle ward.fxb --data /srv/held-out
   fxrun evaluate save/best.pbuf --bundle ward.fxb --data /srv/held-out --json`,
		Flags: append(slices.Concat(participantFlags(), boxFlags()), dataFlag(), logFlag(),
			&cli.StringFlag{Name: "task", Usage: "run the plan's task `NAME` (default: the first that validates the global model)"}),
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "MODEL")
			if err != nil {
				return nil, err
			}
			return runEvaluate(c.Context, c, args[0])
		}),
	}
}

type evaluateResult struct {
	Model   string              `json:"model"`
	Task    string              `json:"task"`
	Samples int                 `json:"samples"`
	Metrics []taskrunner.Metric `json:"metrics"`
}

func (r *evaluateResult) Text(w io.Writer) error {
	rows := [][]string{{"task", r.Task}, {"samples", strconv.Itoa(r.Samples)}}
	for _, m := range r.Metrics {
		rows = append(rows, []string{m.Name, fmt.Sprintf("%.4f", m.Value)})
	}
	return ui.Table(w, nil, rows)
}

func runEvaluate(ctx context.Context, c *cli.Context, model string) (result *evaluateResult, err error) {
	log, err := newLog(c)
	if err != nil {
		return nil, err
	}
	p, err := open(ctx, c, hostName())
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // read only
	task, err := validation(p.Plan.Tasks, c.String("task"))
	if err != nil {
		return nil, err
	}
	r, err := p.rehearsal(c, "evaluation", log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close(err)) }()
	inputs := filepath.Join(r.scratch, "evaluated.safetensors")
	if err := toSafetensors(p.Model.Pipeline, model, inputs); err != nil {
		return nil, fmt.Errorf("cannot evaluate model %q: %w", model, err)
	}
	got, err := r.run(ctx, 0, task, inputs)
	if err != nil {
		return nil, err
	}
	return &evaluateResult{Model: model, Task: task.Name, Samples: got.DataSize, Metrics: got.Metrics}, nil
}

// validation finds the task to judge a model with.
func validation(tasks []schema.Task, name string) (schema.Task, error) {
	i := slices.IndexFunc(tasks, func(t schema.Task) bool {
		return t.Name == name || name == "" && strings.Contains(t.Function, "valid") && t.Apply() == "global"
	})
	if i < 0 {
		var names []string
		for _, t := range tasks {
			names = append(names, t.Name)
		}
		return schema.Task{}, ui.Usagef("the plan has no such task to validate with; --task is one of %s", strings.Join(names, ", "))
	}
	return tasks[i], nil
}

// toSafetensors copies a model of either format to a safetensors file. The
// aggregator encodes a .pbuf with the plan's pipeline.
func toSafetensors(p codec.Pipeline, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // read only
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if strings.HasSuffix(from, ".pbuf") {
		tensors, err := tensor.ScanModel(in, info.Size())
		if err != nil {
			return err
		}
		return tensor.WriteFile(to, true, func(w io.Writer) error { return codec.ReadModel(w, p, in, tensors) })
	}
	if _, err := tensor.OpenSafetensors(in, info.Size()); err != nil {
		return err
	}
	return tensor.WriteFile(to, true, func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(in, 0, info.Size()))
		return err
	})
}
