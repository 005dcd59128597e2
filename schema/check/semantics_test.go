package check

import (
	"strings"
	"testing"

	"fx/schema"
)

// What depends on who takes part.
func TestRoster(t *testing.T) {
	static := strings.Replace(plan(t), "RandomGroupedAssigner", "StaticGroupedAssigner", 1)
	static = strings.Replace(static, "percentage: 1.0", "collaborators: [one, two]", 1)
	halves := strings.Replace(plan(t), "percentage: 1.0", "percentage: 0.5", 1)
	halves = strings.Replace(halves, "    - name: learning", "    - {name: other, percentage: 0.5, tasks: [train]}\n    - name: learning", 1)
	tests := []struct{ name, plan, cols, id, says string }{
		{"fits", static, "[one, two]", "", ""},
		{"missing in the groups", static, "[one, two, three]", "no-group", `cols.yaml:1:27: collaborators[2]: no task group of the plan has the collaborator "three"`},
		{"unknown in the groups", static, "[one, tow]", "unknown-collaborator", `did you mean "tow"`},
		{"in two groups", strings.Replace(static, "[one, two]", "[one, one]", 1), "[one]", "duplicate-name", "in a group already"},
		{"halves of two", halves, "[one, two]", "", ""},
		{"halves of three", halves, "[one, two, three]", "no-group", "found groups of 1, 1, 2 of 3 collaborators"},
		{"tag word", plan(t), "[one, model]", "name", "cannot be the name"},
		{"upper case", plan(t), "[One]", "name", "cannot be the name"},
		{"aggregator", plan(t), "[aggregator-1]", "name", "cannot be the name"},
		{"nobody", plan(t), "[]", "empty-roster", "nobody can take part"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cols, err := schema.ReadCols("cols.yaml", []byte("collaborators: "+test.cols+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			fs := Plan("plan.yaml", []byte(test.plan), &Roster{Names: cols})
			if test.id == "" {
				if len(fs) > 0 {
					t.Errorf("got %v, want nothing", fs)
				}
				return
			}
			for _, f := range fs {
				if f.ID == test.id && strings.Contains(f.String(), test.says) {
					return
				}
			}
			t.Errorf("got %v, want %s saying %q", fs, test.id, test.says)
		})
	}
}

func TestUnusedTaskIsAWarning(t *testing.T) {
	text := strings.Replace(plan(t), "tasks: [aggregated_model_validation, train, ", "tasks: [train, ", 1)
	fs := Plan("plan.yaml", []byte(text), nil)
	if len(fs) != 1 || fs[0].ID != "unused-task" || fs.Err() != nil {
		t.Errorf("got %v, want one warning", fs)
	}
	if !strings.Contains(fs[0].String(), "plan.yaml:42:3: warning: tasks.aggregated_model_validation: no group runs this task") {
		t.Errorf("got %s", fs[0])
	}
}

func TestTooLargeModel(t *testing.T) {
	text := strings.Replace(plan(t), "features: 64\n    classes: 10", "features: 65536\n    classes: 4096", 1)
	if fs := Plan("plan.yaml", []byte(text), nil); len(fs) != 1 || !strings.Contains(fs[0].Message, "too large") {
		t.Errorf("got %v", fs)
	}
}

func TestNoOp(t *testing.T) {
	text := plan(t)
	for _, r := range [][2]string{
		{"fx.builtin.SoftmaxRegression\n  settings:\n    features: 64\n    classes: 10", "fx.builtin.NoOp"},
		{"fx.builtin.CSVDataLoader\n  settings:\n    batch_size: 32\n    scale: 16", "fx.builtin.NoData"},
		{"[aggregated_model_validation, train, locally_tuned_model_validation]", "[ping]"},
	} {
		text = strings.Replace(text, r[0], r[1], 1)
	}
	before, _, _ := strings.Cut(text, "tasks:\n  agg")
	text = before + "tasks:\n  ping: {function: no_op_task, kwargs: {metrics: [ok]}}\n"
	if fs := Plan("plan.yaml", []byte(text), nil); len(fs) > 0 {
		t.Errorf("got %v\n%s", fs, text)
	}
	if fs := Plan("plan.yaml", []byte(strings.Replace(text, "no_op_task", "train_task", 1)), nil); len(fs) != 1 || fs[0].Path != "tasks.ping.function" {
		t.Errorf("got %v", fs)
	}
}
