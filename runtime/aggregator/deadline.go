package aggregator

import (
	"fmt"
	"slices"
	"time"

	"fx/runtime/aggregation"
	"fx/schema"
)

// deadline is the time that the straggler policy gives the open round.
type deadline struct {
	round   int
	started bool
	expired bool
	stop    func() bool // nil before it was started
}

// startDeadline starts the policy's time, once a round: when its first task is
// handed out. The time is that of this process: after a restart sites get all of
// it again, since nobody could report in between. The caller holds mu, or is New.
func (a *Aggregator) startDeadline() {
	limit := a.policy.Limit()
	if limit == 0 || a.deadline.round == a.round && a.deadline.started {
		return
	}
	round := a.round
	a.deadline = deadline{round: round, started: true}
	a.deadline.stop = a.o.AfterFunc(limit, func() { a.expire(round) })
}

// endDeadline forgets the time of a round that was closed.
func (a *Aggregator) endDeadline() {
	if a.deadline.stop != nil {
		a.deadline.stop()
	}
	a.deadline = deadline{}
}

// expire closes the round without its stragglers, or lets the next result do so.
func (a *Aggregator) expire(round int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.complete || a.closing || a.round != round || a.deadline.round != round {
		return
	}
	a.deadline.expired = true
	a.o.Log.Info("the cut-off time is over", "round", round, "done", len(a.open.done), "of", len(a.roster), "after", a.policy.Limit().String())
	a.closeAndGoOn()
}

// closable asks the policy, and holds the round open where what is there could
// not be aggregated. The caller holds mu, or is New.
func (a *Aggregator) closable() bool {
	if !a.policy.Closed(len(a.open.done), len(a.roster), a.deadline.round == a.round && a.deadline.expired) {
		return false
	}
	why := a.open.lacks(a.plan.Tasks, a.algorithms)
	if why != "" && why != a.open.held {
		a.o.Log.Warn("the round stays open", "round", a.round, "reason", why)
	}
	a.open.held = why
	return why == ""
}

// lacks says what those that are done have not brought together, or "": a task
// with fewer results than its aggregation needs, or with no samples at all.
func (r *openRound) lacks(tasks []schema.Task, algorithms map[string]*aggregation.Algorithm) string {
	for _, t := range tasks {
		given, got, total := 0, 0, int64(0)
		for name, list := range r.assigned {
			if !slices.Contains(list, t.Name) {
				continue
			}
			given++
			if samples, ok := r.has[name][t.Name]; ok && slices.Contains(r.done, name) {
				got++
				total += samples
			}
		}
		least := algorithms[t.Name].Least()
		switch {
		case given > 0 && got < least:
			return fmt.Sprintf("task %q has %d of the %d results that its aggregation needs", t.Name, got, least)
		case got > 0 && total == 0 && len(r.agreed[t.Name].shapes) > 0:
			return fmt.Sprintf("the samples of task %q add up to 0", t.Name)
		}
	}
	return ""
}

// afterFunc is time.AfterFunc with the one method that is needed.
func afterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
