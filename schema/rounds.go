package schema

import "math"

// Rounds is the section rounds: which model is the best, and when enough is
// enough. OpenFL has no such section and ignores it, but hashes it like every
// other. The zero Rounds is what OpenFL does: the best model is the one with the
// largest metric of validation, and all rounds are run.
type Rounds struct {
	Best *BestRule // nil: the first metric of the global model's validation, the larger the better
	Stop *StopRule // nil: no end before the last round
}

// BestRule says by which metric of the model at the start of a round the best
// one is chosen.
type BestRule struct {
	Task   string // "": the first that validates the global model and reports the metric
	Metric string
	Least  bool // the smaller the better
}

// StopRule ends the federation with the first round whose model had a metric at
// or beyond a target.
type StopRule struct {
	Task   string // as in BestRule
	Metric string
	AtMost bool // the metric is to come down to the target, not up
	Target float64
}

// Reached tells whether a value of the metric is at the target or beyond.
func (s *StopRule) Reached(value float64) bool {
	if s.AtMost {
		return value <= s.Target
	}
	return value >= s.Target
}

// Directions of a metric in rounds.best.
const (
	directionMax = "max"
	directionMin = "min"
)

// rounds reads the section, which may be absent. Its keys stand directly below
// it. settings is there in every merged section, and must be empty in this one.
func (d *decoder) rounds() Rounds {
	node := d.root.Lookup("rounds")
	if node == nil || node.Kind != KindMap {
		return Rounds{}
	}
	f := newFields(node, d.root.Key("rounds"), "rounds", d.out)
	f.noSettings()
	var r Rounds
	if best := f.inside("best", "a map with metric and direction"); best != nil {
		r.Best = &BestRule{Task: best.text("task", false), Metric: best.text("metric", true)}
		if best.node.Lookup("direction") == nil {
			best.missing("direction", "max or min")
		}
		r.Best.Least = best.word("direction", directionMax, directionMax, directionMin) == directionMin
		best.done()
	}
	if stop := f.inside("stop", "a map with metric and at_least or at_most"); stop != nil {
		r.Stop = stop.stopRule()
		stop.done()
	}
	f.done()
	return r
}

// stopRule reads rounds.stop, which has one of two targets.
func (f *fields) stopRule() *StopRule {
	r := &StopRule{Task: f.text("task", false), Metric: f.text("metric", true)}
	least, most := f.take("at_least"), f.take("at_most")
	key, n := "at_least", least
	switch {
	case least == nil && most == nil:
		f.missing("at_least", "at_least or at_most, with a number")
		return r
	case least != nil && most != nil:
		finding := most.finding("duplicate-key", Child(f.path, "at_most"), "there are two targets, at_least and at_most")
		finding.Hint = "keep one"
		f.add(finding)
	case most != nil:
		key, n, r.AtMost = "at_most", most, true
	}
	v, ok := n.number()
	if !ok || math.IsInf(v, 0) {
		f.mistyped(n, key, "a finite number")
	}
	r.Target = v
	return r
}

// inside reads a map below a key; nil if there is none.
func (f *fields) inside(key, allowed string) *fields {
	n := f.take(key)
	switch {
	case n == nil:
		return nil
	case n.Kind != KindMap:
		f.mistyped(n, key, allowed)
		return nil
	}
	return newFields(n, f.node.Key(key), Child(f.path, key), f.out)
}
