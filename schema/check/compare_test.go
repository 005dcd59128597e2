package check

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"fx/schema"
)

func merged(t testing.TB, text string) *schema.Node {
	t.Helper()
	p, err := schema.ReadPlan("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p.Config()
}

func TestCompare(t *testing.T) {
	base := plan(t)
	const noEffect, runs, leaves, combined, where = NoEffect, WhatRuns, WhatLeaves, Combined, ToWhere
	tests := []struct {
		name     string
		old, new string // one text in place of another
		path     string
		area     Area
		says     string
	}{
		{"rounds", "rounds_to_train: 10", "rounds_to_train: 20", "aggregator.settings.rounds_to_train", runs, "rounds: 10 becomes 20"},
		{"argument", "lr: 0.1", "lr: 0.2", "tasks.train.kwargs.lr", runs, `task "train": lr: 0.1 becomes 0.2`},
		{"argument to its default", "      lr: 0.1\n", "", "tasks.train.kwargs.lr", noEffect, "lr is no longer written out: the same value applies without it"},
		{"metric", "metrics: [loss]", "metrics: [loss, norm]", "tasks.train.kwargs.metrics", leaves, `task "train" may report: norm comes in`},
		{"optimizer", "opt_treatment: RESET", "opt_treatment: CONTINUE_GLOBAL", "collaborator.settings.opt_treatment", leaves, "it is sent to the aggregator as well"},
		{"address", "agg_addr: agg.example.org", "agg_addr: other.example.org", "network.settings.agg_addr", where, "the aggregator is at: agg.example.org becomes other.example.org"},
		{"default written out", "opt_treatment: RESET", "opt_treatment: RESET\n    write_logs: false", "collaborator.settings.write_logs", noEffect, "write_logs is written out now"},
		{"key without effect", "agg_addr: agg.example.org", "agg_addr: agg.example.org\n    hash_salt: x", "network.settings.hash_salt", noEffect, "fx has no use for it"},
		{"a default of fx that differs from OpenFL's", "agg_addr: agg.example.org", "agg_addr: agg.example.org\n    enable_atomic_connections: false", "network.settings.enable_atomic_connections", where, "a new connection for every request: yes becomes no"},
		{"class under another name", "template: openfl.component.RandomGroupedAssigner", "template: openfl.component.assigner.RandomGroupedAssigner", "assigner.template", noEffect, "another name of the same class"},
		{"aggregator under another name", "template: openfl.component.Aggregator", "template: openfl.component.aggregator.Aggregator", "aggregator.template", noEffect, "another name of the same class"},
		{"number written otherwise", "percentage: 1.0", "percentage: 1", "assigner.settings.task_groups.learning.percentage", noEffect, "the same number"},
		{"model", "features: 64", "features: 65", "task_runner.settings.features", runs, "features: 64 becomes 65: tensors of other names or shapes leave"},
		{"group", "name: learning", "name: all", "assigner.settings.task_groups.learning", runs, `task group "learning" is gone`},
		{"combination", "openfl.interface.aggregation_functions.WeightedAverage", "openfl.interface.aggregation_functions.Median", "tasks.train.aggregation_type.template", combined, "Median"},
		{"section", "compression_pipeline:\n  template: openfl.pipelines.NoCompressionPipeline\n", "", "compression_pipeline.template", noEffect, "no longer written out"},
		{"pipeline", "openfl.pipelines.NoCompressionPipeline", "openfl.pipelines.EdenPipeline", "compression_pipeline.template", leaves, "tensors travel through"},
		{"target", "tasks:\n  agg", "rounds: {stop: {metric: accuracy, at_least: 0.9}}\ntasks:\n  agg", "rounds", combined, "the section rounds is new"},
		{"policy", "  defaults: plan/defaults/straggler_handling_policy.yaml", "  template: openfl.component.PercentagePolicy", "straggler_handling_policy.template", combined, "a round closes by"},
		{"old name above a defaults file", "agg_addr: agg.example.org", "agg_addr: agg.example.org\n    disable_client_auth: true", "network.settings.require_client_auth", where, "collaborators show a certificate: yes becomes no"},
		{"nothing", "# ", "#  ", "", "", ""},
		{"order", "    function: train_task\n    kwargs:\n      epochs: 1\n      lr: 0.1\n", "    kwargs:\n      lr: 0.1\n      epochs: 1\n", "tasks.train.function", runs, "no longer set (was train_task)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(base, test.old) {
				t.Fatalf("%q is not in the plan", test.old)
			}
			changed := strings.Replace(base, test.old, test.new, 1)
			got := Compare(merged(t, base), merged(t, changed))
			if test.path == "" {
				if len(got) > 0 {
					t.Errorf("got %+v, want nothing", got)
				}
				return
			}
			i := slices.IndexFunc(got, func(c Change) bool { return c.Path == test.path })
			if i < 0 || got[i].Area != test.area || !strings.Contains(got[i].Says, test.says) {
				t.Fatalf("got %+v, want %s (%s): %s", got, test.path, test.area, test.says)
			}
			back := Compare(merged(t, changed), merged(t, base))
			if len(back) != len(got) {
				t.Errorf("%d changes, and %d the other way round: %+v", len(got), len(back), back)
			}
		})
	}
}

func TestCompareTasks(t *testing.T) {
	base := plan(t)
	more := base + "  audit:\n    function: validate_task\n    kwargs: {metrics: [accuracy, auc]}\n"
	var got []string
	for _, c := range Compare(merged(t, base), merged(t, more)) {
		got = append(got, fmt.Sprintf("%s %s: %s", c.Kind, c.Path, c.Says))
	}
	want := []string{
		`added tasks.audit: task "audit" is new: it runs validate_task`,
		`added tasks.audit.kwargs.metrics: task "audit" may report accuracy, auc`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An upgraded plan means what it meant before.
func TestUpgradeKeepsTheMeaning(t *testing.T) {
	old := strings.NewReplacer(
		"use_delta_updates: false", "delta_updates: false",
		"  defaults: plan/defaults/network.yaml\n", "  template: openfl.federation.Network\n",
		"agg_addr: agg.example.org", "agg_addr: agg.example.org\n    agg_port: auto\n    tls: true\n    disable_client_auth: no",
		"  defaults: plan/defaults/straggler_handling_policy.yaml", "  template: openfl.component.straggler_handling_functions.CutoffTimeBasedStragglerHandling",
	).Replace(plan(t))
	text, changes, err := schema.UpgradePlan("plan.yaml", []byte(old))
	if err != nil || len(changes) != 4 {
		t.Fatal(changes, err)
	}
	for _, c := range Compare(merged(t, old), merged(t, string(text))) {
		if c.Area != NoEffect {
			t.Errorf("%+v", c)
		}
	}
	if before, after := Plan("plan.yaml", []byte(old), nil).Err(), Plan("plan.yaml", text, nil).Err(); before != nil || after != nil {
		t.Errorf("before: %v, after: %v", before, after)
	}
}

// Everything that a plan leaves unsaid is filled in, and nothing that it says is
// changed.
func TestEffective(t *testing.T) {
	config := merged(t, plan(t))
	before := schema.Dump(config)
	full := Effective(config)
	if !bytes.Equal(schema.Dump(config), before) {
		t.Error("the merged plan was changed")
	}
	for path, want := range map[string]schema.Origin{
		"aggregator.settings.rounds_to_train":                         schema.FromPlan,
		"aggregator.settings.use_delta_updates":                       schema.FromBuiltIn,
		"network.settings.use_tls":                                    schema.FromDefaults,
		"network.settings.enable_atomic_connections":                  schema.FromBuiltIn,
		"tasks.train.kwargs.momentum":                                 schema.FromBuiltIn,
		"tasks.train.kwargs.lr":                                       schema.FromPlan,
		"task_runner.settings.seed":                                   schema.FromBuiltIn,
		"tasks.aggregated_model_validation.aggregation_type.template": schema.FromBuiltIn,
	} {
		n := full.At(strings.Split(path, ".")...)
		if n == nil {
			t.Errorf("%s is not there", path)
			continue
		}
		if got, _ := n.Origin(); got != want {
			t.Errorf("%s is from %s, want %s", path, got, want)
		}
	}
	for _, absent := range []string{"tls", "delta_updates", "disable_client_auth"} {
		if full.At("network", "settings", absent) != nil || full.At("collaborator", "settings", absent) != nil {
			t.Errorf("%s is an old name, and filled in", absent)
		}
	}
}

func TestPeers(t *testing.T) {
	text := plan(t)
	for _, test := range []struct {
		name, old, new string
		nine, six      Peer
		finding        string
	}{
		{"built in", "", "", Peer{SameID: true}, Peer{}, "is fx's: Python has no such class"},
		{"adaptive", "aggregation_functions.WeightedAverage", "aggregation_functions.AdamAdaptiveAggregation", Peer{SameID: true}, Peer{}, "needs start values that only code can give"},
		{"robust", "openfl.interface.aggregation_functions.WeightedAverage", "fx.aggregation.Krum", Peer{SameID: true}, Peer{}, "fx.aggregation.Krum is fx's"},
		{"rounds", "tasks:\n  agg", "rounds: {best: {metric: accuracy, direction: max}}\ntasks:\n  agg", Peer{SameID: true}, Peer{}, "the section rounds is not read"},
		{"Python", "fx.builtin", "src.mine", Peer{SameID: true, Starts: true}, Peer{}, "plan/defaults/network.yaml is another file there"},
	} {
		p := Peers(merged(t, strings.ReplaceAll(text, test.old, test.new)))
		if p[0].Version != "1.9" || p[0].SameID != test.nine.SameID || p[0].Starts != test.nine.Starts {
			t.Errorf("%s: 1.9: %+v", test.name, p[0])
		}
		if p[1].Version != "1.6" || p[1].SameID != test.six.SameID || !strings.Contains(strings.Join(p[1].Findings, "\n"), test.finding) {
			t.Errorf("%s: 1.6: %+v", test.name, p[1])
		}
	}
}

// Any two plans can be compared, a plan is not different from itself, and plans
// of different hashes have a difference.
func FuzzCompare(f *testing.F) {
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, bytes.Replace(data, []byte("10"), []byte("11"), 1))
	f.Add([]byte("assigner: {settings: {task_groups: [{name: a}, {name: b}]}}\n"), []byte("assigner: {settings: {task_groups: [{name: b}, {name: a}, {name: c}]}}\n"))
	f.Add([]byte("tasks: {\"a.b\": {kwargs: null}, settings: 1}\nnetwork: {settings: [1]}\n"), []byte("tasks: {1: {kwargs: 3}}\nnetwork: {settings: {tls: 1}}\n"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, err := schema.ReadPlan("plan.yaml", one)
		if err != nil {
			return
		}
		b, err := schema.ReadPlan("plan.yaml", two)
		if err != nil {
			return
		}
		if same := Compare(a.Config(), a.Config()); len(same) > 0 {
			t.Fatalf("different from itself: %+v", same)
		}
		if a.Hash() != b.Hash() && len(Compare(a.Config(), b.Config())) == 0 {
			t.Fatal("other hashes, and no difference")
		}
		Peers(a.Config())
	})
}
