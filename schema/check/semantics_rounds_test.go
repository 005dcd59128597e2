package check

import (
	"strings"
	"testing"

	"fx/schema"
)

// What stops a federation in the middle of its rounds, and what must not be
// taken for it. Each test replaces texts of the plan; want is "severity id
// path: a part of the message", or "" for nothing.
func TestRounds(t *testing.T) {
	const (
		deltas  = "use_delta_updates: false\n"
		policy  = "  defaults: plan/defaults/straggler_handling_policy.yaml"
		group   = "    - name: learning"
		percent = "  template: openfl.component.aggregator.straggler_handling.PercentagePolicy\n  settings: {minimum_reporting: 3}"
		average = "openfl.interface.aggregation_functions.WeightedAverage"
		krum    = "fx.aggregation.Krum"
		cutoff  = "  template: openfl.component.aggregator.straggler_handling.CutoffTimePolicy\n  settings: {straggler_cutoff_time: 60, minimum_reporting: 4}"
	)
	tests := []struct {
		name    string
		replace []string
		roster  string // "" for none
		want    string
	}{
		{"as it is", nil, "[one, two]", ""},
		{"deltas", []string{deltas, "use_delta_updates: true\n"}, "", ""},
		{"deltas, name of 1.6", []string{deltas, "delta_updates: true\n", "db_store_rounds: 2", "db_store_rounds: 1"}, "", "error store-rounds aggregator.settings.db_store_rounds: forgets a round's model"},
		{"deltas, store of one round", []string{deltas, "use_delta_updates: true\n", "db_store_rounds: 2", "db_store_rounds: 1"}, "", "error store-rounds aggregator.settings.db_store_rounds: forgets a round's model"},
		{"deltas, store of one round by default", []string{deltas, "use_delta_updates: true\n", "    db_store_rounds: 2\n", ""}, "", "error store-rounds aggregator: found 1 round"},
		{"deltas, store of all rounds", []string{deltas, "use_delta_updates: true\n", "db_store_rounds: 2", "db_store_rounds: -1"}, "", ""},
		{"no deltas, store of one round", []string{"db_store_rounds: 2", "db_store_rounds: 1"}, "", ""},
		{"lossy pipeline, deltas", []string{deltas, "use_delta_updates: true\n", "NoCompressionPipeline", "KCPipeline"}, "", "warning mixed-deltas collaborator.settings.use_delta_updates: cannot average"},
		{"lossy pipeline, deltas of one side", []string{deltas, "use_delta_updates: true\n", "NoCompressionPipeline", "EdenPipeline", "db_store_rounds: 2", "db_store_rounds: 2\n    use_delta_updates: false"}, "", "warning mixed-deltas collaborator.settings.use_delta_updates: cannot average"},
		{"lossy pipeline, no deltas", []string{"NoCompressionPipeline", "STCPipeline"}, "", ""},
		{"shifting pipeline, deltas", []string{deltas, "use_delta_updates: true\n", "NoCompressionPipeline", "RandomShiftPipeline"}, "", ""},
		{"secure aggregation, percentage", []string{policy, percent, "db_store_rounds: 2", "secure_aggregation: true\n    db_store_rounds: 2"}, "", "error secure-aggregation straggler_handling_policy: needs the results of all"},
		{"secure aggregation, all", []string{"db_store_rounds: 2", "secure_aggregation: true\n    db_store_rounds: 2"}, "", "error unsupported aggregator.settings.secure_aggregation: not supported"},
		{"more must report than there are", []string{policy, percent}, "[one, two]", "error never-closes straggler_handling_policy.settings.minimum_reporting: found integer 3; allowed at most 2"},
		{"more must report after the cut-off", []string{policy, cutoff}, "[one, two]", "error never-closes straggler_handling_policy.settings.minimum_reporting: no round ever closes"},
		{"as many must report as there are", []string{policy, percent}, "[one, two, three]", ""},
		{"time and minimum", []string{policy, cutoff}, "[one, two, three, four]", ""},
		{"Krum with enough", []string{average, krum}, "[one, two, three, four, five]", ""},
		{"Krum with too few", []string{average, krum}, "[one, two, three, four]", "error too-few tasks.train.aggregation_type: found 4 collaborators; allowed at least 5"},
		{"Krum with too few in the group", []string{average, krum, "percentage: 1.0", "percentage: 0.5", group, "    - {name: other, percentage: 0.5, tasks: [aggregated_model_validation]}\n" + group},
			"[one, two, three, four, five, six]", "error too-few tasks.train.aggregation_type: found 3 collaborators"},
		{"a best model and a target", []string{"tasks:\n  agg", "rounds:\n  best: {metric: accuracy, direction: max, task: aggregated_model_validation}\n  stop: {metric: accuracy, at_least: 0.9}\ntasks:\n  agg"}, "[one]", ""},
		{"share above all", []string{policy, strings.Replace(percent, "minimum_reporting: 3", "percent_collaborators_needed: 1.5", 1)}, "", "error out-of-range straggler_handling_policy.settings.percent_collaborators_needed: from 0 to 1"},
		{"shares of thirds", []string{"percentage: 1.0", "percentage: 0.67", group, "    - {name: other, percentage: 0.33, tasks: [train]}\n" + group}, "[one, two, three]", "error no-group assigner.settings.task_groups: found groups of 0, 2, 2 of 3 collaborators"},
		{"group without a share", []string{group, "    - {name: never, percentage: 0, tasks: [extra]}\n" + group, "tasks:\n  agg", "tasks:\n  extra: {function: validate_task}\n  agg"}, "", "warning unused-task tasks.extra: no group runs this task"},
		{"selected group", []string{group, "    - {name: only, percentage: 0, tasks: [aggregated_model_validation]}\n" + group, "    task_groups:", "    selected_task_group: only\n    task_groups:"}, "[one, two, three]", "warning unused-task tasks.train: no group runs this task"},
		{"selected group that is none", []string{"    task_groups:", "    selected_task_group: lerning\n    task_groups:"}, "", `error unknown-group assigner.settings.selected_task_group: did you mean "learning"`},
		{"tag word in a group", []string{"RandomGroupedAssigner", "StaticGroupedAssigner", "percentage: 1.0", "collaborators: [trained]"}, "", "error name assigner.settings.task_groups[0].collaborators[0]: reserves for tensor tags"},
		{"one file for two models", []string{"save/best.pbuf", "save/../save/init.pbuf"}, "", "error duplicate-value aggregator.settings.best_state_path: this is also the path of init_state_path"},
		{"database outside", []string{"db_store_rounds: 2", "db_store_rounds: 2\n    persistent_db_path: ../t.db"}, "", "error path-outside aggregator.settings.persistent_db_path: leaves the workspace"},
		{"address", []string{"agg.example.org", "auto"}, "", "warning auto-address network.settings.agg_addr: takes its own name"},
		{"port for root", []string{"client_reconnect_interval: 5", "agg_port: 443"}, "", "warning privileged-port network.settings.agg_port: only root"},
		{"port", []string{"client_reconnect_interval: 5", "agg_port: 1024"}, "", ""},
		{"port 0", []string{"client_reconnect_interval: 5", "agg_port: 0"}, "", "error out-of-range network.settings.agg_port: from 1 to 65535"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := plan(t)
			for i := 0; i < len(test.replace); i += 2 {
				if !strings.Contains(text, test.replace[i]) {
					t.Fatalf("%q is not in the plan", test.replace[i])
				}
				text = strings.Replace(text, test.replace[i], test.replace[i+1], 1)
			}
			var roster *Roster
			if test.roster != "" {
				cols, err := schema.ReadCols("cols.yaml", []byte("collaborators: "+test.roster+"\n"))
				if err != nil {
					t.Fatal(err)
				}
				roster = &Roster{Names: cols}
			}
			fs := Plan("plan.yaml", []byte(text), roster)
			if test.want == "" {
				if len(fs) > 0 {
					t.Errorf("got %v, want nothing", fs)
				}
				return
			}
			says, message, _ := strings.Cut(test.want, ": ")
			for _, f := range fs {
				if f.Severity+" "+f.ID+" "+f.Path == says && strings.Contains(f.String(), message) && f.Line > 0 && f.Column > 0 {
					return
				}
			}
			t.Errorf("got %v, want %s", fs, test.want)
		})
	}
}

// That there is no runner for Python is said beside everything else.
func TestPythonHidesNothing(t *testing.T) {
	text := plan(t)
	for _, r := range [][2]string{
		{"fx.builtin.SoftmaxRegression", "src.taskrunner.Runner"},
		{"fx.builtin.CSVDataLoader", "src.dataloader.Loader"},
		{"openfl.interface.aggregation_functions.WeightedAverage", "src.mean.Mean\n      setings: {}"},
		{"rounds_to_train: 10", "rounds_to_train: ten"},
		{"save/best.pbuf", "save/init.pbuf"},
		{"percentage: 1.0", "percentage: 0.5"},
		{"apply: local", "apply: locale"},
		{"RESET", "RESTE"},
	} {
		text = strings.Replace(text, r[0], r[1], 1)
	}
	cols, err := schema.ReadCols("cols.yaml", []byte("collaborators: [model]\n"))
	if err != nil {
		t.Fatal(err)
	}
	fs := Plan("plan.yaml", []byte(text), &Roster{Names: cols})
	for _, want := range []string{
		"runner-unavailable tasks.train.aggregation_type.template",
		"unknown-key tasks.train.aggregation_type.setings", "type aggregator.settings.rounds_to_train", "duplicate-value aggregator.settings.best_state_path",
		"percentages assigner.settings.task_groups", "value tasks.locally_tuned_model_validation.kwargs.apply", "value collaborator.settings.opt_treatment",
		"name collaborators[0]",
	} {
		found := false
		for _, f := range fs {
			found = found || f.ID+" "+f.Path == want
		}
		if !found {
			t.Errorf("%q is not among\n%v", want, fs)
		}
	}
}
