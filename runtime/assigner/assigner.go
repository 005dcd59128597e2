// Package assigner says who does what in a round. Assignment is a pure function
// of its settings and the round, so a restarted aggregator assigns as before.
package assigner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fx/schema"
)

// Assigner hands out tasks.
type Assigner interface {
	// Assign gives each of these collaborators the names of its tasks in this
	// round, in the order in which to do them. All authorised collaborators share
	// in the draw whether asked for or not, so asking for a few gives the same
	// answer for these as asking for all. The lists must not be changed.
	Assign(round int, collaborators []string) map[string][]string
}

const openfl = "openfl.component."

// assigners holds one constructor per template.
var assigners = map[string]func(groups []group, collaborators []string, seed string) (Assigner, error){
	openfl + "RandomGroupedAssigner": newRandom,
	openfl + "StaticGroupedAssigner": newStatic,
}

// New makes the assigner that a plan names, for the plan's tasks and the
// authorised collaborators. The seed, such as the federation id, decides the
// draws of random assigners. Errors wrap schema.ErrInvalid.
func New(c schema.Component, tasks []string, collaborators []string, seed string) (Assigner, error) {
	build, known := assigners[c.Template]
	if !known {
		names := slices.Sorted(maps.Keys(assigners))
		hint := schema.DidYouMean(c.Template, names)
		if hint != "" {
			hint = "; " + hint
		}
		return nil, invalidf("%q is no assigner; allowed: %s%s", c.Template, strings.Join(names, ", "), hint)
	}
	if len(collaborators) == 0 {
		return nil, invalidf("there is no authorised collaborator")
	}
	sorted := slices.Sorted(slices.Values(collaborators))
	for i := range sorted[1:] {
		if sorted[i] == sorted[i+1] {
			return nil, invalidf("collaborator %q is authorised twice", sorted[i])
		}
	}
	groups, err := parseGroups(c, tasks)
	if err != nil {
		return nil, err
	}
	return build(groups, sorted, seed)
}

// pick keeps the assignments of these collaborators.
func pick(all map[string][]string, collaborators []string) map[string][]string {
	picked := map[string][]string{}
	for _, name := range collaborators {
		if tasks, ok := all[name]; ok {
			picked[name] = tasks
		}
	}
	return picked
}

func invalidf(format string, a ...any) error {
	return fmt.Errorf("%w: assigner: %s", schema.ErrInvalid, fmt.Sprintf(format, a...))
}
