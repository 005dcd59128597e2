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
	with := make(map[string]func(*Settings) T, len(table))
	for name, build := range table {
		if with[name] = nil; build != nil {
			with[name] = func(*Settings) T { return build() }
		}
	}
	return Build(with, c, section, kind)
}

// Build is [Choose] for a table of constructors that take settings.
func Build[T any](table map[string]func(*Settings) T, c Component, section, kind string) (T, error) {
	var names []string
	for _, name := range sortedKeys(table) {
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
	default:
		s := &Settings{values: c.Settings}
		made := build(s)
		if problem = s.end(fmt.Sprintf("%s %q", kind, c.Template)); problem == "" {
			return made, nil
		}
	}
	var none T
	return none, fmt.Errorf("%w: %s: %s", ErrInvalid, section, problem)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
