package egress

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"fx/runtime/tensor"
	"fx/schema"
)

// Filter is one entry of egress.filters, understood.
type Filter struct {
	Name       string   `json:"name"`
	Tensors    []string `json:"tensors"`                    // globs
	Norm       float64  `json:"norm,omitempty"`             // of clip: the largest norm of the change; of noise: that of its clip
	Multiplier float64  `json:"noise_multiplier,omitempty"` // of noise: its standard deviation, in norms
	Delta      float64  `json:"delta,omitempty"`            // of noise: where epsilon is reported
	MaxEpsilon float64  `json:"max_epsilon,omitempty"`      // of noise: where the run stops; 0: nowhere
	Bits       int      `json:"bits,omitempty"`             // of quantise
	To         string   `json:"to,omitempty"`               // of quantise: "float16" or "bfloat16"
	Site       bool     `json:"site,omitempty"`             // the site's own, not the plan's
}

// filters is the table of filters: by name, what reads the settings of one.
var filters = map[string]func(s *filterSettings) Filter{
	"drop": func(s *filterSettings) Filter { return Filter{Tensors: s.globs(true)} },
	"clip": func(s *filterSettings) Filter {
		return Filter{Norm: s.number("norm", true, math.SmallestNonzeroFloat64, math.MaxFloat64, "a number above 0"), Tensors: s.globs(false)}
	},
	"noise": func(s *filterSettings) Filter {
		return Filter{
			Multiplier: s.number("noise_multiplier", true, 0.01, 100, "a number from 0.01 to 100"),
			Delta:      s.number("delta", false, 1e-30, 0.5, "a number from 1.0e-30 to 0.5"),
			MaxEpsilon: s.number("max_epsilon", false, math.SmallestNonzeroFloat64, math.MaxFloat64, "a number above 0"),
			Tensors:    s.globs(false),
		}
	},
	"quantise": func(s *filterSettings) Filter {
		f := Filter{Bits: int(s.number("bits", false, 2, 16, "an integer from 2 to 16")), To: s.word("to", "float16", "bfloat16"), Tensors: s.globs(false)}
		if (f.Bits == 0) == (f.To == "") {
			s.fail("one of bits and to must be there, and not both")
		}
		return f
	},
}

// stages is the order in which filters work, wherever they stand: what is
// dropped needs nothing else, noise goes by the norm that clipping left, and what
// is quantised must stay so. Those of one name work in the order of the list, the
// plan's before the site's.
var stages = map[string]int{"drop": 0, "clip": 1, "noise": 2, "quantise": 3}

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

// number reads a number; 0 where it may be left out and is.
func (s *filterSettings) number(key string, required bool, least, most float64, allowed string) float64 {
	s.asked = append(s.asked, key)
	n := math.NaN()
	v, there := s.m[key]
	switch v := v.(type) {
	case int:
		n = float64(v)
	case float64:
		n = v
	}
	whole := !strings.HasPrefix(allowed, "an integer") || n == math.Trunc(n)
	switch {
	case !there && required:
		s.fail("%s is missing: %s", key, allowed)
	case !there:
		return 0
	case !(n >= least && n <= most) || !whole:
		s.fail("%s is %v; %s was expected", key, v, allowed)
	}
	return n
}

// word reads one of a set of words; "" if there is none.
func (s *filterSettings) word(key string, allowed ...string) string {
	s.asked = append(s.asked, key)
	v, there := s.m[key]
	text, ok := v.(string)
	if there && (!ok || !slices.Contains(allowed, text)) {
		s.fail("%s is %v; one of %s was expected", key, v, strings.Join(allowed, ", "))
	}
	return text
}

// After completes a filter that stands after others: noise goes by the norm of
// the last clip over the same tensors. The error wraps schema.ErrInvalid.
func (f Filter) After(before []Filter) (Filter, error) {
	if f.Name != "noise" {
		return f, nil
	}
	for _, clip := range slices.Backward(before) {
		if clip.Name == "clip" && sameGlobs(clip.Tensors, f.Tensors) {
			f.Norm = clip.Norm
			if sigma := f.Norm * f.Multiplier; !(sigma >= 1e-30 && sigma <= 1e30) {
				return f, fmt.Errorf("cannot make the egress filter \"noise\": its standard deviation, noise_multiplier times norm, is %v; 1e-30 to 1e30 is allowed: %w", sigma, schema.ErrInvalid)
			}
			return f, nil
		}
	}
	return f, fmt.Errorf("cannot make the egress filter \"noise\": before it there is no clip filter over the same tensors, %s, whose norm says how much noise there must be: %w",
		some(f.Tensors), schema.ErrInvalid)
}

func sameGlobs(a, b []string) bool {
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b))))
}

// checkNoise makes sure that noise, if there is any, is on every tensor that may
// leave, and once: a tensor without noise would make the account worthless.
func (c *Contract) checkNoise() error {
	if !c.Noises() {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.tensors)) {
		if c.fate(name) != FateSent {
			continue
		}
		switch n := len(c.of("noise", name)); {
		case n == 0:
			return fmt.Errorf("the tensor %q would leave without noise, which makes the noise on others worthless; add it to the filter noise and its clip, or drop it: %w", name, schema.ErrInvalid)
		case n > 1:
			return fmt.Errorf("there are %d filters noise on the tensor %q; each is for other tensors: %w", n, name, schema.ErrInvalid)
		}
	}
	if !c.pytorch {
		return nil
	}
	for _, o := range optimizers {
		for _, pattern := range o.patterns() {
			if c.patternFate(pattern) == FateSent { // noise hides values, not which names there are
				return fmt.Errorf("the optimizer's state would leave, whose names noise does not hide; add {name: drop, tensors: [\"__opt_*\"]} to the filters: %w", schema.ErrInvalid)
			}
		}
	}
	return nil
}

// noisedWhole makes sure that a noised result has all tensors that may leave, or
// none: which of them there are would say something that has no noise. The error
// is a [Refusal].
func (c *Contract) noisedWhole(task string, leave []tensor.Info) error {
	if !c.Noises() || len(leave) == 0 {
		return nil
	}
	made := map[string]bool{}
	for _, info := range leave {
		made[info.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.tensors)) {
		if !made[name] && c.fate(name) == FateSent {
			return refuse(task, "", "", fmt.Sprintf(" did not make the tensor %q, ", name), "egress.filters (noise) allows all tensors that leave together, or none")
		}
	}
	return nil
}

// of lists the filters of a name that are for a tensor, in order.
func (c *Contract) of(filter, tensor string) []Filter {
	var list []Filter
	for _, f := range c.filters {
		if f.Name == filter && Matches(f.Tensors, tensor) {
			list = append(list, f)
		}
	}
	return list
}

func (c *Contract) has(names ...string) bool {
	return slices.ContainsFunc(c.filters, func(f Filter) bool { return slices.Contains(names, f.Name) })
}

// Drops reports whether a filter leaves the tensor out.
func (c *Contract) Drops(name string) bool { return len(c.of("drop", name)) > 0 }

// Changes reports whether a filter may change what leaves, for which it needs
// the model that training began with.
func (c *Contract) Changes() bool { return c.has("clip", "noise", "quantise") }

// Noises reports whether what leaves is drawn at random: sent again, it must be
// the same bytes.
func (c *Contract) Noises() bool { return c.has("noise") }

// FilterID is the same for the same filters: a result that went through others
// is another one.
func (c *Contract) FilterID() string {
	h := sha256.New()
	for _, f := range c.filters {
		fmt.Fprintf(h, "%s %q %v %v %v %s\n", f.Name, f.Tensors, f.Norm, f.Multiplier, f.Bits, f.To)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// mu is what one noised result costs: with any two sets of data of a site each
// clipped change differs by at most twice its norm, and the standard deviation is
// the norm times the multiplier. Noise on different tensors adds up.
func (c *Contract) mu() float64 {
	squares := 0.0
	for _, f := range c.filters {
		if f.Name == "noise" {
			squares += 4 / (f.Multiplier * f.Multiplier)
		}
	}
	return math.Sqrt(squares)
}

// budget is where epsilon is reported, and where the run stops (0: nowhere): the
// strictest of all noise filters.
func (c *Contract) budget() (delta, maxEpsilon float64, rule string) {
	delta = 1
	for _, f := range c.filters {
		if f.Name != "noise" {
			continue
		}
		delta = min(delta, cmp.Or(f.Delta, DefaultDelta))
		if f.MaxEpsilon > 0 && (maxEpsilon == 0 || f.MaxEpsilon < maxEpsilon) {
			maxEpsilon, rule = f.MaxEpsilon, rules{site: f.Site}.key("filters (noise, max_epsilon)")
		}
	}
	return delta, maxEpsilon, rule
}

// Afford checks that the account allows one more noised result. The error is a
// [Refusal].
func (c *Contract) Afford(l *Ledger, task string, round int) error {
	delta, most, rule := c.budget()
	if !c.Noises() || most == 0 {
		return nil
	}
	spent := l.Privacy()
	if next := spent.after(c.mu(), delta); next.Epsilon > most {
		return refuse(task, "", "", fmt.Sprintf(" would raise epsilon in round %d from %.6g to %.6g at delta %v, ", round, Epsilon(spent.TotalMu, delta), next.Epsilon, delta),
			fmt.Sprintf("%s allows %v", rule, most))
	}
	return nil
}

// Release is the ledger's line about what a noised result costs, for the lines
// of its tensors; false if the result has none or there is no noise. A result
// that was sent before costs nothing more. The error is a [Refusal].
func (c *Contract) Release(l *Ledger, task string, round int, entries []Entry) (Entry, bool, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %q\n", round, task) // of another round it is another draw, even if small tensors come out alike
	tensors := false
	for _, e := range entries {
		if e.Kind == KindTensor {
			tensors = true
			fmt.Fprintf(h, "%q %s\n", e.Name, e.SHA256)
		}
	}
	if !tensors || !c.Noises() {
		return Entry{}, false, nil
	}
	e := Entry{Round: round, Task: task, Kind: KindPrivacy, Name: "gaussian", Shape: []int{}, SHA256: hex.EncodeToString(h.Sum(nil))}
	delta, _, _ := c.budget()
	if l.spent.releases[e.SHA256] {
		again := l.Privacy()
		again.Mu, again.Delta, again.Epsilon = 0, delta, Epsilon(again.TotalMu, delta)
		e.Privacy = &again
		return e, true, nil
	}
	if err := c.Afford(l, task, round); err != nil {
		return Entry{}, false, err
	}
	next := l.Privacy().after(c.mu(), delta)
	e.Privacy = &next
	return e, true, nil
}

// Change is how far training moved one tensor that leaves.
type Change struct {
	Name string
	Norm float64 // Euclidean, of trained − model
}

// Factors says what each change is multiplied by so that every clip filter's
// bound holds, one filter after the other, each over its tensors together, and
// which clips did so.
func (c *Contract) Factors(changes []Change) (factors []float64, applied [][]string) {
	factors, applied = make([]float64, len(changes)), make([][]string, len(changes))
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
				applied[i] = append(applied[i], f.applied())
			}
		}
	}
	return factors, applied
}

// String spells the filter as a person reads it: "clip [*] to norm 1.5".
func (f Filter) String() string {
	text := fmt.Sprintf("%s [%s]", f.Name, some(f.Tensors))
	switch {
	case f.Name == "clip":
		text += fmt.Sprintf(" to norm %v", f.Norm)
	case f.Name == "noise":
		text += fmt.Sprintf(" of %v times norm %v", f.Multiplier, f.Norm)
	case f.Bits > 0:
		text += fmt.Sprintf(" to %d bits", f.Bits)
	case f.To != "":
		text += " to " + f.To
	}
	if f.Site {
		text += " (site)"
	}
	return text
}

// applied is what a ledger says about a tensor that the filter changed: its name
// and its parameter.
func (f Filter) applied() string {
	switch {
	case f.Name == "clip":
		return fmt.Sprintf("clip %v", f.Norm)
	case f.Name == "noise":
		return fmt.Sprintf("noise %v", f.Multiplier)
	case f.Bits > 0:
		return fmt.Sprintf("quantise %d", f.Bits)
	case f.To != "":
		return "quantise " + f.To
	}
	return f.Name
}
