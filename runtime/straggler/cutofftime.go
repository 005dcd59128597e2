package straggler

import (
	"math"
	"time"

	"fx/schema"
)

// CutoffTime waits for everyone until its time is up, and from then on for a
// minimum. Without a time it waits for everyone, as OpenFL's does.
type CutoffTime struct {
	After   time.Duration // 0: never
	Minimum int
}

// maxCutoff is about thirty years, in seconds: within a time.Duration.
const maxCutoff = 1e9

func newCutoffTime(s *schema.Settings) Policy {
	s.Null("round_start_time") // OpenFL keeps the time there
	seconds := s.Number("straggler_cutoff_time", math.Inf(1), func(v float64) bool {
		return v > 0 && v <= maxCutoff || math.IsInf(v, 1)
	}, "seconds, above 0, or .inf to wait for all")
	p := CutoffTime{Minimum: minimumReporting(s)}
	if !math.IsInf(seconds, 1) {
		p.After = max(1, time.Duration(seconds*float64(time.Second)))
	}
	return p
}

// Closed implements Policy.
func (p CutoffTime) Closed(done, all int, expired bool) bool {
	return WaitForAll{}.Closed(done, all, false) || expired && p.After > 0 && done >= p.Minimum
}

// Limit implements Policy.
func (p CutoffTime) Limit() time.Duration { return p.After }
