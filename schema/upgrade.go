package schema

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Upgrade is one thing that was rewritten for OpenFL 1.9.
type Upgrade struct {
	Line   int    `json:"line"` // in the plan as it was
	Path   string `json:"path"` // as it was
	Action string `json:"action"`
	To     string `json:"to,omitempty"` // the new name, where there is one
	Why    string `json:"why"`
}

// UpgradePlan rewrites the text of a plan for OpenFL 1.6 to 1.8 in the words of
// 1.9: renamed keys, renamed classes, keys that are gone, defaults files that are
// gone. Comments, order and layout stay. A text that needs nothing is returned
// as it is. The error is Findings: the text cannot be read, contradicts itself,
// or is written so that it cannot be changed in place.
func UpgradePlan(name string, data []byte) ([]byte, []Upgrade, error) {
	root, fs := readYAML(name, data, MaxPlanBytes)
	if len(fs) > 0 {
		return nil, nil, fs.Err()
	}
	if root.Kind != KindMap {
		return nil, nil, mergeDefaults(root)
	}
	u := &upgrader{editor: newEditor(data), root: clone(root, map[*Node]*Node{}), uses: map[*Node]int{}}
	u.count(u.root)
	u.defaultsFiles()
	for _, r := range renames {
		u.rename(r.section, r.old, r.current, r.negated, r.why)
	}
	u.drop("aggregator", "log_metric_callback", "gone since 1.7, whose aggregator refuses keys that it does not know; write_logs: true writes metrics to a file")
	u.policy()
	if len(u.problems) > 0 {
		return nil, nil, u.problems.Err()
	}
	if len(u.done) == 0 {
		return data, nil, nil
	}
	out, ok := u.apply()
	if ok {
		var again *Node
		again, fs = readYAML(name, out, MaxPlanBytes)
		ok = len(fs) == 0 && bytes.Equal(Dump(unshare(again)), Dump(unshare(u.root)))
	}
	if !ok {
		u.complain(root, "", "the text of this plan cannot be changed in place")
		return nil, nil, u.problems.Err()
	}
	slices.SortStableFunc(u.done, func(a, b Upgrade) int { return a.Line - b.Line })
	return out, u.done, nil
}

// renames lists the settings that have another name in 1.9.
var renames = []struct {
	section, old, current string
	negated               bool
	why                   string
}{
	{"collaborator", "delta_updates", "use_delta_updates", false, "1.8 and 1.9 refuse the old name"},
	{"network", "tls", "use_tls", false, "1.7 to 1.9 ignore the old name, and use TLS whatever it says"},
	{"network", "disable_client_auth", "require_client_auth", true, "1.7 to 1.9 ignore the old name, and require certificates whatever it says; the meaning is the opposite"},
}

// upgrader changes a plan twice: as text, and as values, so that the two can be
// compared in the end.
type upgrader struct {
	*editor
	root     *Node
	uses     map[*Node]int // how often a map or list is reached: more than once by aliases
	done     []Upgrade
	problems Findings
}

func (u *upgrader) count(n *Node) {
	u.uses[n]++
	if u.uses[n] > 1 {
		return
	}
	for _, item := range n.Items {
		u.count(item)
	}
	for _, p := range n.Pairs {
		u.uses[p.Key]++ // a merge key copies pairs
		u.count(p.Value)
	}
}

func (u *upgrader) complain(n *Node, path, format string, a ...any) {
	f := n.finding("upgrade", path, format, a...)
	f.Hint = "change this place by hand"
	u.problems = append(u.problems, f)
}

// settings is the settings of a section, nil if there are none.
func (u *upgrader) settings(section string) *Node {
	s := u.root.At(section, "settings")
	if s == nil || s.Kind != KindMap {
		return nil
	}
	return s
}

// shared tells whether a place is used a second time through an alias or a merge
// key, so that changing it would change something else.
func (u *upgrader) shared(section string, nodes ...*Node) bool {
	nodes = append(nodes, u.root.Lookup(section), u.root.At(section, "settings"))
	for _, n := range nodes {
		if n != nil && u.uses[n] > 1 {
			return true
		}
	}
	return false
}

func (u *upgrader) rename(section, old, current string, negated bool, why string) {
	settings := u.settings(section)
	key, value := settings.Key(old), settings.Lookup(old)
	if key == nil {
		return
	}
	path := section + ".settings." + old
	if u.shared(section, key, value) {
		u.complain(key, path, "the key is part of a value that is used twice")
		return
	}
	if negated && value.Kind != KindBool {
		u.complain(value, path, "%s cannot become its opposite: it is no boolean", old)
		return
	}
	if other := settings.Lookup(current); other != nil {
		agree := value.Kind == KindBool && other.Kind == KindBool && (value.Bool != negated) == other.Bool
		switch {
		case !agree:
			u.complain(key, path, "%s and %s are both set, and contradict each other", old, current)
		case !u.remove(key):
			u.complain(key, path, "%s and %s are both set", old, current)
		default:
			settings.remove(old)
			u.done = append(u.done, Upgrade{key.Line, path, "removed", "", current + " says the same; " + why})
		}
		return
	}
	ok := u.replace(key, old, current)
	newValue := value
	if negated {
		newValue = &Node{Kind: KindBool, Bool: !value.Bool, File: value.File, Line: value.Line, Column: value.Column}
		text := "true"
		if value.Bool {
			text = "false"
		}
		ok = ok && u.replaceBool(value, text)
	}
	if !ok {
		u.complain(key, path, "%s is written in a way that cannot be changed in place", old)
		return
	}
	settings.remove(old)
	settings.Pairs = append(settings.Pairs, Pair{&Node{Kind: KindString, Text: current, File: key.File, Line: key.Line, Column: key.Column}, newValue})
	u.done = append(u.done, Upgrade{key.Line, path, "renamed", section + ".settings." + current, why})
}

// drop removes a setting that nothing knows any more.
func (u *upgrader) drop(section, name, why string) {
	settings := u.settings(section)
	key := settings.Key(name)
	if key == nil {
		return
	}
	path := section + ".settings." + name
	if len(settings.Pairs) == 1 || u.shared(section, key) || !u.remove(key) {
		u.complain(key, path, "%s is written in a way that cannot be removed in place", name)
		return
	}
	settings.remove(name)
	u.done = append(u.done, Upgrade{key.Line, path, "removed", "", why})
}

// policy gives a straggler policy its present class path.
func (u *upgrader) policy() {
	const section, path = "straggler_handling_policy", "straggler_handling_policy.template"
	template := u.root.At(section, "template")
	if template == nil || template.Kind != KindString || !strings.HasPrefix(template.Text, stragglers16) {
		return
	}
	name := CanonicalTemplate(template.Text)
	if name == template.Text {
		return // not one of OpenFL's
	}
	if u.shared(section) || !u.replace(template, template.Text, name) {
		u.complain(template, path, "the class path is written in a way that cannot be changed in place")
		return
	}
	line := template.Line
	u.root.Lookup(section).set(u.root.Lookup(section).Key("template"), &Node{Kind: KindString, Text: name})
	u.done = append(u.done, Upgrade{line, path, "renamed", name, "1.8 and 1.9 have no module of the old name"})
}

// gone holds the defaults files that 1.9 no longer has, with what they said.
var gone = map[string]string{
	"plan/defaults/tasks_tensorflow.yaml": `aggregated_model_validation: {function: validate, kwargs: {apply: global, batch_size: 32, metrics: [acc]}}
locally_tuned_model_validation: {function: validate, kwargs: {apply: local, batch_size: 32, metrics: [acc]}}
train: {function: train_batches, kwargs: {batch_size: 32, epochs: 1, metrics: [loss]}}
`,
	"plan/defaults/federated-evaluation/tasks_torch.yaml": `aggregated_model_validation: {function: validate_task, kwargs: {apply: global, metrics: [acc]}}
`,
	"plan/defaults/federated-evaluation/aggregator.yaml": `template: openfl.component.Aggregator
settings: {db_store_rounds: 2, rounds_to_train: 1, write_logs: true}
`,
	"plan/defaults/federated-evaluation/assigner.yaml": `template: openfl.component.RandomGroupedAssigner
settings:
  task_groups: [{name: evaluation, percentage: 1.0, tasks: [aggregated_model_validation]}]
`,
}

// defaultsFiles writes into the plan what came from files that are gone.
func (u *upgrader) defaultsFiles() {
	for _, p := range u.root.Pairs {
		file := p.Value.Lookup("defaults")
		if file == nil || file.Kind != KindString || gone[file.Text] == "" {
			continue
		}
		name := p.Key.KeyText()
		path := Child(Child("", name), "defaults")
		base, fs := readYAML(file.Text, []byte(gone[file.Text]), MaxPlanBytes)
		if len(fs) > 0 {
			panic("a defaults file that is built in cannot be read: " + fs.Error()) // a bug
		}
		key := p.Value.Key("defaults")
		own := p.Value.Lookup("settings")
		line := key.Line
		missing, inside := lacking(base, p.Value, own)
		hollow := p.Value.Key("settings") != nil && len(own.Entries()) == 0 && base.Lookup("settings") != nil
		ok := !hollow && !u.shared(name, key) && (len(missing.Pairs) == 0 || u.insert(key, missing)) && u.remove(key)
		if ok && len(inside.Pairs) > 0 {
			ok = u.insert(own.Pairs[0].Key, inside)
		}
		if !ok {
			u.complain(file, path, "the file %s is gone, and what it said cannot be written here in place", file.Text)
			continue
		}
		p.Value.remove("defaults")
		p.Value.Pairs = append(p.Value.Pairs, missing.Pairs...)
		if own != nil && own.Kind == KindMap {
			own.Pairs = append(own.Pairs, inside.Pairs...)
		}
		u.done = append(u.done, Upgrade{line, path, "written out", "", fmt.Sprintf("1.9 has no %s: it would merge nothing", file.Text)})
	}
}

// lacking is what a defaults file adds to a section, and, if the section has
// settings of its own, to these.
func lacking(base, section, own *Node) (missing, inside *Node) {
	missing, inside = &Node{Kind: KindMap}, &Node{Kind: KindMap}
	for _, p := range base.Pairs {
		switch has := section.Key(p.Key.Text) != nil; {
		case !has:
			missing.Pairs = append(missing.Pairs, p)
		case p.Key.Text == "settings" && own != nil && own.Kind == KindMap && len(own.Pairs) > 0:
			for _, s := range p.Value.Pairs {
				if own.Key(s.Key.Text) == nil {
					inside.Pairs = append(inside.Pairs, s)
				}
			}
		}
	}
	return missing, inside
}

// unshare copies a value so that nothing in it is there twice: the two sides of
// a comparison need not share alike.
func unshare(n *Node) *Node {
	c := *n
	c.Items, c.Pairs = nil, nil
	for _, item := range n.Items {
		c.Items = append(c.Items, unshare(item))
	}
	for _, p := range n.Pairs {
		c.Pairs = append(c.Pairs, Pair{p.Key, unshare(p.Value)})
	}
	return &c
}
