package check

import (
	"errors"
	"os"
	"strings"
	"testing"

	"fx/schema"
)

func plan(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestValidPlan(t *testing.T) {
	cols, err := schema.ReadCols("cols.yaml", []byte("collaborators: [one, two, three]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, roster := range map[string]*Roster{"alone": nil, "with roster": {Names: cols}} {
		if fs := Plan("plan.yaml", []byte(plan(t)), roster); len(fs) > 0 {
			t.Errorf("%s: %v", name, fs)
		}
	}
}

// One mistake each: the text to replace, what with, and what must be said about
// it: id, the text of the line it must be on, and a part of the whole message.
var mistakes = []struct {
	name, old, new string
	id, line, says string
}{
	{"misspelt setting", "rounds_to_train:", "round_to_train:", "unknown-key", "round_to_train: 10", `did you mean "rounds_to_train"`},
	{"missing setting", "    rounds_to_train: 10\n", "", "missing-key", "  settings:", `aggregator.settings: the key "rounds_to_train" is missing`},
	{"wrong type", "rounds_to_train: 10", "rounds_to_train: ten", "type", "rounds_to_train: ten", `found string "ten"; allowed an integer`},
	{"float for an integer", "rounds_to_train: 10", "rounds_to_train: 10.0", "type", "rounds_to_train: 10.0", "found number 10.0; allowed an integer"},
	{"out of range", "rounds_to_train: 10", "rounds_to_train: 0", "out-of-range", "rounds_to_train: 0", "from 1 to"},
	{"quoted number", "rounds_to_train: 10", "rounds_to_train: '10'", "type", "rounds_to_train: '10'", "remove the quotes"},
	{"duplicate key", "    db_store_rounds: 2\n", "    rounds_to_train: 2\n", "duplicate-key", "    rounds_to_train: 2", "already on line 8"},
	{"path outside", "save/best.pbuf", "../best.pbuf", "path-outside", "../best.pbuf", "leaves the workspace"},
	{"absolute path", "save/best.pbuf", "/save/best.pbuf", "path-outside", "/save/best.pbuf", "leaves the workspace"},
	{"model that is no .pbuf", "save/best.pbuf", "save/best.safetensors", "value", "save/best.safetensors", "ends in .pbuf"},
	{"folder for a model", "save/best.pbuf", "save/", "value", "save/", "ends in .pbuf"},
	{"models that overwrite each other", "save/best.pbuf", "save/../save/last.pbuf", "duplicate-value", "last_state_path", "the path of best_state_path"},
	{"model where the final one goes", "save/best.pbuf", "save/final.pbuf", "duplicate-value", "save/final.pbuf", "the path of the final model"},
	{"misspelt section", "collaborator:\n", "colaborator:\n", "unknown-key", "colaborator:", `did you mean "collaborator"`},
	{"missing section", "collaborator:\n  template: openfl.component.Collaborator\n  settings:\n    opt_treatment: RESET\n    use_delta_updates: false\n", "", "missing-key", "aggregator:", `the section "collaborator" is missing`},
	{"section without template", "  template: openfl.component.Collaborator\n", "", "missing-key", "collaborator:", `the key "template" is missing`},
	{"misspelt section key", "  template: openfl.component.Collaborator", "  tmeplate: openfl.component.Collaborator", "unknown-key", "tmeplate", `did you mean "template"`},
	{"unknown class", "openfl.component.Aggregator", "openfl.component.Agregator", "unknown-template", "Agregator", `did you mean "openfl.component.Aggregator"`},
	{"word not in the set", "RESET", "RESTE", "value", "RESTE", `did you mean "RESET"`},
	{"boolean expected", "use_delta_updates: false", "use_delta_updates: nope", "type", "nope", "allowed true or false"},
	{"old and new name", "use_delta_updates: false", "use_delta_updates: false\n    delta_updates: true", "duplicate-key", "    delta_updates: true", "keep use_delta_updates"},
	{"unknown defaults", "plan/defaults/network.yaml", "plan/defaults/networks.yaml", "unknown-defaults", "networks.yaml", `did you mean "plan/defaults/network.yaml"`},
	{"port in the address", "agg.example.org", "agg.example.org:5000", "address", "agg.example.org:5000", "agg_port"},
	{"address of no host", "agg.example.org", "0.0.0.0", "address", "0.0.0.0", "nobody can connect"},
	{"address is a boolean", "agg_addr: agg.example.org", "agg_addr: no", "type", "agg_addr: no", "put the word in quotes"},
	{"port out of range", "client_reconnect_interval: 5", "agg_port: 70000", "out-of-range", "agg_port: 70000", "from 1 to 65535, or auto"},
	{"negative interval", "client_reconnect_interval: 5", "client_reconnect_interval: -5", "out-of-range", "-5", "above 0"},
	{"TLS off", "client_reconnect_interval: 5", "use_tls: off", "insecure", "use_tls: off", "switches TLS off"},
	{"client certificates off", "client_reconnect_interval: 5", "disable_client_auth: true", "insecure", "disable_client_auth", "without a certificate"},
	{"REST", "client_reconnect_interval: 5", "transport_protocol: rest", "unsupported", "rest", "set it to grpc"},
	{"unknown network setting", "client_reconnect_interval", "client_reconect_interval", "unknown-key", "reconect", `did you mean "client_reconnect_interval"`},
	{"one certificate for all", "client_reconnect_interval: 5", "single_col_cert_common_name: cols", "unsupported", "cols", "its own certificate"},
	{"secure aggregation", "db_store_rounds: 2", "secure_aggregation: true", "unsupported", "secure_aggregation", "set it to false"},
	{"group names an unknown task", "[aggregated_model_validation, train,", "[aggregated_model_validation, trian,", "unknown-task", "trian", `did you mean "train"`},
	{"task twice in a group", "[aggregated_model_validation, train,", "[train, train,", "duplicate-value", "train, train", "twice"},
	{"percentages", "percentage: 1.0", "percentage: 0.8", "percentages", "    - name: learning", "found a sum of 0.8"},
	{"percent for a share", "percentage: 1.0", "percentage: 100", "out-of-range", "percentage: 100", "to 1"},
	{"group without percentage", "      percentage: 1.0\n", "", "missing-key", "name: learning", `the key "percentage" is missing`},
	{"unknown assigner", "RandomGroupedAssigner", "RandomGroupAssigner", "unknown-template", "RandomGroupAssigner", `did you mean "openfl.component.RandomGroupedAssigner"`},
	{"assigner in Python", "openfl.component.RandomGroupedAssigner", "src.assigner.Mine", "runner-unavailable", "src.assigner.Mine", "never in the aggregator"},
	{"misspelt group key", "percentage: 1.0", "percent: 1.0", "unknown-key", "percent: 1.0", "allowed collaborators, name, percentage, tasks"},
	{"loader of another kind", "fx.builtin.SoftmaxRegression", "src.taskrunner.Runner", "mismatch", "fx.builtin.CSVDataLoader", "such as src.dataloader.Loader"},
	{"program without a command", "fx.builtin.SoftmaxRegression\n  settings:\n    features: 64\n    classes: 10", "fx.process.TaskRunner\n  settings:\n    cmd: [src/run.sh]", "missing-key", "  settings:", `the key "command" is missing`},
	{"module that is none", "fx.builtin.SoftmaxRegression\n  settings:\n    features: 64\n    classes: 10", "fx.wasm.TaskRunner\n  settings:\n    module: src/model.go", "value", "src/model.go", ".wasm"},
	{"misspelt key of the box", "tasks:\n", "box:\n  memroy: 1000000\ntasks:\n", "unknown-key", "memroy", `did you mean "memory"`},
	{"box with a unit", "tasks:\n", "box:\n  memory: 4GiB\ntasks:\n", "type", "4GiB", "an integer"},
	{"unknown level", "tasks:\n", "box:\n  level: ful\ntasks:\n", "value", "level: ful", `did you mean "full"`},
	{"variable that loads code", "tasks:\n", "box:\n  env:\n    LD_PRELOAD: x.so\ntasks:\n", "value", "LD_PRELOAD", "set by fxrun alone"},
	{"variable that is a number", "tasks:\n", "box:\n  env:\n    OMP_NUM_THREADS: 2\ntasks:\n", "type", "OMP_NUM_THREADS", "put the value in quotes"},
	{"device that is none", "tasks:\n", "box:\n  devices: [/etc/passwd]\ntasks:\n", "value", "/etc/passwd", "/dev/"},
	{"misspelt built-in", "fx.builtin.SoftmaxRegression", "fx.builtin.SoftMaxRegresion", "unknown-template", "SoftMaxRegresion", `did you mean "fx.builtin.SoftmaxRegression"`},
	{"template that is no class path", "fx.builtin.SoftmaxRegression", "softmax", "unknown-template", "softmax", "package.module.Class"},
	{"missing setting of a built-in", "    classes: 10\n", "", "missing-key", "  settings:", `the key "classes" is missing`},
	{"unknown setting of a built-in", "classes: 10", "classes: 10\n    hiden: 3", "unknown-key", "hiden", "allowed classes, features, seed"},
	{"loader does not fit", "fx.builtin.CSVDataLoader", "fx.builtin.NoData", "mismatch", "fx.builtin.NoData", "write fx.builtin.CSVDataLoader"},
	{"batch size", "batch_size: 32", "batch_size: 0", "out-of-range", "batch_size: 0", "from 1 to 4096"},
	{"exponent without a dot", "lr: 0.1", "lr: 1e-3", "type", "lr: 1e-3", "write 1.0e-3"},
	{"unknown argument", "lr: 0.1", "learning_rate: 0.1", "unknown-key", "learning_rate", "allowed epochs, lr, metrics, momentum"},
	{"unknown function", "train_task", "train_tsk", "value", "train_tsk", `did you mean "train_task"`},
	{"unknown metric", "metrics: [loss]", "metrics: [los]", "value", "metrics: [los]", `did you mean "loss"`},
	{"metric twice", "metrics: [loss]", "metrics: [loss, loss]", "duplicate-value", "[loss, loss]", "twice"},
	{"apply", "apply: local", "apply: locale", "value", "apply: locale", `did you mean "local"`},
	{"kwargs is a list", "kwargs: {apply: local, metrics: [accuracy]}", "kwargs: [local]", "type", "kwargs: [local]", "allowed a map"},
	{"task without function", "    function: train_task\n", "", "missing-key", "  train:", `the key "function" is missing`},
	{"misspelt task key", "    aggregation_type:", "    agregation_type:", "unknown-key", "agregation_type", `did you mean "aggregation_type"`},
	{"unknown aggregation", "aggregation_functions.WeightedAverage", "aggregation_functions.WeightAverage", "unknown-template", "WeightAverage", `did you mean "openfl.interface.aggregation_functions.WeightedAverage"`},
	{"aggregation of trees", "aggregation_functions.WeightedAverage", "aggregation_functions.FedBaggingXGBoost", "unsupported", "FedBaggingXGBoost", "remove aggregation_type"},
	{"settings of an aggregation", "openfl.interface.aggregation_functions.WeightedAverage", "fx.aggregation.Krum\n      settings: {byzantin: 1}", "unknown-key", "byzantin: 1", `did you mean "byzantine"`},
	{"norm of nothing", "openfl.interface.aggregation_functions.WeightedAverage", "fx.aggregation.NormClipping\n      settings: {norm: 0}", "out-of-range", "norm: 0", "above 0"},
	{"norm that is missing", "openfl.interface.aggregation_functions.WeightedAverage", "fx.aggregation.NormClipping\n      settings: {}", "missing-key", "settings: {}", `the key "norm" is missing`},
	{"aggregation after clipping", "openfl.interface.aggregation_functions.WeightedAverage", "fx.aggregation.NormClipping\n      settings:\n        norm: 1\n        then: {template: fx.aggregation.Krumm}", "unknown-template", "fx.aggregation.Krumm", `did you mean "fx.aggregation.Krum"`},
	{"clipping twice", "openfl.interface.aggregation_functions.WeightedAverage", "fx.aggregation.NormClipping\n      settings:\n        norm: 1\n        then: {template: fx.aggregation.NormClipping, settings: {norm: 1}}", "component", "norm: 1", "one is enough"},
	{"best model without a direction", "tasks:\n", "rounds: {best: {metric: accuracy}}\ntasks:\n", "missing-key", "rounds:", `the key "direction" is missing`},
	{"best model of an unknown metric", "tasks:\n", "rounds: {best: {metric: acc, direction: max}}\ntasks:\n", "unknown-metric", "metric: acc,", "allowed accuracy"},
	{"best model of a training metric", "tasks:\n", "rounds: {best: {metric: loss, direction: min, task: train}}\ntasks:\n", "mismatch", "task: train", "allowed aggregated_model_validation"},
	{"best model of the local one", "tasks:\n", "rounds: {best: {metric: accuracy, direction: max, task: locally_tuned_model_validation}}\ntasks:\n", "mismatch", "locally_tuned", "apply: global"},
	{"best model of no task", "tasks:\n", "rounds: {best: {metric: accuracy, direction: max, task: validation}}\ntasks:\n", "unknown-task", "validation", "aggregated_model_validation"},
	{"direction", "tasks:\n", "rounds: {best: {metric: accuracy, direction: up}}\ntasks:\n", "value", "up", "max, min"},
	{"stop without a target", "tasks:\n", "rounds: {stop: {metric: accuracy}}\ntasks:\n", "missing-key", "rounds:", "at_least or at_most"},
	{"stop with two targets", "tasks:\n", "rounds: {stop: {metric: accuracy, at_least: 1, at_most: 0}}\ntasks:\n", "duplicate-key", "at_most", "keep one"},
	{"stop at a word", "tasks:\n", "rounds: {stop: {metric: accuracy, at_least: high}}\ntasks:\n", "type", "high", "a finite number"},
	{"settings of rounds", "tasks:\n", "rounds:\n  settings: {best: {metric: accuracy}}\ntasks:\n", "unknown-key", "settings: {best", "directly below rounds"},
	{"misspelt key of rounds", "tasks:\n", "rounds: {bset: {metric: accuracy, direction: max}}\ntasks:\n", "unknown-key", "bset", `did you mean "best"`},
	{"aggregation in Python", "openfl.interface.aggregation_functions.WeightedAverage", "src.mean.Mean", "runner-unavailable", "src.mean.Mean", "remove aggregation_type"},
	{"too many clusters", "openfl.pipelines.NoCompressionPipeline", "openfl.pipelines.KCPipeline\n  settings: {n_clusters: 33}", "out-of-range", "n_clusters: 33", "from 2 to 32"},
	{"unknown pipeline", "NoCompressionPipeline", "NoCompresionPipeline", "unknown-template", "NoCompresionPipeline", `did you mean "openfl.pipelines.NoCompressionPipeline"`},
	{"settings of a pipeline", "openfl.pipelines.NoCompressionPipeline", "openfl.pipelines.NoCompressionPipeline\n  settings: {level: 9}", "unknown-key", "level: 9", "no key at all"},
	{"cut-off", "  defaults: plan/defaults/straggler_handling_policy.yaml", "  template: openfl.component.straggler_handling_functions.CutoffTimeBasedStragglerHandling\n  settings: {straggler_cutoff_time: 0}", "out-of-range", "straggler_cutoff_time: 0", "above 0"},
	{"share of the roster", "  defaults: plan/defaults/straggler_handling_policy.yaml", "  template: openfl.component.PercentagePolicy\n  settings: {percent_collaborators_needed: 80}", "out-of-range", "percent_collaborators_needed: 80", "from 0 to 1"},
	{"section is a list", "collaborator:\n  template: openfl.component.Collaborator\n  settings:\n    opt_treatment: RESET\n    use_delta_updates: false\n", "collaborator: []\n", "type", "collaborator: []", "a section is a map"},
	{"connector", "tasks:\n", "connector:\n  template: openfl.component.ConnectorFlower\ntasks:\n", "unsupported", "connector:", "Flower"},
	{"tab", "    rounds_to_train: 10", "\trounds_to_train: 10", "yaml-syntax", "\trounds_to_train: 10", "spaces only"},
	{"unclosed quote", "agg_addr: agg.example.org", `agg_addr: "agg.example.org`, "yaml-syntax", `"agg.example.org`, "close the quote"},
	{"quote that closes much further down", "openfl.component.Aggregator\n  settings:\n", "\"openfl.component.Aggregator\n  settings:\n    write_logs: \"x\"\n", "yaml-syntax", "template: \"openfl.component.Aggregator", "close the quote"},
	{"reserved character", "agg_addr: agg.example.org", "agg_addr: @agg.example.org", "yaml-syntax", "@agg", "put the value in quotes"},
	{"unclosed bracket", "locally_tuned_model_validation]", "locally_tuned_model_validation", "yaml-syntax", "tasks: [", "close the bracket"},
	{"wrong indentation", "    db_store_rounds: 2", "   db_store_rounds: 2", "yaml-syntax", "   db_store_rounds: 2", "indentation"},
	{"too much indentation", "    rounds_to_train: 10", "      rounds_to_train: 10", "yaml-syntax", "      rounds_to_train: 10", "indentation"},
	{"no space after the colon", "rounds_to_train: 10", "rounds_to_train:10", "yaml-syntax", "rounds_to_train:10", "colon followed by a space"},
	{"colon in a value", "agg_addr: agg.example.org", "agg_addr: agg: example", "yaml-syntax", "agg_addr: agg: example", "must be quoted"},
	{"unknown alias", "agg_addr: agg.example.org", "agg_addr: *there", "yaml-syntax", "agg_addr: *there", "&there"},
	{"second document", "tasks:\n", "---\ntasks:\n", "several-documents", "---", "remove the line ---"},
	{"tag", "rounds_to_train: 10", "rounds_to_train: !!python/name:os.system 10", "value", "python/name", "not allowed"},
	{"empty value", "agg_addr: agg.example.org", "agg_addr:", "type", "agg_addr:", "found null"},
}

func TestMistakes(t *testing.T) {
	base := plan(t)
	if len(mistakes) < 25 {
		t.Errorf("only %d kinds of mistakes", len(mistakes))
	}
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			if strings.Count(base, m.old) < 1 {
				t.Fatalf("%q is not in the plan", m.old)
			}
			text := strings.Replace(base, m.old, m.new, 1)
			fs := Plan("plan.yaml", []byte(text), nil)
			lines := strings.Split(text, "\n")
			if !errors.Is(fs.Err(), schema.ErrInvalid) {
				t.Fatalf("no error: %v", fs)
			}
			t.Log(fs)
			for _, f := range fs {
				if f.ID == m.id && f.Line > 0 && f.Line <= len(lines) && strings.Contains(lines[f.Line-1], m.line) && strings.Contains(f.String(), m.says) {
					return
				}
			}
			t.Errorf("want %s on the line %q saying %q, got:\n%v", m.id, m.line, m.says, fs)
		})
	}
}
