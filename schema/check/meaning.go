package check

import (
	"fmt"
	"slices"
	"strings"

	"fx/schema"
)

// phrases say what a setting is about, for the settings that a reviewer asks
// for. before and after stand for the two values.
var phrases = map[string]struct {
	area   Area
	phrase string
}{
	"aggregator.settings.rounds_to_train":          {WhatRuns, "rounds"},
	"aggregator.settings.init_state_path":          {WhatRuns, "training starts from the model in"},
	"aggregator.settings.best_state_path":          {WhatRuns, "the best model is written to"},
	"aggregator.settings.last_state_path":          {WhatRuns, "the latest model is written to"},
	"aggregator.settings.use_delta_updates":        {WhatLeaves, "the aggregator sends models as differences"},
	"aggregator.settings.secure_aggregation":       {Combined, "secure aggregation"},
	"collaborator.settings.use_delta_updates":      {WhatLeaves, "collaborators send models as differences"},
	"collaborator.settings.opt_treatment":          {WhatLeaves, "the state of the optimizer between rounds"},
	"compression_pipeline.template":                {WhatLeaves, "tensors travel through"},
	"straggler_handling_policy.template":           {Combined, "a round closes by"},
	"assigner.template":                            {WhatRuns, "tasks are given out by"},
	"task_runner.template":                         {WhatRuns, "the task runner is"},
	"data_loader.template":                         {WhatRuns, "data is read by"},
	"network.settings.agg_addr":                    {ToWhere, "the aggregator is at"},
	"network.settings.agg_port":                    {ToWhere, "the aggregator listens on port"},
	"network.settings.use_tls":                     {ToWhere, "the connection is encrypted"},
	"network.settings.require_client_auth":         {ToWhere, "collaborators show a certificate"},
	"network.settings.enable_atomic_connections":   {ToWhere, "a new connection for every request"},
	"network.settings.client_reconnect_interval":   {ToWhere, "seconds between two attempts to connect"},
	"network.settings.transport_protocol":          {ToWhere, "the protocol is"},
	"network.settings.single_col_cert_common_name": {ToWhere, "one certificate for all, of the name"},
}

// meaning says what a difference at path is about, and in one sentence what it
// means. a or b is nil if the value is only in one of the plans.
func meaning(path string, a, b *schema.Node) (Area, string) {
	if says, ok := sameMeaning(path, a, b); ok {
		return NoEffect, says
	}
	section, rest, _ := strings.Cut(path, ".")
	if section == "tasks" || strings.HasPrefix(path, "tasks[") {
		return taskMeaning(path, a, b)
	}
	if p, ok := phrases[path]; ok {
		extra := ""
		if strings.HasSuffix(path, ".template") {
			a, b = classNames(a, b)
			if b != nil && strings.HasPrefix(b.Text, "src.") {
				extra = ", code of the workspace"
			}
		}
		if path == "collaborator.settings.opt_treatment" && b != nil && b.Text == "CONTINUE_GLOBAL" {
			extra = ": it is sent to the aggregator as well"
		}
		return p.area, sentence(p.phrase, a, b) + extra
	}
	area := WhatRuns
	switch section {
	case "network":
		area = ToWhere
	case "egress", "compression_pipeline":
		area = WhatLeaves
	case "straggler_handling_policy", "rounds":
		area = Combined
	}
	label := strings.TrimPrefix(rest, "settings.")
	switch {
	case rest == "":
		return area, sectionSentence(path, a, b)
	case section == "assigner" && strings.HasPrefix(label, "task_groups.") || strings.HasPrefix(label, "task_groups["):
		return area, groupSentence(strings.TrimPrefix(label, "task_groups"), a, b)
	}
	return area, sentence(strings.ReplaceAll(section, "_", " ")+": "+label, a, b)
}

// classNames leaves of OpenFL's class paths the class, as long as the two differ.
func classNames(a, b *schema.Node) (*schema.Node, *schema.Node) {
	short := func(n *schema.Node) *schema.Node {
		if n == nil || n.Kind != schema.KindString || !strings.HasPrefix(n.Text, "openfl.") {
			return n
		}
		c := *n
		c.Text = last(n.Text)
		return &c
	}
	x, y := short(a), short(b)
	if x != nil && y != nil && x.Text == y.Text {
		return a, b
	}
	return x, y
}

// sameMeaning recognizes differences that only change the ids.
func sameMeaning(path string, a, b *schema.Node) (string, bool) {
	if a != nil && b != nil {
		x, xNumber := scalarNumber(a)
		y, yNumber := scalarNumber(b)
		switch {
		case xNumber && yNumber && x == y:
			return last(path) + " is the same number, written otherwise", true
		case strings.HasSuffix(path, ".template") && a.Kind == schema.KindString && b.Kind == schema.KindString &&
			sameClass(path, a.Text, b.Text):
			return fmt.Sprintf("%s is another name of the same class: %s becomes %s", path, a.Text, b.Text), true
		}
	}
	section, key, ok := strings.Cut(path, ".settings.")
	for _, k := range Settings(section, "") {
		if ok && k.Name == key && k.Idle {
			return sentence(key, a, b) + "; fx has no use for it, but it is hashed", true
		}
	}
	return "", false
}

// sameClass tells whether two templates at a place are names of one class.
func sameClass(path, a, b string) bool {
	section, _, _ := strings.Cut(path, ".")
	words := wordsOf("enum", object(definition(section), "properties", "template"))
	one := section == "aggregator" || section == "collaborator" // one implementation under several names
	return schema.CanonicalTemplate(a) == schema.CanonicalTemplate(b) ||
		one && slices.Contains(words, a) && slices.Contains(words, b)
}

func scalarNumber(n *schema.Node) (float64, bool) {
	switch n.Kind {
	case schema.KindInt:
		return float64(n.Int), true
	case schema.KindFloat:
		return n.Float, true
	}
	return 0, false
}

// sentence is `label: before becomes after` in the form that fits what is there.
func sentence(label string, a, b *schema.Node) string {
	switch {
	case a == nil:
		return fmt.Sprintf("%s: %s, which was not set", label, Value(b))
	case b == nil:
		return fmt.Sprintf("%s: no longer set (was %s)", label, Value(a))
	case a.Kind == schema.KindList && b.Kind == schema.KindList:
		return label + ": " + listSentence(a, b)
	}
	return fmt.Sprintf("%s: %s becomes %s", label, Value(a), Value(b))
}

// listSentence says which values come and go.
func listSentence(a, b *schema.Node) string {
	more, less := without(b, a), without(a, b)
	var parts []string
	if len(more) > 0 {
		parts = append(parts, strings.Join(more, ", ")+" comes in")
	}
	if len(less) > 0 {
		parts = append(parts, strings.Join(less, ", ")+" goes out")
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%s becomes %s", Value(a), Value(b))
	}
	return strings.Join(parts, "; ")
}

// without lists the values of a list that another does not have.
func without(n, other *schema.Node) []string {
	has := map[string]bool{}
	for _, item := range other.Items {
		has[Value(item)] = true
	}
	var out []string
	for _, item := range n.Items {
		if v := Value(item); !has[v] {
			out = append(out, v)
		}
	}
	return out
}

func sectionSentence(name string, a, b *schema.Node) string {
	if a == nil {
		return fmt.Sprintf("the section %s is new", name) + ofTemplate(b)
	}
	if b == nil {
		return fmt.Sprintf("the section %s is gone", name) + ofTemplate(a)
	}
	return sentence("section "+name, a, b)
}

func ofTemplate(n *schema.Node) string {
	if t := templateText(n); t != "" {
		return ": " + t
	}
	return ""
}

// groupSentence is about a task group or something in it. label is what follows
// task_groups in the path.
func groupSentence(label string, a, b *schema.Node) string {
	name, key, inside := strings.Cut(strings.TrimPrefix(label, "."), ".")
	if inside {
		return sentence(fmt.Sprintf("task group %q: %s", name, key), a, b)
	}
	switch {
	case a == nil:
		return fmt.Sprintf("task group %q is new: %s", name, tasksOf(b))
	case b == nil:
		return fmt.Sprintf("task group %q is gone: it ran %s", name, tasksOf(a))
	}
	return sentence(fmt.Sprintf("task group %q", name), a, b)
}

func tasksOf(group *schema.Node) string {
	if tasks := group.Lookup("tasks"); tasks != nil {
		return Value(tasks)
	}
	return "no task"
}

// taskMeaning is about a task or something in it.
func taskMeaning(path string, a, b *schema.Node) (Area, string) {
	name, key := taskPath(path)
	label := fmt.Sprintf("task %q", name)
	switch {
	case key == "" && a == nil:
		return WhatRuns, label + " is new: " + taskSentence(b)
	case key == "" && b == nil:
		return WhatRuns, label + " is gone: " + taskSentence(a)
	case key == "function":
		return WhatRuns, sentence(label+" runs", a, b)
	case key == "kwargs.metrics":
		return WhatLeaves, sentence(label+" may report", a, b)
	case key == "kwargs.apply":
		return WhatRuns, sentence(label+" looks at the model", a, b)
	case key == "aggregation_type.template":
		a, b = classNames(a, b)
		return Combined, sentence(label+" is combined by", a, b)
	case strings.HasPrefix(key, "aggregation_type"):
		return Combined, sentence(label+": "+strings.TrimPrefix(key, "aggregation_type."), a, b)
	}
	return WhatRuns, sentence(label+": "+strings.TrimPrefix(key, "kwargs."), a, b)
}

// taskPath splits tasks.NAME.KEY, whose name may be in brackets.
func taskPath(path string) (name, key string) {
	rest := strings.TrimPrefix(path, "tasks")
	if strings.HasPrefix(rest, "[") {
		if end := strings.Index(rest, `"]`); end > 2 {
			return rest[2:end], strings.TrimPrefix(rest[end+2:], ".")
		}
	}
	name, key, _ = strings.Cut(strings.TrimPrefix(rest, "."), ".")
	return name, key
}

func taskSentence(task *schema.Node) string {
	if f := task.Lookup("function"); f != nil {
		return "it runs " + Value(f)
	}
	return "it has no function"
}

// Value is a value in one short line, for sentences.
func Value(n *schema.Node) string {
	var text string
	switch n.Kind {
	case schema.KindString:
		text = n.Text
	case schema.KindBool:
		if n.Bool {
			return "yes"
		}
		return "no"
	case schema.KindNull:
		return "nothing"
	case schema.KindList:
		items := make([]string, len(n.Items))
		for i, item := range n.Items {
			items[i] = Value(item)
		}
		text = strings.Join(items, ", ")
		if text == "" {
			text = "nothing"
		}
	case schema.KindMap:
		items := make([]string, len(n.Pairs))
		for i, p := range n.Pairs {
			items[i] = p.Key.KeyText() + " " + Value(p.Value)
		}
		text = "{" + strings.Join(items, ", ") + "}"
	default:
		text = n.KeyText()
	}
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + "…"
	}
	return text
}
