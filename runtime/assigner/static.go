package assigner

import (
	"slices"
	"strings"
)

// Static is OpenFL's StaticGroupedAssigner: the groups list their members, the
// same in every round.
type Static struct{ tasks map[string][]string }

func newStatic(groups []group, collaborators []string, _ string) (Assigner, error) {
	s := &Static{map[string][]string{}}
	owner := map[string]string{}
	for _, g := range groups {
		if g.hasPercentage {
			return nil, invalidf("task group %q has a percentage, which only %sRandomGroupedAssigner reads; a static group lists its collaborators", g.name, openfl)
		}
		if len(g.collaborators) > 0 && len(g.tasks) == 0 {
			return nil, invalidf("task group %q has %d collaborators but no tasks: their rounds would never end", g.name, len(g.collaborators))
		}
		for _, name := range g.collaborators {
			if _, found := slices.BinarySearch(collaborators, name); !found {
				return nil, invalidf("task group %q lists %q, who is not authorised; authorised are %s", g.name, name, strings.Join(collaborators, ", "))
			}
			if other, taken := owner[name]; taken {
				return nil, invalidf("collaborator %q is in the task groups %q and %q; one is needed", name, other, g.name)
			}
			owner[name] = g.name
			s.tasks[name] = g.tasks
		}
	}
	for _, name := range collaborators {
		if _, ok := owner[name]; !ok {
			return nil, invalidf("collaborator %q is in no task group; add it to the collaborators of one", name)
		}
	}
	return s, nil
}

// Assign implements Assigner.
func (s *Static) Assign(_ int, collaborators []string) map[string][]string {
	return pick(s.tasks, collaborators)
}
