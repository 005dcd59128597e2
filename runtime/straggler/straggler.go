// Package straggler decides when a round may close although collaborators are
// still at work.
package straggler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fx/schema"
)

// Policy is asked after every stored result.
type Policy interface {
	// Closed reports whether the round may close when done of all authorised
	// collaborators have handed in everything they were given.
	Closed(done, all int) bool
}

const openfl = "openfl.component.aggregator.straggler_handling."

// policies holds one constructor per template, in schema.CanonicalTemplate's
// spelling; "" is a plan without a policy.
// A nil constructor is a policy of OpenFL's that fx does not have.
var policies = map[string]func() Policy{
	"":                          newWaitForAll,
	openfl + "WaitForAllPolicy": newWaitForAll,
	openfl + "CutoffTimePolicy": nil,
	openfl + "PercentagePolicy": nil,
}

// New makes the policy that a plan names. Errors wrap schema.ErrInvalid.
func New(c schema.Component) (Policy, error) {
	build, known := policies[c.Template]
	switch {
	case !known:
		return nil, invalidf("%q is no straggler policy; allowed: %s%s", c.Template, allowed(), nearest(c.Template))
	case build == nil:
		return nil, invalidf("straggler policy %q is not supported; allowed: %s", c.Template, allowed())
	case len(c.Settings) > 0:
		return nil, invalidf("straggler policy %q takes no settings, found %s", c.Template, strings.Join(slices.Sorted(maps.Keys(c.Settings)), ", "))
	}
	return build(), nil
}

func names() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		if name != "" && policies[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

func allowed() string { return strings.Join(names(), ", ") }

func nearest(template string) string {
	if hint := schema.DidYouMean(template, names()); hint != "" {
		return "; " + hint
	}
	return ""
}

func invalidf(format string, a ...any) error {
	return fmt.Errorf("%w: straggler_handling_policy: %s", schema.ErrInvalid, fmt.Sprintf(format, a...))
}
