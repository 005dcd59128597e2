package schema

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestUpgradePlan(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{
			"keys keep their comments and their columns",
			"collaborator :\n  settings :\n    delta_updates    : false   # no deltas\n    # last\n",
			"collaborator :\n  settings :\n    use_delta_updates    : false   # no deltas\n    # last\n",
		},
		{
			"an opposite", "network: {settings: {disable_client_auth: No, tls: yes}}\n",
			"network: {settings: {require_client_auth: true, use_tls: yes}}\n",
		},
		{
			"quotes and CRLF", "network:\r\n  settings:\r\n    \"disable_client_auth\" : TRUE\r\n    'tls': on\r\n",
			"network:\r\n  settings:\r\n    require_client_auth : false\r\n    use_tls: on\r\n",
		},
		{
			"a text that is not ASCII stands before", "network: {settings: {agg_addr: \"héé→\", tls: true}}\n",
			"network: {settings: {agg_addr: \"héé→\", use_tls: true}}\n",
		},
		{
			"an old name that says the same as the new one goes", "network:\n  settings:\n    tls: false # old\n    # kept\n    use_tls: no\n",
			"network:\n  settings:\n    # kept\n    use_tls: no\n",
		},
		{
			"a map goes with all that is in it, the comment behind it stays",
			"aggregator:\n  settings:\n    log_metric_callback:\n      # inside\n      template: src.x.Y\n\n    # behind\n    write_logs: true\ntasks: {}\n",
			"aggregator:\n  settings:\n\n    # behind\n    write_logs: true\ntasks: {}\n",
		},
		{
			"the last key of a section", "aggregator:\n  settings:\n    a: 1\n    log_metric_callback: {template: src.x.Y}",
			"aggregator:\n  settings:\n    a: 1\n",
		},
		{
			"policies", "straggler_handling_policy: {template: openfl.component.straggler_handling_functions.PercentageBasedStragglerHandling}\n",
			"straggler_handling_policy: {template: openfl.component.aggregator.straggler_handling.PercentagePolicy}\n",
		},
		{
			"a defaults file that is gone is written out, without what the plan replaces",
			"tasks:\n  # torch\n  defaults: plan/defaults/federated-evaluation/tasks_torch.yaml # gone\n  train: {function: f}\n",
			"tasks:\n  # torch\n  aggregated_model_validation:\n    function: validate_task\n    kwargs:\n      apply: global\n      metrics:\n      - acc\n  train: {function: f}\n",
		},
		{
			"so are the settings", "aggregator:\n  defaults: plan/defaults/federated-evaluation/aggregator.yaml\n  settings:\n    # mine\n    rounds_to_train: 9\n",
			"aggregator:\n  template: openfl.component.Aggregator\n  settings:\n    # mine\n    db_store_rounds: 2\n    write_logs: true\n    rounds_to_train: 9\n",
		},
		{"what is new already stays", "network: {settings: {use_tls: true}}\n# tls: true\n", "network: {settings: {use_tls: true}}\n# tls: true\n"},
		{"a task may have any name", "tasks: {tls: {kwargs: {tls: true, delta_updates: 1}}}\n", "tasks: {tls: {kwargs: {tls: true, delta_updates: 1}}}\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, changes, err := UpgradePlan("plan.yaml", []byte(test.before))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.after {
				t.Errorf("got\n%s\nwant\n%s", got, test.after)
			}
			if (len(changes) > 0) != (test.before != test.after) {
				t.Errorf("%d changes", len(changes))
			}
			again, changes, err := UpgradePlan("plan.yaml", got)
			if err != nil || len(changes) > 0 || !bytes.Equal(again, got) {
				t.Errorf("a second upgrade: %d changes, error %v\n%s", len(changes), err, again)
			}
		})
	}
}

// Where changing the text would change something else, nothing is changed.
func TestUpgradePlanRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, place string }{
		"a contradiction":                {"network: {settings: {tls: true, use_tls: false}}\n", "1:22: network.settings.tls"},
		"no boolean":                     {"network: {settings: {disable_client_auth: 1}}\n", "1:43: network.settings.disable_client_auth"},
		"settings behind an alias":       {"network: {settings: &s {tls: true}}\ncollaborator: {settings: *s}\n", "1:25: network.settings.tls"},
		"a value behind an alias":        {"network: {settings: {disable_client_auth: &no false, use: *no}}\n", "network.settings.disable_client_auth"},
		"keys behind a merge":            {"x: &x {tls: true}\nnetwork: {settings: {<<: *x}}\n", "1:8: network.settings.tls"},
		"a key in an escape":             {"network: {settings: {\"t\\x6cs\": true}}\n", "1:22: network.settings.tls"},
		"a map to remove in flow style":  {"aggregator: {settings: {a: 1, log_metric_callback: {b: 2}}}\n", "1:31: aggregator.settings.log_metric_callback"},
		"a defaults file in flow style":  {"tasks: {defaults: plan/defaults/tasks_tensorflow.yaml}\n", "1:19: tasks.defaults"},
		"settings that have nothing yet": {"aggregator:\n  defaults: plan/defaults/federated-evaluation/aggregator.yaml\n  settings:\n", "2:13: aggregator.defaults"},
		"no plan":                        {"- a\n", "1:1: a plan is a map of sections"},
		"no YAML":                        {"a: [\n", "plan.yaml"},
	} {
		got, changes, err := UpgradePlan("plan.yaml", []byte(test.text))
		if err == nil || got != nil || changes != nil {
			t.Errorf("%s: got %q", name, got)
			continue
		}
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.place) {
			t.Errorf("%s: %v, want %s", name, err, test.place)
		}
	}
}

// An upgrade of whatever can be read is a plan that needs no upgrade, and has the
// same values under other names.
func FuzzUpgradePlan(f *testing.F) {
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("network:\n  settings: {tls: yes, 'disable_client_auth' : off}\ncollaborator:\n  settings:\n    delta_updates: 1 # x\n"))
	f.Add([]byte("aggregator:\n  settings:\n    log_metric_callback:\n    - a\n    b: |\n      # c\n    tls: 1\nstraggler_handling_policy: {template: \"openfl.component.straggler_handling_functions.CutoffTimeBasedStragglerHandling\"}\n"))
	f.Add([]byte("tasks:\n  defaults: plan/defaults/tasks_tensorflow.yaml\n  a: &a {b: *a}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, changes, err := UpgradePlan("plan.yaml", data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("not an invalid document: %v", err)
			}
			return
		}
		if len(changes) == 0 && !bytes.Equal(out, data) {
			t.Fatal("changed without a change")
		}
		again, changes, err := UpgradePlan("plan.yaml", out)
		if err != nil || len(changes) > 0 || !bytes.Equal(again, out) {
			t.Fatalf("a second upgrade: %v, %v", changes, err)
		}
	})
}
