package aggregator

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fx/runtime/journal"
)

// contents is what a result has to have in common with those of the same task
// and round. Results that differ could never be folded, and the round would
// stay open for ever; so one that does not fit is refused when it arrives.
type contents struct {
	task, from string
	samples    int64             // -1 when the task has no notion of it
	shapes     map[string]string // by tensor key
	trained    map[string]bool   // names
}

// agreement is what the results of a task are so far.
type agreement struct {
	contents       // of the first one
	total    int64 // samples of all
}

// contents reads what is in a result, apart from values.
func (a *Aggregator) contents(from string, r *journal.Results) (contents, error) {
	c := contents{task: r.Task, from: from, samples: int64(r.DataSize), shapes: map[string]string{}, trained: map[string]bool{}}
	if c.samples < -1 {
		return c, fmt.Errorf("data_size is %d; it is a number of samples, or -1", c.samples)
	}
	for _, t := range r.Tensors {
		info, err := a.describe(t)
		if err != nil {
			return c, err
		}
		key, trains := tensorKey(t), isTrained(t)
		if _, twice := c.shapes[key]; twice || trains && c.trained[t.Name] {
			return c, fmt.Errorf("tensor %q is there twice", t.Name)
		}
		c.shapes[key] = fmt.Sprint(info.Shape)
		if trains {
			c.trained[t.Name] = true
		}
	}
	return c, nil
}

// misfit says why a result cannot be folded with those that are accepted.
func (r *openRound) misfit(c contents) error {
	for _, task := range slices.Sorted(maps.Keys(r.agreed)) {
		for _, name := range slices.Sorted(maps.Keys(c.trained)) {
			if task != c.task && r.agreed[task].trained[name] {
				return fmt.Errorf("tensor %q is trained by task %q", name, task)
			}
		}
	}
	total := c.samples
	if first, ok := r.agreed[c.task]; ok {
		if err := first.misfit(c); err != nil {
			return err
		}
		total += first.total
	}
	if total == 0 && len(c.shapes) > 0 && r.lacksOnly(c.task, c.from) {
		return fmt.Errorf("the samples of all collaborators add up to 0, so no result counts")
	}
	return nil
}

func (a agreement) misfit(c contents) error {
	if (a.samples < 0) != (c.samples < 0) {
		return fmt.Errorf("it has %d samples, that of %q has %d; -1 goes with -1 only", c.samples, a.from, a.samples)
	}
	all := maps.Clone(a.shapes)
	maps.Copy(all, c.shapes)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		name, _, _ := strings.Cut(key, "\x00")
		theirs, both := a.shapes[key]
		ours, here := c.shapes[key]
		switch {
		case !both:
			return fmt.Errorf("tensor %q is not in the result of %q, which came first; all must have the same", name, a.from)
		case !here:
			return fmt.Errorf("tensor %q is missing; the result of %q, which came first, has it", name, a.from)
		case ours != theirs:
			return fmt.Errorf("tensor %q has shape %s; in the result of %q, which came first, it has %s", name, ours, a.from, theirs)
		}
	}
	return nil
}

// lacksOnly says whether everybody else's result of a task is there.
func (r *openRound) lacksOnly(task, name string) bool {
	for other, tasks := range r.assigned {
		if _, has := r.has[other][task]; other != name && slices.Contains(tasks, task) && !has {
			return false
		}
	}
	return true
}

// accept notes a result, its digest, and whether its sender has now done all its
// tasks.
func (r *openRound) accept(c contents, sum string) {
	agreed, ok := r.agreed[c.task]
	if !ok {
		agreed.contents = c
	}
	agreed.total += c.samples
	r.agreed[c.task] = agreed
	r.has[c.from][c.task] = c.samples
	r.sums[[2]string{c.task, c.from}] = sum
	if !slices.Contains(r.done, c.from) && len(r.pending(c.from)) == 0 {
		r.done = append(r.done, c.from)
	}
}
