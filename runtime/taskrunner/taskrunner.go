// Package taskrunner does a collaborator's local work: it takes the global
// tensors of a round as a safetensors file, and hands back a safetensors file
// and metrics.
//
// The kind of runner follows from the template in the plan: a model built into
// the program (builtin.go), or code of the workspace, which runs in a box (package
// sandbox) and is spoken to by the task protocol: any program (process.go),
// OpenFL's Python classes (python.go), a WASI module (wasm.go).
package taskrunner

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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
	Lend         bool   // Result.File will do, instead of a file at Output
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

	// File, only where Job.Lend asked for it and the runner can: the file that task
	// code wrote, instead of a copy of it at Output. The caller reads it from its
	// beginning, checks what it has read, since the task code may still change the
	// file, and closes it.
	File *os.File
}

// Options says what a runner works with.
type Options struct {
	Workspace  fs.FS  // the verified bundle's files, for runners of its code
	DataPath   string // the collaborator's data, as the plan's data.yaml or --data names it
	TaskRunner schema.Component
	DataLoader schema.Component
	Tasks      []schema.Task // tasks to check beforehand: functions, arguments, metrics
	Scratch    string        // a folder of its own for temporary files and the task code's log
	Log        *slog.Logger  // nil for none

	// For task code in a box.
	Name     string     // of the collaborator
	DataText string     // what data.yaml says where it names no folder, such as a number; used if DataPath is ""
	Opt      string     // the plan's collaborator.settings.opt_treatment
	Needs    schema.Box // the plan's section box
	Box      BoxOptions // the site's choices
}

// kinds lists the kinds of runner and the templates that they know.
var kinds = []struct {
	knows func(template string) bool
	build func(Options) (Runner, error)
}{
	{begins(builtinPrefix), newBuiltin},
	{begins("fx.process."), newProcess},
	{begins("fx.wasm."), newWasm},
	{isPython, newPython},
}

func begins(prefix string) func(string) bool {
	return func(template string) bool { return strings.HasPrefix(template, prefix) }
}

// New makes the runner that a plan names, after checking its settings and
// o.Tasks. It does not touch the data and runs no code of the workspace. Errors
// about the plan wrap schema.ErrInvalid; others say what the plan needs and this
// site does not allow.
func New(o Options) (Runner, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, k := range kinds {
		if k.knows(o.TaskRunner.Template) {
			return k.build(o)
		}
	}
	return nil, unknownRunner(o)
}

// invalidf makes an error about a section of the plan.
func invalidf(section, format string, a ...any) error {
	return fmt.Errorf("%w: %s: %s", schema.ErrInvalid, section, fmt.Sprintf(format, a...))
}
