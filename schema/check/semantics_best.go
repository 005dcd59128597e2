package check

import (
	"fmt"
	"slices"
	"strings"

	"fx/runtime/aggregation"
	"fx/runtime/assigner"
	"fx/schema"
)

// judgement checks the section rounds against the tasks: what is to judge a
// model must be reported by a task that validates the global one.
func judgement(p *schema.Plan) schema.Findings {
	section := p.Config().Lookup("rounds")
	if section == nil {
		return nil
	}
	var out schema.Findings
	rules := p.Draft().Rounds
	if r := rules.Best; r != nil {
		out = append(out, judge(p, section.Lookup("best"), "rounds.best", r.Task, r.Metric)...)
	}
	if r := rules.Stop; r != nil {
		out = append(out, judge(p, section.Lookup("stop"), "rounds.stop", r.Task, r.Metric)...)
	}
	return out
}

// validates tells whether a task judges the global model, as far as the plan
// shows: code of the workspace may call its functions what it likes.
func validates(t schema.Task) bool {
	return t.Apply() == "global" && !strings.Contains(t.Function, "train")
}

func judge(p *schema.Plan, rule *schema.Node, path, task, metric string) schema.Findings {
	tasks := p.Draft().Tasks
	if task != "" {
		i := slices.IndexFunc(tasks, func(t schema.Task) bool { return t.Name == task })
		n := rule.Lookup("task")
		var names []string
		for _, t := range tasks {
			if validates(t) {
				names = append(names, t.Name)
			}
		}
		switch {
		case i < 0:
			f := n.Finding("unknown-task", path+".task", "there is no such task")
			f.Found, f.Allowed, f.Hint = n.Describe(), some(names), schema.DidYouMean(task, first(names, 1000))
			return schema.Findings{f}
		case !validates(tasks[i]):
			f := n.Finding("mismatch", path+".task", "the task does not judge the model that a round begins with")
			f.Found, f.Allowed = n.Describe(), some(names)
			f.Hint = "name a task that validates with apply: global"
			return schema.Findings{f}
		}
		tasks = tasks[i : i+1]
	}
	n := rule.Lookup("metric")
	if metric == "" || n == nil {
		return nil // the decoder has said so
	}
	var made []string
	for _, t := range tasks {
		list, listed := t.Kwargs["metrics"].([]any)
		if !validates(t) {
			continue
		}
		if !listed { // what it reports, its code decides
			return nil
		}
		for _, m := range list {
			if name, ok := m.(string); ok {
				made = append(made, name)
			}
		}
	}
	if slices.Contains(made, metric) {
		return nil
	}
	slices.Sort(made)
	made = slices.Compact(made)
	f := n.Finding("unknown-metric", path+".metric", "no task that validates the global model reports this metric")
	if task != "" {
		f.Message = fmt.Sprintf("the task %q does not report this metric", task)
	}
	f.Found, f.Allowed, f.Hint = n.Describe(), some(made), schema.DidYouMean(metric, first(made, 1000))
	return schema.Findings{f}
}

// enough compares the results that an algorithm needs in a round with the
// collaborators that get the task.
func enough(p *schema.Plan, roster *Roster) schema.Findings {
	if roster == nil || len(roster.Names) == 0 {
		return nil
	}
	names := make([]string, len(roster.Names))
	for i, n := range roster.Names {
		names[i] = n.Text
	}
	draft := p.Draft()
	var tasks []string
	for _, t := range draft.Tasks {
		tasks = append(tasks, t.Name)
	}
	workers := map[string]int{}                                                    // each round has as many
	if assign, err := assigner.New(draft.Assigner, tasks, names, ""); err == nil { // what is wrong is said elsewhere
		for _, list := range assign.Assign(0, names) {
			for _, task := range list {
				workers[task]++
			}
		}
	}
	var out schema.Findings
	for _, t := range draft.Tasks {
		a, err := aggregation.New(t.Aggregation)
		if err != nil || workers[t.Name] == 0 || workers[t.Name] >= a.Least() {
			continue
		}
		path := schema.Child(schema.Child("tasks", t.Name), "aggregation_type")
		section := p.Config().Lookup("tasks").Lookup(t.Name).Lookup("aggregation_type")
		f := section.Finding("too-few", path, "the aggregation needs more results than collaborators get the task: no round could close")
		f.Found, f.Allowed = fmt.Sprintf("%d collaborators", workers[t.Name]), fmt.Sprintf("at least %d with these settings", a.Least())
		f.Hint = "lower its settings, or take another aggregation"
		out = append(out, f)
	}
	return out
}
