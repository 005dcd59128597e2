package transport

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how long to wait between attempts.
type RetryPolicy struct {
	Interval time.Duration // after the first failure; doubles with each that follows
	Max      time.Duration // the longest wait; below Interval it means Interval
	Jitter   float64       // a wait varies by this fraction to either side, 0 to 1

	Random func() float64 // in [0,1), for the jitter; nil: math/rand/v2
}

// slowAnswer is after what time a request that is still under way is worth a line in
// the log. No request has a deadline: a tensor may be waited for for a minute, and
// a large one may take hours on its way.
const slowAnswer = 2 * time.Minute

// Retry calls op until it succeeds, for ever while it returns a *Failure that
// retrying may mend, and returns any other error at once. It logs a failure
// when its cause differs from the one before, and when the aggregator is back:
// an outage of a day is two lines. An attempt that
// lasts longer than slowAnswer has a line, too.
func Retry(ctx context.Context, policy RetryPolicy, log *slog.Logger, op func(context.Context) error) error {
	log = orSilent(log)
	random := policy.Random
	if random == nil {
		random = rand.Float64
	}
	var (
		last     Cause
		began    time.Time
		attempts int
		wait     time.Duration
	)
	for {
		slow := time.AfterFunc(slowAnswer, func() {
			log.Warn("the aggregator has not answered yet, waiting on", "after", slowAnswer.String())
		})
		err := op(ctx)
		slow.Stop()
		if err == nil {
			if attempts > 0 {
				log.Info("aggregator is back", "after", time.Since(began).Round(time.Millisecond), "attempts", attempts)
			}
			return nil
		}
		var f *Failure
		if ctx.Err() != nil || !errors.As(err, &f) || !f.Retry() {
			return err
		}
		if attempts == 0 {
			began = time.Now()
		}
		attempts++
		if f.Cause != last {
			last, wait = f.Cause, policy.Interval
			log.Warn("aggregator is away, trying again", slog.Any("", f)) // no key: the attributes stay flat
		} else {
			wait = min(2*wait, max(policy.Max, policy.Interval))
		}
		pause := time.NewTimer(time.Duration(float64(wait) * (1 + policy.Jitter*(2*random()-1))))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
}
