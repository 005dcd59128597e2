// Package taskrunner does a collaborator's local work: it takes the global
// tensors of a round as a safetensors file, and hands back a safetensors file
// and metrics.
//
// The kind of runner follows from the template in the plan. This version has one
// kind, the models built into the program, whose templates begin with
// "fx.builtin."; see builtin.go for its tables.
package taskrunner

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"fx/schema"
)

// Runner does the tasks of one collaborator, one at a time.
type Runner interface {
	// Init writes the initial model as a safetensors file at out.
	Init(ctx context.Context, out string) error
	// Run does one task. The same job on the same data gives the same bytes, so a
	// task that was interrupted can simply be run again.
	Run(ctx context.Context, job Job) (Result, error)
	// Close lets go of what the runner holds.
	Close() error
}

// Job is one task of one round.
type Job struct {
	Task         schema.Task
	Round        int
	Collaborator string
	Inputs       string // path of the safetensors file with the task's tensors; "" if it needs none
	Output       string // path for the safetensors file that the task makes
}

// Metric is one reported number.
type Metric struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Result is what came of a job.
type Result struct {
	Metrics  []Metric // those that the task lists under metrics, in that order
	DataSize int      // samples behind the result: its weight in the average
	Tensors  bool     // whether Output was written
}

// Options says what a runner works with.
type Options struct {
	Workspace  fs.FS  // the verified bundle's files, for runners of its code
	DataPath   string // the collaborator's data, as the plan's data.yaml or --data names it
	TaskRunner schema.Component
	DataLoader schema.Component
	Tasks      []schema.Task // tasks to check beforehand: functions, arguments, metrics
	Scratch    string        // a folder for temporary files
	Log        *slog.Logger  // nil for none
}

// kinds lists the kinds of runner by what their templates begin with.
var kinds = []struct {
	prefix string
	build  func(Options) (Runner, error)
}{
	{builtinPrefix, newBuiltin},
}

// New makes the runner that a plan names, after checking its settings and
// o.Tasks. It does not touch the data. Errors wrap schema.ErrInvalid.
func New(o Options) (Runner, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, k := range kinds {
		if strings.HasPrefix(o.TaskRunner.Template, k.prefix) {
			return k.build(o)
		}
	}
	hint := ""
	if s := schema.DidYouMean(o.TaskRunner.Template, runnerNames()); s != "" {
		hint = "; " + s
	}
	return nil, invalidf("task_runner", "%q is no task runner that can be run; allowed: %s%s", o.TaskRunner.Template, strings.Join(runnerNames(), ", "), hint)
}

// invalidf makes an error about a section of the plan.
func invalidf(section, format string, a ...any) error {
	return fmt.Errorf("%w: %s: %s", schema.ErrInvalid, section, fmt.Sprintf(format, a...))
}
