package assigner

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fx/schema"
)

var tasks = []string{"aggregated_model_validation", "train", "locally_tuned_model_validation"}

type m = map[string]any

func groups(gs ...any) m { return m{"task_groups": gs} }

// One valid configuration per template, for four collaborators.
var valid = map[string]m{
	openfl + "RandomGroupedAssigner": groups(
		m{"name": "learning", "percentage": 0.75, "tasks": []any{"train", "aggregated_model_validation"}},
		m{"name": "checking", "percentage": 0.25, "tasks": []any{"aggregated_model_validation"}},
	),
	openfl + "StaticGroupedAssigner": groups(
		m{"name": "learning", "collaborators": []any{"a", "c", "d"}, "tasks": []any{"train", "aggregated_model_validation"}},
		m{"name": "checking", "collaborators": []any{"b"}, "tasks": []any{"aggregated_model_validation"}},
	),
}

// Every assigner must give each collaborator the tasks of one group in every
// round, in the group's order, keep the size of the groups, answer the same when
// made or asked again, in whatever order names are given, and answer for some
// as for all.
func TestContract(t *testing.T) {
	if len(assigners) == 0 {
		t.Fatal("no assigner was tested")
	}
	names := []string{"a", "b", "c", "d"}
	for template := range assigners {
		t.Run(template, func(t *testing.T) {
			settings, ok := valid[template]
			if !ok {
				t.Fatal("the test has no configuration for this assigner")
			}
			c := schema.Component{Template: template, Settings: settings}
			a, err := New(c, tasks, names, "seed")
			if err != nil {
				t.Fatal(err)
			}
			again, err := New(c, tasks, []string{"d", "b", "a", "c"}, "seed")
			if err != nil {
				t.Fatal(err)
			}
			for round := range 50 {
				got := a.Assign(round, names)
				if want := again.Assign(round, []string{"c", "a", "d", "b"}); !reflect.DeepEqual(got, want) {
					t.Fatalf("round %d: %v and %v", round, got, want)
				}
				learning := 0
				for _, name := range names {
					switch strings.Join(got[name], " ") {
					case "train aggregated_model_validation":
						learning++
					case "aggregated_model_validation":
					default:
						t.Fatalf("round %d: %q has the tasks %v", round, name, got[name])
					}
				}
				if learning != 3 {
					t.Fatalf("round %d: %d collaborators learn, want 3", round, learning)
				}
				if few := a.Assign(round, []string{"c", "nobody"}); !reflect.DeepEqual(few, map[string][]string{"c": got["c"]}) {
					t.Fatalf("round %d: asked for c alone: %v, want %v", round, few, got["c"])
				}
			}
		})
	}
}

// The expected draw was computed by a Python program: sorted(names, key=sha256(
// f"{len(seed)}:{seed}:{round}:{name}")). A restarted or a newer aggregator must repeat
// it. It changes with the round and with the seed, and everyone gets a turn.
func TestRandomDraw(t *testing.T) {
	c := schema.Component{Template: openfl + "RandomGroupedAssigner", Settings: valid[openfl+"RandomGroupedAssigner"]}
	names := []string{"a", "b", "c", "d"}
	checkers := func(seed string) string {
		a, err := New(c, tasks, names, seed)
		if err != nil {
			t.Fatal(err)
		}
		var s strings.Builder
		for round := range 16 {
			for name, list := range a.Assign(round, names) {
				if len(list) == 1 {
					s.WriteString(name)
				}
			}
		}
		return s.String()
	}
	got := checkers("plan.yaml_12345678")
	if want := "aaabbabdcbbabbcb"; got != want {
		t.Errorf("the checker of each round is %q, want %q", got, want)
	}
	for _, name := range names {
		if !strings.Contains(got, name) {
			t.Errorf("%q never checks", name)
		}
	}
	if other := checkers("plan.yaml_87654321"); other == got {
		t.Error("the seed does not change the draw")
	}
}

func TestSelectedTaskGroup(t *testing.T) {
	for template, settings := range valid {
		settings = maps.Clone(settings)
		settings["selected_task_group"] = "checking"
		names := []string{"b"}
		a, err := New(schema.Component{Template: template, Settings: settings}, tasks, names, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Assign(0, names); !slices.Equal(got["b"], []string{"aggregated_model_validation"}) {
			t.Errorf("%s: got %v", template, got)
		}
		settings["selected_task_group"] = "nothing"
		if _, err := New(schema.Component{Template: template, Settings: settings}, tasks, names, ""); err == nil || !strings.Contains(err.Error(), "task groups are learning, checking") {
			t.Errorf("%s: got %v", template, err)
		}
	}
}

// OpenFL's default groups: everyone learns, nobody only evaluates.
func TestDefaultGroups(t *testing.T) {
	a, err := New(schema.Component{Template: openfl + "RandomGroupedAssigner", Settings: groups(
		m{"name": "learning", "percentage": 1.0, "tasks": []any{tasks[0], tasks[1], tasks[2]}},
		m{"name": "evaluation", "percentage": 0, "tasks": []any{tasks[0]}},
	)}, tasks, []string{"x", "y", "z"}, "s")
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range a.Assign(3, []string{"x", "y", "z"}) {
		if !slices.Equal(list, tasks) {
			t.Errorf("%s has %v, want %v", name, list, tasks)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	random, static := openfl+"RandomGroupedAssigner", openfl+"StaticGroupedAssigner"
	train := []any{"train"}
	for i, tt := range []struct {
		template string
		settings m
		names    string
		want     string
	}{
		{"openfl.component.RandomGroupAssigner", nil, "a", `did you mean "openfl.component.RandomGroupedAssigner"`},
		{random, nil, "a", "task_groups is missing"},
		{random, m{"task_groups": 3}, "a", "task_groups is missing"},
		{random, m{"task_group": []any{}}, "a", `did you mean "task_groups"`},
		{random, groups(1), "a", "a map was expected"},
		{random, groups(m{"percentage": 1.0}), "a", "has no name"},
		{random, groups(m{"name": "g", "percentge": 1.0}), "a", `did you mean "percentage"`},
		{random, groups(m{"name": "g", "percentage": "all", "tasks": train}), "a", "from 0 to 1"},
		{random, groups(m{"name": "g", "percentage": 1.5, "tasks": train}), "a", "from 0 to 1"},
		{random, groups(m{"name": "g", "tasks": train}), "a", "no percentage"},
		{random, groups(m{"name": "g", "percentage": 1, "collaborators": []any{"a"}, "tasks": train}), "a", "StaticGroupedAssigner"},
		{random, groups(m{"name": "g", "percentage": 1.0, "tasks": "train"}), "a", "a list was expected"},
		{random, groups(m{"name": "g", "percentage": 1.0, "tasks": []any{1}}), "a", "text was expected"},
		{random, groups(m{"name": "g", "percentage": 1.0, "tasks": []any{"trian"}}), "a", `did you mean "train"`},
		{random, groups(m{"name": "g", "percentage": 1.0, "tasks": []any{"train", "train"}}), "a", "twice"},
		{random, groups(m{"name": "g", "percentage": 1.0}), "a", "would never end"},
		{random, groups(m{"name": "g", "percentage": 0.5, "tasks": train}), "a b", "add up to 0.5"},
		{random, groups(m{"name": "g", "percentage": 0.5, "tasks": train}, m{"name": "g", "percentage": 0.5, "tasks": train}), "a b", "two task groups"},
		{random, groups(m{"name": "g", "percentage": 0.5, "tasks": train}, m{"name": "h", "percentage": 0.5, "tasks": train}), "a b c", `"g" int(0.5 × 3) = 1, "h" int(0.5 × 3) = 1, together 2`},
		{random, groups(m{"name": "g", "percentage": 1.0, "tasks": train}), "", "no authorised collaborator"},
		{random, groups(m{"name": "g", "percentage": 1.0, "tasks": train}), "a a", "authorised twice"},
		{static, groups(m{"name": "g", "percentage": 1.0, "tasks": train}), "a", "RandomGroupedAssigner"},
		{static, groups(m{"name": "g", "collaborators": []any{"a"}}), "a", "would never end"},
		{static, groups(m{"name": "g", "collaborators": []any{"b"}, "tasks": train}), "a", "not authorised"},
		{static, groups(m{"name": "g", "collaborators": []any{"a"}, "tasks": train}), "a b", `"b" is in no task group`},
		{static, groups(m{"name": "g", "collaborators": []any{"a"}, "tasks": train}, m{"name": "h", "collaborators": []any{"a"}, "tasks": train}), "a", `"g" and "h"`},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			_, err := New(schema.Component{Template: tt.template, Settings: tt.settings}, tasks, strings.Fields(tt.names), "s")
			if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}
