package straggler

import (
	"time"

	"fx/schema"
)

// Percentage closes a round when a share of all collaborators, and a minimum, is
// done. It knows no time.
type Percentage struct {
	Share   float64 // of one
	Minimum int
}

func newPercentage(s *schema.Settings) Policy {
	return Percentage{
		Share: s.Number("percent_collaborators_needed", 1, func(v float64) bool { return v >= 0 && v <= 1 },
			"a share from 0 to 1"),
		Minimum: minimumReporting(s),
	}
}

// Closed implements Policy. The product is OpenFL's, unrounded: 0.67 of 3 are 3.
// A minimum above the number of collaborators keeps the round open for ever, as
// it says.
func (p Percentage) Closed(done, all int, _ bool) bool {
	return done >= p.Minimum && float64(done) >= p.Share*float64(all)
}

// Limit implements Policy.
func (Percentage) Limit() time.Duration { return 0 }
