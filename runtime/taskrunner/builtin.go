package taskrunner

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"fx/schema"
)

const builtinPrefix = "fx.builtin."

// models holds one constructor per template that learns. It reads the settings
// of its model; the caller checks that nothing else was set.
var models = map[string]func(s *settings) model{
	builtinPrefix + "SoftmaxRegression": newSoftmax,
	builtinPrefix + "MLP":               newMLP,
}

// Templates that take part without learning.
const (
	templateNoOp      = builtinPrefix + "NoOp"
	templateNoData    = builtinPrefix + "NoData"
	templateCSVLoader = builtinPrefix + "CSVDataLoader"
)

func runnerNames() []string {
	names := append(slices.Collect(maps.Keys(models)), templateNoOp)
	slices.Sort(names)
	return names
}

func newBuiltin(o Options) (Runner, error) {
	taskRunner := &settings{where: "task_runner", m: o.TaskRunner.Settings}
	if o.TaskRunner.Template == templateNoOp {
		if err := taskRunner.done(); err != nil {
			return nil, err
		}
		if o.DataLoader.Template != templateNoData {
			return nil, wrongLoader(o, templateNoData)
		}
		if err := (&settings{where: "data_loader", m: o.DataLoader.Settings}).done(); err != nil {
			return nil, err
		}
		for _, t := range o.Tasks {
			if _, err := noOpMetrics(t); err != nil {
				return nil, err
			}
		}
		return noOp{}, nil
	}
	build, known := models[o.TaskRunner.Template]
	if !known {
		return nil, invalidf("task_runner", "%q is no built-in task runner; allowed: %s%s", o.TaskRunner.Template, strings.Join(runnerNames(), ", "), didYouMean(o.TaskRunner.Template, runnerNames()))
	}
	m := build(taskRunner)
	seed := taskRunner.whole("seed", 0, math.MinInt, math.MaxInt)
	if err := taskRunner.done(); err != nil {
		return nil, err
	}
	if n := elements(m); n > maxElements {
		return nil, invalidf("task_runner", "the model would have %d values; at most %d are allowed", n, maxElements)
	}
	if o.DataLoader.Template != templateCSVLoader {
		return nil, wrongLoader(o, templateCSVLoader)
	}
	loader, err := newCSVLoader(o.DataPath, o.DataLoader.Settings, m)
	if err != nil {
		return nil, err
	}
	for _, t := range o.Tasks {
		if _, err := lookUp(t); err != nil {
			return nil, err
		}
	}
	return &builtin{model: m, seed: seed, loader: loader, log: o.Log}, nil
}

func wrongLoader(o Options, allowed string) error {
	return invalidf("data_loader", "%q does not go with task runner %q; allowed: %s%s", o.DataLoader.Template, o.TaskRunner.Template, allowed, didYouMean(o.DataLoader.Template, []string{allowed}))
}

// function is something that the models' runner can do.
type function struct {
	check func(schema.Task) error // of the arguments
	run   func(*builtin, context.Context, Job) (Result, error)
}

// functions holds them by the plan's word for them.
var functions = map[string]function{
	"train_task":    {checkTrain, (*builtin).train},
	"validate_task": {checkValidate, (*builtin).validate},
}

// lookUp finds a task's function and checks its arguments.
func lookUp(t schema.Task) (function, error) {
	f, known := functions[t.Function]
	if !known {
		return f, unknownFunction(t, slices.Sorted(maps.Keys(functions)))
	}
	return f, f.check(t)
}

// unknownFunction refuses a task whose function the runner does not have.
func unknownFunction(t schema.Task, allowed []string) error {
	return invalidf("tasks."+t.Name, "the task runner has no function %q; allowed: %s%s", t.Function, strings.Join(allowed, ", "), didYouMean(t.Function, allowed))
}

// Init implements Runner.
func (b *builtin) Init(ctx context.Context, out string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := writeParams(out, b.model.tensors(), b.model.initial(b.seed)); err != nil {
		return fmt.Errorf("cannot write initial model: %w", err)
	}
	return nil
}

// Run implements Runner.
func (b *builtin) Run(ctx context.Context, job Job) (Result, error) {
	f, err := lookUp(job.Task)
	if err != nil {
		return Result{}, err
	}
	return f.run(b, ctx, job)
}

// Close implements Runner.
func (b *builtin) Close() error { return nil }

// dataSize is the weight of a task's result by OpenFL's rule, which looks at the
// task's name; where the name says nothing, its function does.
func dataSize(t schema.Task, training, validation func() int) int {
	for _, word := range []string{t.Name, t.Function} {
		if strings.Contains(word, "valid") {
			return validation()
		}
		if strings.Contains(word, "train") {
			return training()
		}
	}
	return -1
}
