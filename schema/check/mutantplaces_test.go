package check_test

import (
	"slices"
	"strings"

	"fx/schema"
)

// foreignKeys puts a setting of one section into another.
func foreignKeys(s *subject, emit func(mutant)) {
	for _, move := range []struct{ to, line string }{
		{"collaborator", "rounds_to_train: 3"}, {"collaborator", "agg_port: 50051"}, {"aggregator", "opt_treatment: RESET"},
		{"aggregator", "task_groups: []"}, {"network", "batch_size: 3"}, {"network", "rounds_to_train: 3"}, {"assigner", "epochs: 1"},
	} {
		key := s.root.Lookup(move.to).Key("settings")
		settings := s.root.At(move.to, "settings")
		if key == nil || settings == nil || len(settings.Pairs) == 0 || settings.Line == key.Line {
			continue
		}
		pad := strings.Repeat(" ", settings.Column-1)
		emit(mutant{s.inserted(key.Line, pad+move.line), []int{key.Line + 1}, "there is no such key"})
	}
}

// duplicates writes each entry twice.
func duplicates(s *subject, emit func(mutant)) {
	for _, p := range s.spots() {
		if first, last, ok := s.blockOf(p); ok {
			emit(mutant{s.inserted(last, s.lines[first-1:last]...), []int{last + 1}, "remove one of the two"})
		}
	}
}

// required lists the entries that a plan cannot do without.
var required = []string{
	"aggregator.template", "aggregator.settings.rounds_to_train", "aggregator.settings.init_state_path", "aggregator.settings.best_state_path",
	"aggregator.settings.last_state_path", "collaborator.template", "network.settings.agg_addr", "network.settings.agg_port",
	"assigner.template", "assigner.settings.task_groups", "assigner.settings.task_groups[].percentage", "assigner.settings.task_groups[].tasks",
	"data_loader.template", "task_runner.template", "compression_pipeline.template", "straggler_handling_policy.template",
	"tasks.*.function", "tasks.*.aggregation_type.template",
}

var requiredBuiltin = []string{"task_runner.settings.features", "task_runner.settings.classes", "task_runner.settings.hidden"}

// removals leaves required entries out. Where a defaults file has the entry,
// nothing is missing.
func removals(s *subject, emit func(mutant)) {
	for _, p := range s.spots() {
		first, last, ok := s.blockOf(p)
		if !ok || p.in == nil || !slices.Contains(required, p.path) && (!s.builtin || !slices.Contains(requiredBuiltin, p.path)) {
			continue
		}
		if section, _, _ := strings.Cut(p.path, "."); s.root.Lookup(section).Lookup("defaults") != nil {
			continue
		}
		at := []int{p.in.Line}
		if section, _, nested := strings.Cut(p.path, "."); nested {
			at = append(at, s.root.Key(section).Line) // settings may be gone with their only entry
		}
		if strings.Contains(p.path, "[]") {
			at = append(at, p.parent.Line)
		}
		text := s.cut(first, last)
		if len(p.parent.Pairs) == 1 && s.root != p.parent {
			text = s.cut(first, last, s.lines[first-1][:p.key.Column-1]+"{}")
			at = append(at, first)
		}
		emit(mutant{text, at, `"` + p.key.Text + `" is missing`})
	}
}

// numberKeys replaces the names of settings by numbers.
func numberKeys(s *subject, emit func(mutant)) {
	for _, p := range s.spots() {
		section, _, _ := strings.Cut(p.path, ".")
		if p.key != nil && (s.knownKey(p) || strings.HasPrefix(p.path, section+".settings.") && strings.Count(p.path, ".") == 2 && section != "tasks" && section != "federated_flow") {
			emit(mutant{s.renamed(p.key, "7"), []int{p.key.Line}, ""})
		}
	}
}

// sectionRemovals leaves out sections.
func sectionRemovals(s *subject, emit func(mutant)) {
	for _, p := range s.root.Pairs {
		switch p.Key.Text {
		case "aggregator", "collaborator", "network", "assigner", "data_loader", "task_runner", "tasks":
		default:
			continue
		}
		first, last, _ := s.block(p.Key)
		text := s.cut(first, last)
		line := s.root.Pairs[0].Key.Line
		if first == line && len(s.root.Pairs) > 1 {
			line = s.root.Pairs[1].Key.Line - (last - first + 1)
		}
		emit(mutant{text, []int{line}, `the section "` + p.Key.Text + `" is missing`})
	}
}

// sectionTypes makes sections something else than maps.
func sectionTypes(s *subject, emit func(mutant)) {
	for _, p := range s.root.Pairs {
		first, last, _ := s.block(p.Key)
		for _, value := range []string{"[]", "none", "5"} {
			emit(mutant{s.cut(first, last, p.Key.Text+": "+value), []int{first}, "a section is a map"})
		}
	}
}

// containers replaces maps or lists of which something is known by a scalar.
func containers(s *subject, emit func(mutant), kind schema.Kind) {
	for _, p := range s.spots() {
		first, last, ok := s.blockOf(p)
		known := s.knownKey(p) || strings.HasSuffix(p.path, ".settings") || p.path == "tasks.*"
		if !ok || p.value.Kind != kind || !known || strings.HasPrefix(p.path, "federated_flow.") || !strings.Contains(p.path, ".") {
			continue
		}
		emit(mutant{s.cut(first, last, s.lines[first-1][:p.key.Column-1]+p.key.Text+": word"), []int{first}, `found string "word"`})
	}
}

// renamedTasks renames each task that a group runs.
func renamedTasks(s *subject, emit func(mutant)) {
	groups := s.root.At("assigner", "settings", "task_groups")
	for _, p := range s.spots() {
		if p.path != "tasks.*" {
			continue
		}
		var at []int
		if groups == nil { // they are in a defaults file
			at = []int{s.root.Key("assigner").Line}
		} else {
			for _, g := range groups.Items {
				for _, n := range g.Lookup("tasks").Items {
					if n.Text == p.key.Text {
						at = append(at, n.Line)
					}
				}
			}
		}
		if len(at) > 0 && s.root.At("tasks", "defaults") == nil {
			emit(mutant{s.renamed(p.key, swapped(p.key.Text)), at, did(swapped(p.key.Text))})
		}
	}
}
