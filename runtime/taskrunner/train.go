package taskrunner

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"fx/schema"
)

// builtin runs one of the built-in models on CSV data.
type builtin struct {
	model  model
	seed   int
	loader *csvLoader
	log    *slog.Logger
}

// trainArguments are the kwargs of train_task.
type trainArguments struct {
	epochs  int
	lr      float64
	metrics []string
}

func parseTrain(t schema.Task) (trainArguments, error) {
	s := &settings{where: "tasks." + t.Name + ".kwargs", m: t.Kwargs}
	a := trainArguments{epochs: s.whole("epochs", 1, 1, maxCount), lr: s.positive("lr", 0.1), metrics: s.choices("metrics", []string{"loss"})}
	s.oneOf("apply", []string{"global", "local"}) // says nothing about training
	return a, s.done()
}

func checkTrain(t schema.Task) error {
	_, err := parseTrain(t)
	return err
}

// parseValidate gives the metrics that a validate_task lists. Whether it looks at
// the global or at the locally trained model (apply) is the caller's choice of
// Inputs.
func parseValidate(t schema.Task) ([]string, error) {
	s := &settings{where: "tasks." + t.Name + ".kwargs", m: t.Kwargs}
	s.oneOf("apply", []string{"global", "local"})
	metrics := s.choices("metrics", []string{"accuracy", "loss"})
	return metrics, s.done()
}

func checkValidate(t schema.Task) error {
	_, err := parseValidate(t)
	return err
}

// train is plain minibatch gradient descent on the mean cross-entropy. It has no
// state that outlives the task, which is OpenFL's opt_treatment RESET. The order
// of samples depends on seed, collaborator, round and epoch, nothing else.
func (b *builtin) train(ctx context.Context, job Job) (Result, error) {
	a, err := parseTrain(job.Task)
	if err != nil {
		return Result{}, err
	}
	p, err := readParams(job.Inputs, b.model.tensors())
	if err != nil {
		return Result{}, err
	}
	data, err := b.loader.train(ctx)
	if err != nil {
		return Result{}, err
	}
	var loss float64
	sgd := &descent{model: b.model, p: p, gradient: zeros(b.model), lr: a.lr}
	for epoch := range a.epochs {
		order := random("batches", b.seed, job.Collaborator, job.Round, epoch).Perm(data.rows())
		if loss, err = sgd.epoch(ctx, data, order, b.loader.batch); err != nil {
			return Result{}, err
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return Result{}, fmt.Errorf("training diverged: the loss is %v after epoch %d of %d; a smaller lr than %v may help", loss, epoch+1, a.epochs, a.lr)
		}
	}
	for i, info := range b.model.tensors() {
		if j := slices.IndexFunc(p[i], func(v float64) bool { return !(math.Abs(v) <= math.MaxFloat32) }); j >= 0 {
			return Result{}, fmt.Errorf("training diverged: element %d of tensor %q is %v, which is no float32; a smaller lr than %v may help", j, info.Name, p[i][j], a.lr)
		}
	}
	if err := writeParams(job.Output, b.model.tensors(), p); err != nil {
		return Result{}, err
	}
	size, err := b.dataSize(ctx, job)
	if err != nil {
		return Result{}, err
	}
	b.log.Debug("trained", "round", job.Round, "samples", data.rows(), "epochs", a.epochs, "loss", loss)
	return Result{Metrics: report(a.metrics, map[string]float64{"loss": loss}), DataSize: size, Tensors: true}, nil
}

// validate measures the model in Inputs on the validation data.
func (b *builtin) validate(ctx context.Context, job Job) (Result, error) {
	metrics, err := parseValidate(job.Task)
	if err != nil {
		return Result{}, err
	}
	p, err := readParams(job.Inputs, b.model.tensors())
	if err != nil {
		return Result{}, err
	}
	data, err := b.loader.valid(ctx)
	if err != nil {
		return Result{}, err
	}
	accuracy, loss, err := measure(ctx, b.model, p, data, b.loader.batch)
	if err != nil {
		return Result{}, err
	}
	size, err := b.dataSize(ctx, job)
	if err != nil {
		return Result{}, err
	}
	b.log.Debug("validated", "round", job.Round, "samples", data.rows(), "accuracy", accuracy, "loss", loss)
	return Result{Metrics: report(metrics, map[string]float64{"accuracy": accuracy, "loss": loss}), DataSize: size}, nil
}

func (b *builtin) dataSize(ctx context.Context, job Job) (int, error) {
	var err error
	rows := func(load func(context.Context) (*samples, error)) func() int {
		return func() int {
			var data *samples
			if data, err = load(ctx); err != nil {
				return 0
			}
			return data.rows()
		}
	}
	n := dataSize(job.Task, rows(b.loader.train), rows(b.loader.valid))
	return n, err
}

func report(names []string, values map[string]float64) []Metric {
	var metrics []Metric
	for _, name := range names {
		metrics = append(metrics, Metric{name, values[name]})
	}
	return metrics
}

// descent is one training run.
type descent struct {
	model    model
	p        params
	gradient params
	lr       float64
	x, d     []float64
	labels   []int
}

// epoch goes once over the samples in this order and returns the mean loss that
// each batch had before its step.
func (t *descent) epoch(ctx context.Context, data *samples, order []int, batch int) (float64, error) {
	var total float64
	for len(order) > 0 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rows := min(batch, len(order))
		t.x, t.labels = data.gather(t.x, t.labels, order[:rows])
		logits := t.model.logits(t.p, t.x, rows)
		t.d = grow(t.d, len(logits))
		loss, _ := crossEntropy(logits, t.labels, t.model.classes(), t.d)
		total += loss
		floats.Scale(1/float64(rows), t.d)
		t.model.gradients(t.p, t.x, rows, t.d, t.gradient)
		for i := range t.p {
			floats.AddScaled(t.p[i], -t.lr, t.gradient[i])
		}
		order = order[rows:]
	}
	return total / float64(data.rows()), nil
}

// measure gives accuracy and mean loss over all samples.
func measure(ctx context.Context, m model, p params, data *samples, batch int) (accuracy, loss float64, err error) {
	right := 0
	for at := 0; at < data.rows(); at += batch {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		rows := min(batch, data.rows()-at)
		x := data.x[at*data.features : (at+rows)*data.features]
		l, r := crossEntropy(m.logits(p, x, rows), data.labels[at:at+rows], m.classes(), nil)
		loss += l
		right += r
	}
	n := float64(data.rows())
	if loss /= n; math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, 0, fmt.Errorf("the model's loss on the validation data is %v: the model holds no usable numbers", loss)
	}
	return float64(right) / n, loss, nil
}

// crossEntropy sums the loss of a batch and counts the rows whose highest score
// is that of the label. Into d, unless nil, goes the derivative by the logits.
func crossEntropy(logits []float64, labels []int, classes int, d []float64) (loss float64, right int) {
	for i, label := range labels {
		row := logits[i*classes : (i+1)*classes]
		best := floats.MaxIdx(row)
		if best == label {
			right++
		}
		logSum := floats.LogSumExp(row)
		loss += logSum - row[label]
		if d == nil {
			continue
		}
		for j, v := range row {
			d[i*classes+j] = math.Exp(v - logSum)
		}
		d[i*classes+label]--
	}
	return loss, right
}
