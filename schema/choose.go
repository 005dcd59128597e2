package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Choose makes what a component of a plan names from a closed table of
// constructors, by template in [CanonicalTemplate]'s spelling. The template ""
// stands for a component that the plan leaves out; a nil constructor is one of
// OpenFL's that fx does not have. section and kind are for messages, as in
// "compression_pipeline" and "compression pipeline". None of them takes
// settings. Errors wrap ErrInvalid, list what is allowed, and suggest the
// nearest.
func Choose[T any](table map[string]func() T, c Component, section, kind string) (T, error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if name != "" && table[name] != nil {
			names = append(names, name)
		}
	}
	build, known := table[c.Template]
	var problem string
	switch {
	case !known:
		problem = fmt.Sprintf("%q is no %s; allowed: %s", c.Template, kind, strings.Join(names, ", "))
		if hint := DidYouMean(c.Template, names); hint != "" {
			problem += "; " + hint
		}
	case build == nil:
		problem = fmt.Sprintf("%s %q is not supported; allowed: %s", kind, c.Template, strings.Join(names, ", "))
	case len(c.Settings) > 0:
		problem = fmt.Sprintf("%s %q takes no settings, found %s", kind, c.Template, strings.Join(slices.Sorted(maps.Keys(c.Settings)), ", "))
	default:
		return build(), nil
	}
	var none T
	return none, fmt.Errorf("%w: %s: %s", ErrInvalid, section, problem)
}
