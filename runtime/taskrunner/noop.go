package taskrunner

import (
	"context"
	"fmt"
	"io"

	"fx/runtime/tensor"
	"fx/schema"
)

// noOp proves that a federation's certificates and connections work. It reads no
// data, runs no code that could, and its model is empty.
type noOp struct{}

const noOpTask = "no_op_task"

// Init implements Runner: a model without tensors.
func (noOp) Init(ctx context.Context, out string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := tensor.WriteFile(out, true, func(w io.Writer) error { return tensor.WriteSafetensors(w, nil, nil) })
	if err != nil {
		return fmt.Errorf("cannot write initial model: %w", err)
	}
	return nil
}

// Run implements Runner: the metric ok is 1, with the weight of one sample.
func (noOp) Run(ctx context.Context, job Job) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	metrics, err := noOpMetrics(job.Task)
	if err != nil {
		return Result{}, err
	}
	return Result{Metrics: report(metrics, map[string]float64{"ok": 1}), DataSize: 1}, nil
}

// noOpMetrics checks a task and gives the metrics that it lists.
func noOpMetrics(t schema.Task) ([]string, error) {
	if t.Function != noOpTask {
		return nil, unknownFunction(t, []string{noOpTask})
	}
	s := &settings{where: "tasks." + t.Name + ".kwargs", m: t.Kwargs}
	metrics := s.choices("metrics", []string{"ok"})
	return metrics, s.done()
}

// Close implements Runner.
func (noOp) Close() error { return nil }
