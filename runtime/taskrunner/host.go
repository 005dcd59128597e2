package taskrunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"fx/runtime/sandbox"
	"fx/runtime/tensor"
	"fx/schema"
)

// program is what a kind of runner puts into the box.
type program struct {
	argv       []string // the path in the box, and arguments
	env        []string // beside the box's own, the plan's and the site's
	show       []sandbox.Show
	trusted    []sandbox.Show // the runtime's own files, which may lie among its state
	executable string         // file of the workspace that is executed
	boxPaths   bool           // the program sees the box's paths, whatever the level
}

// nobody is the user and group that Linux systems have for those without rights.
const nobody = 65534

// hosted runs tasks in another program, in a box, by the task protocol. The
// process starts with the first task and lives on until Close or an error; after
// an error the next task starts another.
type hosted struct {
	o       Options
	terms   *terms
	program func(context.Context, *hosted) (*program, error)
	runner  any // settings for hello
	loader  any

	mu       sync.Mutex
	box      *sandbox.Box // nil before the first start
	base     string       // folder for what the task code sees of ours
	boxPaths bool         // see program
	session  *session
	log      *taskLog
}

// newHosted checks what all hosted kinds have in common. program is called when
// the box starts for the first time.
func newHosted(o Options, build func(context.Context, *hosted) (*program, error)) (Runner, error) {
	h := &hosted{o: o, program: build}
	var err error
	if h.terms, err = agree(o.Needs, o.Box); err != nil {
		return nil, err
	}
	if err := keepPrivate(h.siteShows(), o.Box.Private); err != nil { // better now than at the first task
		return nil, err
	}
	if h.runner, err = plain("task_runner.settings", settingsOf(o.TaskRunner)); err != nil {
		return nil, err
	}
	if h.loader, err = plain("data_loader.settings", settingsOf(o.DataLoader)); err != nil {
		return nil, err
	}
	if _, err := encode([]any{h.runner, h.loader}); err != nil {
		return nil, invalidf("task_runner", "%v", err)
	}
	for _, t := range o.Tasks {
		if _, err := h.request(Job{Task: t}); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func settingsOf(c schema.Component) map[string]any {
	if c.Settings == nil {
		return map[string]any{}
	}
	return c.Settings
}

// Init implements Runner.
func (h *hosted) Init(ctx context.Context, out string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.start(ctx); err != nil {
		return err
	}
	if !h.session.hello.can(opInit) {
		return fmt.Errorf("the task code %q makes no initial model: its capabilities are %s", h.session.hello.Name, quoted(*h.session.hello.Capabilities))
	}
	request := h.session.next(opInit)
	name := fmt.Sprintf(ioPattern, request.ID)
	var a initAnswer
	err := h.session.ask(ctx, h.terms.taskTimeout, &initRequest{request, h.sees(path.Join(sandbox.IODir, name))}, &a)
	if err == nil && !*a.Tensors {
		err = tensor.WriteFile(out, true, func(w io.Writer) error { return tensor.WriteSafetensors(w, nil, nil) })
	} else if err == nil {
		err = h.collect(name, out)
	}
	return h.judge(ctx, name, err)
}

// Run implements Runner.
func (h *hosted) Run(ctx context.Context, job Job) (Result, error) {
	r, err := h.request(job)
	if err != nil {
		return Result{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.start(ctx); err != nil {
		return Result{}, err
	}
	if !h.session.hello.can(opRun) {
		return Result{}, fmt.Errorf("the task code %q runs no tasks: its capabilities are %s", h.session.hello.Name, quoted(*h.session.hello.Capabilities))
	}
	inputs, takeBack, err := h.lend(job.Inputs)
	if err != nil {
		return Result{}, err
	}
	defer takeBack()
	if inputs != "" {
		r.Inputs = h.sees(inputs)
	}
	r.request = h.session.next(opRun)
	name := fmt.Sprintf(ioPattern, r.ID)
	r.Output = h.sees(path.Join(sandbox.IODir, name))
	var a runAnswer
	err = h.session.ask(ctx, h.terms.taskTimeout, r, &a)
	var result Result
	if err == nil {
		result = Result{DataSize: *a.DataSize, Tensors: *a.Tensors}
		result.Metrics, err = a.metrics(r.Metrics)
	}
	switch {
	case err != nil || !result.Tensors:
	case job.Lend:
		result.File, _, err = h.made(name)
	default:
		err = h.collect(name, job.Output)
	}
	if err := h.judge(ctx, name, err); err != nil {
		return Result{}, err
	}
	return result, nil
}

// Close implements Runner.
func (h *hosted) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session != nil {
		h.session.bye()
		h.stop()
	}
	var err error
	if h.base != "" && h.base != h.o.Scratch {
		err = os.RemoveAll(h.base)
		h.base, h.box = "", nil
	}
	if h.log != nil {
		err = errors.Join(err, h.log.close())
	}
	return err
}

// request makes the part of a request that follows from the plan.
func (h *hosted) request(job Job) (*runRequest, error) {
	where := schema.Child("tasks", job.Task.Name) + ".kwargs"
	metrics, err := listedMetrics(job.Task, where)
	if err != nil {
		return nil, err
	}
	kwargs := job.Task.Kwargs
	if kwargs == nil {
		kwargs = map[string]any{}
	}
	apply := &settings{where: where, m: kwargs}
	if apply.oneOf("apply", []string{"global", "local"}); apply.err != nil {
		return nil, apply.err
	}
	arguments, err := plain(where, kwargs)
	if err != nil {
		return nil, err
	}
	return &runRequest{Task: job.Task.Name, Function: job.Task.Function, Round: job.Round, Arguments: arguments, Metrics: metrics}, nil
}

// listedMetrics are the metrics that a task may report.
func listedMetrics(t schema.Task, where string) ([]string, error) {
	names := []string{}
	v := t.Kwargs["metrics"]
	if v == nil {
		return names, nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > maxNames {
		return nil, invalidf(where, "metrics is %s; a list of at most %d names was expected", show(v), maxNames)
	}
	for _, item := range list {
		name, ok := item.(string)
		switch {
		case !ok || name == "" || len(name) > maxNameLength:
			return nil, invalidf(where, "metrics has %s; a name of at most %d bytes was expected", show(item), maxNameLength)
		case slices.Contains(names, name):
			return nil, invalidf(where, "metrics has %q twice", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// judge ends a request. After anything but success and an error that the task
// code itself reports, the process is stopped. The operator sees the last lines
// of its log, and the error says where the rest is.
func (h *hosted) judge(ctx context.Context, output string, err error) error {
	if output != "" {
		if err := h.session.box.Remove(output); err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.o.Log.Debug("cannot remove what the task code made", "error", err.Error())
		}
	}
	refused, alive := errors.AsType[*taskError](err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		h.stop()
		return ctx.Err()
	case alive:
		h.log.settle(logSilence)
		err = fmt.Errorf("the task code says: %s", refused.text)
	default:
		h.stop()
		err = fmt.Errorf("the task code failed: %w", err)
	}
	h.log.show()
	return fmt.Errorf("%w (what it said is in %q)", err, h.log.path)
}

// stop ends the process.
func (h *hosted) stop() {
	h.session.end()
	h.session = nil
	if err := os.RemoveAll(h.hostDir()); err != nil {
		h.o.Log.Warn("cannot clean up after the task code", "error", err.Error())
	}
}
