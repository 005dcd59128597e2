package egress

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"fx/schema"
)

// Filter is one entry of egress.filters, understood.
type Filter struct {
	Name    string   `json:"name"`
	Tensors []string `json:"tensors"`        // globs
	Norm    float64  `json:"norm,omitempty"` // of clip: the largest norm of the change
}

// filters is the table of filters: by name, what reads the settings of one.
// Noise for differential privacy is not among them: without an accountant that
// adds up what the rounds spend it would promise what nobody keeps.
var filters = map[string]func(s *filterSettings) Filter{
	"drop": func(s *filterSettings) Filter { return Filter{Tensors: s.globs(true)} },
	"clip": func(s *filterSettings) Filter { return Filter{Norm: s.norm(), Tensors: s.globs(false)} },
}

// FilterNames lists the filters of this version.
func FilterNames() []string { return slices.Sorted(maps.Keys(filters)) }

// NewFilter makes the filter that a plan names. The error wraps
// schema.ErrInvalid.
func NewFilter(f schema.EgressFilter) (Filter, error) {
	build, known := filters[f.Name]
	if !known {
		hint := schema.DidYouMean(f.Name, FilterNames())
		if hint != "" {
			hint = "; " + hint
		}
		return Filter{}, fmt.Errorf("there is no egress filter %q; this version has %s%s: %w", f.Name, strings.Join(FilterNames(), ", "), hint, schema.ErrInvalid)
	}
	s := &filterSettings{m: f.Settings}
	filter := build(s)
	filter.Name = f.Name
	for _, key := range slices.Sorted(maps.Keys(f.Settings)) {
		if !slices.Contains(s.asked, key) {
			s.fail("there is no setting %q; allowed: %s", key, strings.Join(s.asked, ", "))
		}
	}
	if s.err != "" {
		return Filter{}, fmt.Errorf("cannot make the egress filter %q: %s: %w", f.Name, s.err, schema.ErrInvalid)
	}
	return filter, nil
}

// filterSettings reads the settings of a filter; the first error wins.
type filterSettings struct {
	m     map[string]any
	asked []string
	err   string
}

func (s *filterSettings) fail(format string, a ...any) {
	if s.err == "" {
		s.err = fmt.Sprintf(format, a...)
	}
}

// globs reads the names that the filter is for; every tensor where it may be
// left out and is.
func (s *filterSettings) globs(required bool) []string {
	s.asked = append(s.asked, "tensors")
	v, there := s.m["tensors"]
	list, ok := v.([]any)
	switch {
	case !there && !required:
		return []string{"*"}
	case !there:
		s.fail("tensors is missing: a list of globs")
	case !ok || len(list) == 0:
		s.fail("tensors is not a list of globs with at least one entry")
	}
	var globs []string
	for _, item := range list {
		glob, ok := item.(string)
		if !ok || glob == "" {
			s.fail("tensors holds %v; a glob is a string that is not empty", item)
		}
		globs = append(globs, glob)
	}
	return globs
}

func (s *filterSettings) norm() float64 {
	s.asked = append(s.asked, "norm")
	n := math.NaN()
	switch v := s.m["norm"].(type) {
	case nil:
		s.fail("norm is missing: a number above 0")
	case int:
		n = float64(v)
	case float64:
		n = v
	}
	if !(n > 0) || math.IsInf(n, 0) {
		s.fail("norm is %v; a number above 0 was expected", s.m["norm"])
	}
	return n
}

// Drops reports whether a filter leaves the tensor out.
func (c *Contract) Drops(name string) bool {
	return slices.ContainsFunc(c.filters, func(f Filter) bool { return f.Name == "drop" && Matches(f.Tensors, name) })
}

// Clips reports whether a filter may change results, for which it needs the
// model that training began with.
func (c *Contract) Clips() bool {
	return slices.ContainsFunc(c.filters, func(f Filter) bool { return f.Name == "clip" })
}

// Change is how far training moved one tensor that leaves.
type Change struct {
	Name string
	Norm float64 // Euclidean, of trained − model
}

// Factors says what each change is multiplied by so that every clip filter's
// bound holds, one filter after the other, each over its tensors together.
func (c *Contract) Factors(changes []Change) []float64 {
	factors := make([]float64, len(changes))
	for i := range factors {
		factors[i] = 1
	}
	for _, f := range c.filters {
		if f.Name != "clip" {
			continue
		}
		squares := 0.0
		for i, change := range changes {
			if n := factors[i] * change.Norm; Matches(f.Tensors, change.Name) {
				squares += n * n
			}
		}
		norm := math.Sqrt(squares)
		if !(norm > f.Norm) {
			continue
		}
		for i, change := range changes {
			if Matches(f.Tensors, change.Name) {
				factors[i] *= f.Norm / norm
			}
		}
	}
	return factors
}

// String spells the filter as a person reads it: "clip [*] to norm 1.5".
func (f Filter) String() string {
	text := fmt.Sprintf("%s [%s]", f.Name, some(f.Tensors))
	if f.Norm > 0 {
		text += fmt.Sprintf(" to norm %v", f.Norm)
	}
	return text
}
