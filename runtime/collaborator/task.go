package collaborator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fx/runtime/journal"
	"fx/runtime/taskrunner"
	"fx/schema"
)

// record is a finished task. Its name in the store holds the digest of what
// went in, so that a result is never taken for that of another input.
type record struct {
	Metrics  []taskrunner.Metric `json:"metrics"`
	DataSize int                 `json:"data_size"`
	Tensors  string              `json:"tensors"`          // name of the output in the store, "" if there is none
	SHA256   string              `json:"sha256,omitempty"` // of the output
}

const maxRecord = 1 << 20

// perform does one task of a round and reports it.
func (c *collaborator) perform(ctx context.Context, round int, name string) error {
	task, err := c.task(name)
	if err != nil {
		return err
	}
	done, err := c.result(ctx, round, task)
	if err != nil {
		return err
	}
	if err := c.send(ctx, round, task, done); err != nil {
		return err
	}
	c.report.Tasks++
	c.Log.Info("task reported", "round", round, "task", task.Name, "samples", done.DataSize, "metrics", spell(done.Metrics))
	return nil
}

func spell(metrics []taskrunner.Metric) string {
	var parts []string
	for _, m := range metrics {
		parts = append(parts, m.Name+"="+strconv.FormatFloat(m.Value, 'f', 4, 64))
	}
	return strings.Join(parts, " ")
}

// result returns a task's finished work: from the store if an earlier process
// did it on the same input, else by running it now.
func (c *collaborator) result(ctx context.Context, round int, task schema.Task) (*record, error) {
	inputs, digest, err := c.inputs(ctx, round, task)
	if err != nil {
		return nil, err
	}
	base := fmt.Sprintf("rounds/%06d/%s-%s", round, hexName(task.Name), digest)
	var done record
	err = c.kept(base, &done)
	if err == nil {
		return &done, nil
	}
	if errors.Is(err, schema.ErrInvalid) {
		c.Log.Warn("a finished task is damaged, it is done again", "round", round, "task", task.Name, "reason", err.Error())
		err = errors.Join(c.Store.Remove(base+".json"), c.Store.Remove(base+".safetensors"))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	output := filepath.Join(c.Scratch, "output.safetensors")
	if err := os.Remove(output); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot clean the scratch folder: %v", err)
	}
	got, err := c.Runner.Run(ctx, taskrunner.Job{Task: task, Round: round, Collaborator: c.Name, Inputs: inputs, Output: output, Lend: true})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("task %q of round %d failed: %w: %w", task.Name, round, err, ErrIncomplete)
	}
	done = record{Metrics: got.Metrics, DataSize: got.DataSize}
	if got.Tensors {
		done.Tensors = base + ".safetensors"
		if err := c.Store.Remove(done.Tensors); err != nil { // of a process that was killed before its record
			return nil, err
		}
		h := sha256.New()
		if err := c.keep(done.Tensors, func(w io.Writer) error { return copyOutput(io.MultiWriter(w, h), got.File, output) }); err != nil {
			return nil, err
		}
		done.SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	c.whole[base] = true
	return &done, c.keep(base+".json", func(w io.Writer) error { return json.NewEncoder(w).Encode(done) })
}

// hexName makes a file name of any task name.
func hexName(s string) string { return hex.EncodeToString([]byte(s)) }

// kept reads a finished task that an earlier process, or this one, has kept, and
// sees once a process that its output is what it was. What is damaged wraps
// schema.ErrInvalid.
func (c *collaborator) kept(base string, done *record) error {
	if err := c.read(base+".json", done); err != nil || done.Tensors == "" || done.SHA256 == "" || c.whole[base] {
		return err
	}
	o, err := c.Store.Open(done.Tensors)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q is missing: %w", done.Tensors, schema.ErrInvalid)
	}
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(o, 0, o.Size()))
	if err := errors.Join(err, o.Close()); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != done.SHA256 {
		return fmt.Errorf("%q has SHA-256 %s, was written with %s: %w", done.Tensors, sum, done.SHA256, schema.ErrInvalid)
	}
	c.whole[base] = true
	return nil
}

func (c *collaborator) read(name string, done *record) error {
	o, err := c.Store.Open(name)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.NewSectionReader(o, 0, min(o.Size(), maxRecord+1)))
	if err := errors.Join(err, o.Close()); err != nil {
		return fmt.Errorf("cannot read %q: %v", name, err)
	}
	return schema.DecodeJSON(name, b, maxRecord, done)
}

// keep stores an object; one that is there already is the same work.
func (c *collaborator) keep(name string, write func(io.Writer) error) error {
	d, err := c.Store.Draft()
	if err != nil {
		return err
	}
	if err := write(d); err != nil {
		return errors.Join(fmt.Errorf("cannot store %q: %w", name, err), d.Discard())
	}
	if err := d.Commit(name); err != nil && !errors.Is(err, journal.ErrExists) {
		return err
	}
	return nil
}

// copyOutput copies what a task made, from the file that the runner lends, or
// else from path. What was copied is checked when it is about to leave.
func copyOutput(w io.Writer, f *os.File, path string) (err error) {
	if f == nil {
		if f, err = os.Open(path); err != nil {
			return err
		}
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

// forget removes finished tasks of rounds before the one that begins; failure
// only costs disk space, and is logged.
func (c *collaborator) forget(round int) {
	names, err := c.Store.List("rounds")
	for _, n := range names {
		if r, convErr := strconv.Atoi(strings.Split(n, "/")[1]); convErr == nil && r < round {
			err = errors.Join(err, c.Store.Remove(n))
		}
	}
	if err != nil {
		c.Log.Warn("cannot remove results of earlier rounds", "error", err.Error())
	}
}

// inputs returns the tensors that a task works on as a safetensors file, and
// their digest: the model of the round, or (apply: local) what this site made
// of it. A model without tensors gives no file.
func (c *collaborator) inputs(ctx context.Context, round int, task schema.Task) (path, digest string, err error) {
	if len(c.Model) == 0 {
		return "", hex.EncodeToString(make([]byte, sha256.Size)), nil
	}
	if task.Apply() == "local" {
		return c.trained(ctx, round, task)
	}
	return c.global(ctx, round)
}

// global returns the model of a round, which is fetched once.
func (c *collaborator) global(ctx context.Context, round int) (path, digest string, err error) {
	if c.round != round {
		previous := ""
		if c.round == round-1 {
			previous = c.model
		}
		c.round = -1
		if c.model, c.digest, err = c.fetch(ctx, round, previous); err != nil {
			return "", "", err
		}
		c.round = round
	}
	return c.model, c.digest, nil
}

// trained finds this site's tensors of the round: the output of a task that
// comes before this one in the plan. A site that lost it makes it again.
func (c *collaborator) trained(ctx context.Context, round int, task schema.Task) (path, digest string, err error) {
	at := slices.IndexFunc(c.Plan.Tasks, func(t schema.Task) bool { return t.Name == task.Name })
	for _, t := range slices.Backward(c.Plan.Tasks[:at]) {
		if t.Apply() == "local" {
			continue
		}
		done, err := c.result(ctx, round, t)
		if err != nil {
			return "", "", err
		}
		if done.Tensors == "" {
			continue
		}
		o, err := c.Store.Open(done.Tensors)
		if err != nil {
			return "", "", err
		}
		defer func() { _ = o.Close() }() // read only
		return c.scratchFile("trained.safetensors", func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(o, 0, o.Size()))
			return err
		})
	}
	return "", "", fmt.Errorf("task %q works on tensors that this site trained, but no task before it in the plan makes any: %w", task.Name, ErrIncomplete)
}

// scratchFile writes a file for the task at hand and returns its path and
// SHA-256. It need not be durable: it is made again after a restart.
func (c *collaborator) scratchFile(name string, write func(io.Writer) error) (path, digest string, err error) {
	path = filepath.Join(c.Scratch, name)
	// A new file, for task code may still have the old one mapped.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("cannot clean the scratch folder: %v", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", "", fmt.Errorf("cannot write to the scratch folder: %v", err)
	}
	h := sha256.New()
	if err := errors.Join(write(io.MultiWriter(f, h)), f.Close()); err != nil {
		return "", "", fmt.Errorf("cannot write %q: %w", path, err)
	}
	return path, hex.EncodeToString(h.Sum(nil)), nil
}
