package check_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"fx/schema"
)

// knownKey matches the entries of maps that take no other keys than the schema's.
var knownKey = regexp.MustCompile(`^((` + strings.Join(schema.Sections(), "|") + `)` +
	`|(aggregator|assigner|collaborator|compression_pipeline|data_loader|network|straggler_handling_policy|task_runner)\.(template|settings|defaults)` +
	`|(aggregator|assigner|collaborator|network|straggler_handling_policy)\.settings\.\w+` +
	`|assigner\.settings\.task_groups\[\]\.\w+` +
	`|tasks\.\*\.(function|kwargs|aggregation_type)` +
	`|tasks\.\*\.aggregation_type\.(template|settings))$`)

var builtinKey = regexp.MustCompile(`^((task_runner|data_loader)\.settings\.\w+|tasks\.\*\.kwargs\.\w+)$`)

// What the values at a path must be.
const (
	integer = iota + 1
	number
	boolean
	filePath
	word
	text
	host
	port
	class
	defaults
	taskName
)

// rule is what is known about the value at a path.
type rule struct {
	is      int
	bad     []string // values of the right type that are out of range
	builtin bool     // only where the task runner is ours
}

var rules = map[string]rule{
	"aggregator.settings.rounds_to_train":                             {is: integer, bad: []string{"0", "-3", "99999999999"}},
	"aggregator.settings.db_store_rounds":                             {is: integer, bad: []string{"-2"}},
	"aggregator.settings.init_state_path":                             {is: filePath},
	"aggregator.settings.best_state_path":                             {is: filePath},
	"aggregator.settings.last_state_path":                             {is: filePath},
	"aggregator.settings.persistent_db_path":                          {is: filePath},
	"aggregator.settings.write_logs":                                  {is: boolean},
	"aggregator.settings.use_delta_updates":                           {is: boolean},
	"aggregator.settings.persist_checkpoint":                          {is: boolean},
	"collaborator.settings.opt_treatment":                             {is: word},
	"collaborator.settings.use_delta_updates":                         {is: boolean},
	"collaborator.settings.db_store_rounds":                           {is: integer, bad: []string{"-2"}},
	"network.settings.agg_addr":                                       {is: host},
	"network.settings.agg_port":                                       {is: port, bad: []string{"0", "-1", "65536", "500510"}},
	"network.settings.client_reconnect_interval":                      {is: number, bad: []string{"0", "-5"}},
	"network.settings.use_tls":                                        {is: boolean},
	"network.settings.tls":                                            {is: boolean},
	"network.settings.require_client_auth":                            {is: boolean},
	"network.settings.enable_atomic_connections":                      {is: boolean},
	"network.settings.transport_protocol":                             {is: word},
	"assigner.settings.task_groups[].percentage":                      {is: number, bad: []string{"-0.5", "1.5", "100"}},
	"assigner.settings.task_groups[].name":                            {is: text},
	"assigner.settings.task_groups[].tasks[]":                         {is: taskName},
	"straggler_handling_policy.settings.percent_collaborators_needed": {is: number, bad: []string{"-0.5", "1.5"}},
	"straggler_handling_policy.settings.minimum_reporting":            {is: integer, bad: []string{"0", "-1"}},
	"tasks.*.function":                                                {is: text},
	"tasks.*.kwargs.apply":                                            {is: word},
	"tasks.*.kwargs.epochs":                                           {is: integer, bad: []string{"0", "-1"}, builtin: true},
	"tasks.*.kwargs.lr":                                               {is: number, bad: []string{"-0.1"}, builtin: true},
	"tasks.*.kwargs.metrics[]":                                        {is: word, builtin: true},
	"task_runner.settings.features":                                   {is: integer, bad: []string{"0", "65537"}, builtin: true},
	"task_runner.settings.hidden":                                     {is: integer, bad: []string{"0", "16385"}, builtin: true},
	"task_runner.settings.classes":                                    {is: integer, bad: []string{"1", "4097"}, builtin: true},
	"data_loader.settings.batch_size":                                 {is: integer, bad: []string{"0", "4097"}, builtin: true},
	"data_loader.settings.scale":                                      {is: number, bad: []string{"0", "-16"}, builtin: true},
	"tasks.defaults":                                                  {is: defaults},
	"tasks.*.aggregation_type.template":                               {is: class},
}

// rule is what is known about a spot's value; is is 0 where nothing is.
func (s *subject) rule(p spot) rule {
	r, ok := rules[p.path]
	if section, last, two := strings.Cut(p.path, "."); !ok && two && section != "tasks" {
		switch last {
		case "template":
			r.is = class
		case "defaults":
			r.is = defaults
		}
	}
	switch {
	case r.builtin && !s.builtin,
		r.is == taskName && !s.tasks, // that there is no task is the finding
		r.is == defaults && p.value.Kind != schema.KindString:
		return rule{}
	}
	return r
}

func (s *subject) knownKey(p spot) bool {
	return p.key != nil && (knownKey.MatchString(p.path) || s.builtin && builtinKey.MatchString(p.path))
}

// keys emits mutants that rename keys.
func keys(change func(string) string) func(*subject, func(mutant)) {
	return func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if !s.knownKey(p) {
				continue
			}
			if name := change(p.key.Text); name != p.key.Text {
				emit(mutant{s.renamed(p.key, name), []int{p.key.Line}, did(p.key.Text)})
			}
		}
	}
}

// values emits mutants that replace the scalars of which something is known by
// what change returns.
func values(change func(s *subject, r rule, p spot) (with []string, says string)) func(*subject, func(mutant)) {
	return func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			r := s.rule(p)
			if r.is == 0 || !s.scalar(p) {
				continue
			}
			with, says := change(s, r, p)
			for _, w := range with {
				emit(mutant{s.replaced(p.value, w), []int{p.value.Line}, says})
			}
		}
	}
}

func oneOf(is int, of ...int) bool { return slices.Contains(of, is) }

func did(name string) string { return fmt.Sprintf("did you mean %q", name) }

func ids(names ...string) []string { return names }

// contentKinds are the mistakes in what a plan says.
var contentKinds = []kind{
	{"key: letters swapped", ids("unknown-key", "type", "missing-key"), keys(swapped)},
	{"key: letter missing", ids("unknown-key", "type", "missing-key"), keys(func(k string) string { return k[:len(k)/2] + k[len(k)/2+1:] })},
	{"key: letter doubled", ids("unknown-key", "type", "missing-key"), keys(func(k string) string { return k[:2] + k[1:] })},
	{"key: capital letter", ids("unknown-key", "type", "missing-key"), keys(func(k string) string { return strings.ToUpper(k[:1]) + k[1:] })},
	{"key: hyphen for underscore", ids("unknown-key"), keys(func(k string) string { return strings.ReplaceAll(k, "_", "-") })},
	{"key: Cyrillic letter", ids("unknown-key", "type", "missing-key"), keys(func(k string) string { return strings.Replace(k, "e", "е", 1) })},
	{"key: none of this section", ids("unknown-key"), foreignKeys},
	{"key: twice", ids("duplicate-key"), duplicates},
	{"key: missing", ids("missing-key"), removals},
	{"key: a number", ids("type", "unknown-key"), numberKeys},
	{"section: missing", ids("missing-key"), sectionRemovals},
	{"section: unknown", ids("unknown-key"), func(s *subject, emit func(mutant)) {
		n := s.content()
		last := n[len(n)-1]
		emit(mutant{s.inserted(last, "aggregation:", "  template: openfl.component.Aggregator"), []int{last + 1}, "there is no such section"})
	}},
	{"section: a list or a word", ids("type"), sectionTypes},

	{"type: word for a number", ids("type", "unsupported"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if oneOf(r.is, integer, number, port) {
			return []string{"ten"}, `found string "ten"`
		}
		return nil, ""
	})},
	{"type: quoted number", ids("type"), values(func(s *subject, r rule, p spot) ([]string, string) {
		if oneOf(r.is, integer, number, port) && p.value.Kind != schema.KindString {
			return []string{"'" + s.source(p.value) + "'"}, "remove the quotes"
		}
		return nil, ""
	})},
	{"type: fraction for an integer", ids("type"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if oneOf(r.is, integer, port) {
			return []string{"10.5"}, "found number 10.5"
		}
		return nil, ""
	})},
	{"type: exponent without a dot", ids("type"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if oneOf(r.is, number) {
			return []string{"1e-1"}, "write 1.0e-1"
		}
		return nil, ""
	})},
	{"type: decimal comma", ids("type"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if oneOf(r.is, number) {
			return []string{"0,5"}, "write 0.5"
		}
		return nil, ""
	})},
	{"type: percent sign", ids("type"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if strings.HasSuffix(p.path, "percentage") {
			return []string{"100%"}, `found string "100%"`
		}
		return nil, ""
	})},
	{"type: word for a boolean", ids("type", "value"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if r.is == boolean {
			return []string{"ja", "1"}, "true or false"
		}
		return nil, ""
	})},
	{"type: quoted boolean", ids("type", "value"), values(func(s *subject, r rule, p spot) ([]string, string) {
		if r.is == boolean {
			return []string{"'" + s.source(p.value) + "'"}, "remove the quotes"
		}
		return nil, ""
	})},
	{"type: boolean for a word", ids("type", "value", "unknown-template"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if oneOf(r.is, filePath, word, text, host, class, defaults, taskName) {
			return []string{"no"}, "found false"
		}
		return nil, ""
	})},
	{"type: number for a word", ids("type", "value", "unknown-template"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if oneOf(r.is, filePath, word, text, host, class, defaults, taskName) {
			return []string{"12"}, "found integer 12"
		}
		return nil, ""
	})},
	{"type: list for a scalar", ids("type", "value", "unknown-template"), values(func(_ *subject, _ rule, _ spot) ([]string, string) {
		return []string{"[1, 2]"}, "found a list of 2"
	})},
	{"type: map for a scalar", ids("type", "value", "unknown-template"), values(func(_ *subject, _ rule, _ spot) ([]string, string) {
		return []string{"{a: 1}"}, "found a map of 1"
	})},
	{"type: nothing", ids("type", "value", "missing-key", "unknown-template", "empty-value"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is == defaults {
			return nil, "" // OpenFL takes an empty defaults: for none
		}
		return []string{"null", "~"}, ""
	})},
	{"type: empty string", ids("empty-value", "type", "value", "address", "unknown-task", "unknown-template", "unknown-defaults"), values(func(_ *subject, _ rule, _ spot) ([]string, string) {
		return []string{`""`}, ""
	})},
	{"type: scalar for a map", ids("type"), func(s *subject, emit func(mutant)) { containers(s, emit, schema.KindMap) }},
	{"type: scalar for a list", ids("type"), func(s *subject, emit func(mutant)) { containers(s, emit, schema.KindList) }},

	{"value: out of range", ids("out-of-range"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		return r.bad, "allowed "
	})},
	{"value: misspelt word", ids("value"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is == word && p.value.Kind == schema.KindString {
			return []string{swapped(p.value.Text)}, did(p.value.Text)
		}
		return nil, ""
	})},
	{"value: word in the other case", ids("value"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is != word || p.value.Kind != schema.KindString {
			return nil, ""
		}
		other := strings.ToUpper(p.value.Text)
		if other == p.value.Text {
			other = strings.ToLower(other)
		}
		return []string{other}, did(p.value.Text)
	})},
	{"value: typographic quotes", ids("value", "type"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is == word && p.value.Kind == schema.KindString {
			return []string{"“" + p.value.Text + "”"}, did(p.value.Text)
		}
		return nil, ""
	})},
	{"value: unknown template", ids("unknown-template"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is == class && p.value.Kind == schema.KindString && !strings.HasPrefix(p.value.Text, "src.") && !strings.Contains(p.value.Text, "experimental") {
			return []string{swapped(p.value.Text)}, "did you mean "
		}
		return nil, ""
	})},
	{"value: unknown defaults file", ids("unknown-defaults"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is == defaults {
			return []string{swapped(p.value.Text), strings.Replace(p.value.Text, ".yaml", ".yml", 1), strings.Replace(p.value.Text, "plan/", "", 1)}, did(p.value.Text)
		}
		return nil, ""
	})},
	{"value: path leaves the workspace", ids("path-outside"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is == filePath {
			return []string{"../" + p.value.Text, "/" + p.value.Text, "save/../../x", `save\x`}, "a relative path"
		}
		return nil, ""
	})},
	{"value: port or scheme in the address", ids("address"), values(func(_ *subject, r rule, _ spot) ([]string, string) {
		if r.is == host {
			return []string{"agg.example.org:50051", "https://agg.example.org", "agg example"}, "agg_port"
		}
		return nil, ""
	})},
	{"value: TLS off", ids("insecure"), values(func(_ *subject, _ rule, p spot) ([]string, string) {
		if strings.HasSuffix(p.path, "tls") || strings.HasSuffix(p.path, "require_client_auth") {
			return []string{"false", "off"}, "remove the key"
		}
		return nil, ""
	})},

	{"group: unknown task", ids("unknown-task"), values(func(_ *subject, r rule, p spot) ([]string, string) {
		if r.is == taskName {
			return []string{swapped(p.value.Text)}, did(p.value.Text)
		}
		return nil, ""
	})},
	{"group: task renamed", ids("unknown-task"), renamedTasks},
	{"group: task twice", ids("duplicate-value"), func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if s.rule(p).is == taskName && p.value.Kind == schema.KindString && strings.TrimSpace(s.lines[p.value.Line-1]) == "- "+p.value.Text {
				emit(mutant{s.inserted(p.value.Line, s.lines[p.value.Line-1]), []int{p.value.Line + 1}, "twice"})
			}
		}
	}},
	{"group: percentages", ids("percentages"), func(s *subject, emit func(mutant)) {
		list := s.root.At("assigner", "settings", "task_groups")
		for _, p := range s.spots() {
			if strings.HasSuffix(p.path, "task_groups[].percentage") {
				for _, with := range []string{"0.7", "0.33"} {
					emit(mutant{s.replaced(p.value, with), []int{list.Line, p.value.Line}, "found a sum of "})
				}
			}
		}
	}},
	{"group: without a task", ids("empty-value", "type"), func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if p.path != "assigner.settings.task_groups[].tasks" {
				continue
			}
			if first, last, ok := s.block(p.key); ok {
				emit(mutant{s.cut(first, last, s.lines[first-1][:p.key.Column-1]+"tasks: []"), []int{first}, ""})
			}
		}
	}},
}
