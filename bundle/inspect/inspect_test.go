package inspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect"
	"fx/runtime/tensor"
)

const plan = `aggregator:
  template: openfl.component.Aggregator
  settings:
    rounds_to_train: 7
    init_state_path: save/init.pbuf
    best_state_path: save/best.pbuf
    last_state_path: save/last.pbuf
    db_store_rounds: 2
collaborator:
  template: openfl.component.Collaborator
  settings: {opt_treatment: RESET, use_delta_updates: false, db_store_rounds: 1}
task_runner:
  template: fx.builtin.NoOp
  settings: {}
data_loader:
  template: fx.builtin.NoData
  settings: {}
network:
  template: openfl.federation.Network
  settings: {agg_addr: agg.example.org, agg_port: 50123, use_tls: true, require_client_auth: true}
assigner:
  template: openfl.component.RandomGroupedAssigner
  settings:
    task_groups:
    - {name: all, percentage: 1.0, tasks: [train, check]}
tasks:
  train:
    function: train_task
    kwargs: {metrics: ["loss\e[2J\u202Egnp.exe\nAPPROVED by everyone"]}
  check:
    function: validate_task
    kwargs: {apply: local, metrics: [accuracy]}
compression_pipeline:
  template: openfl.pipelines.NoCompressionPipeline
  settings: {}
straggler_handling_policy:
  template: openfl.component.aggregator.straggler_handling.WaitForAllPolicy
  settings: {}
`

func model(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	var list []tensor.NamedSource
	for _, name := range []string{"dense/w", "dense/b"} {
		n := 12
		if name == "dense/b" {
			n = 3
		}
		data := tensor.AppendFloat32s(nil, make([]float32, n))
		list = append(list, tensor.NamedSource{
			Named: tensor.Named{Name: name, Lossless: true, Metadata: []tensor.Metadata{{IntList: []int32{int32(n)}}}, DataSize: int64(len(data))},
			Data:  bytes.NewReader(data),
		})
	}
	if err := tensor.WriteModel(&b, list); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tree(t *testing.T) fstest.MapFS {
	file := func(mode fs.FileMode, data string) *fstest.MapFile {
		return &fstest.MapFile{Mode: mode, Data: []byte(data)}
	}
	return fstest.MapFS{
		"plan/plan.yaml": file(0o644, plan),
		"plan/cols.yaml": file(0o644, "collaborators: [one, two]\n"),
		"save/init.pbuf": file(0o644, string(model(t))),
		"src/run.py":     file(0o755, "pass\n"),
		"-rf":            file(0o644, "x"),
		".hidden":        file(0o644, "x"),
		"old.pyc":        file(0o644, "x"),
	}
}

type memory []byte

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(*m) {
		*m = append(*m, make([]byte, need-len(*m))...)
	}
	return copy((*m)[off:], p), nil
}

func report(t *testing.T, tree fs.FS) *inspect.Report {
	t.Helper()
	var m memory
	ctx := context.Background()
	if _, err := bundle.Create(ctx, &m, tree, bundle.Options{Name: "ward", Version: "1.0"}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(bytes.NewReader(m), int64(len(m)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Check(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := inspect.New(context.Background(), c, b.Judge(nil, approval.Policy{}, nil, time.Unix(1, 0)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReport(t *testing.T) {
	r := report(t, tree(t))
	if r.Plan == nil {
		t.Fatal(r.PlanError)
	}
	p := r.Plan
	if p.Address != "agg.example.org:50123" || p.Rounds != 7 || len(p.Collaborators) != 2 || p.BundledCode || !p.NewConnection {
		t.Errorf("plan facts: %+v", p)
	}
	if len(p.Tasks) != 2 || p.Tasks[1].Apply != "local" || p.Tasks[1].Metrics[0] != "accuracy" {
		t.Errorf("tasks: %+v", p.Tasks)
	}
	if p.TensorBytes != 60 || p.Egress.MaxRoundBytes != 128 || p.Egress.RoundBytes != 8 || len(p.Tensors) != 2 {
		t.Errorf("tensors: %+v, %d bytes, %d a round", p.Tensors, p.TensorBytes, p.Egress.MaxRoundBytes)
	}
	rules := map[string]string{}
	for _, n := range r.Notes {
		rules[n.Rule] = n.Path
	}
	for rule, path := range map[string]string{"leading-hyphen": "-rf", "hidden": ".hidden", "compiled": "old.pyc", "executable": "src/run.py"} {
		if rules[rule] != path {
			t.Errorf("rule %s is about %q, want %q", rule, rules[rule], path)
		}
	}
	if again := report(t, tree(t)); again.FactsSHA256 != r.FactsSHA256 {
		t.Error("the same bundle has facts of another digest")
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// TestTextCannotLie: no byte of a bundle reaches the terminal as a control or
// direction character, and none begins a line of its own.
func TestTextCannotLie(t *testing.T) {
	var b strings.Builder
	if err := report(t, tree(t)).Text(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, bad := range []string{"\x1b", "\u202e", "\nAPPROVED"} {
		if strings.Contains(text, bad) {
			t.Errorf("the text contains %q", bad)
		}
	}
	for _, want := range []string{"loss", `\u202e`, "agg.example.org:50123", "dense/w", fmt.Sprintf("%d", 48), "src/run.py"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not contain %q", want)
		}
	}
	if !strings.HasPrefix(text, "NOT APPROVED") {
		t.Errorf("the text begins with %.40q", text)
	}
}

// TestBrokenPlan: a bundle that cannot run is still shown.
func TestBrokenPlan(t *testing.T) {
	for name, change := range map[string]func(fstest.MapFS){
		"no plan":   func(w fstest.MapFS) { delete(w, "plan/plan.yaml") },
		"no YAML":   func(w fstest.MapFS) { w["plan/plan.yaml"].Data = []byte("\t:\n") },
		"no roster": func(w fstest.MapFS) { delete(w, "plan/cols.yaml") },
		"no model":  func(w fstest.MapFS) { delete(w, "save/init.pbuf") },
		"no .pbuf":  func(w fstest.MapFS) { w["save/init.pbuf"].Data = []byte("PK\x03\x04") },
		"no address": func(w fstest.MapFS) {
			w["plan/plan.yaml"].Data = []byte(strings.Replace(plan, "agg.example.org", "auto", 1))
		},
	} {
		w := tree(t)
		change(w)
		r := report(t, w)
		if r.Plan != nil || r.PlanError == "" || len(r.Files) != len(w) {
			t.Errorf("%s: plan %+v, error %q, %d files", name, r.Plan, r.PlanError, len(r.Files))
		}
		if err := r.Text(&strings.Builder{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBox: the report shows what runs, and what it asks of the box.
func TestBox(t *testing.T) {
	w := tree(t)
	process := strings.NewReplacer("fx.builtin.NoOp\n  settings: {}", "fx.process.TaskRunner\n  settings: {command: [python3, src/run.py]}", "fx.builtin.NoData", "fx.data.Folder").Replace(plan)
	w["plan/plan.yaml"].Data = []byte(process + `box:
  level: full
  memory: 1073741824
  env: {B: "2", A: "1"}
  devices: [/dev/nvidia0]
`)
	r := report(t, w)
	if r.Plan == nil {
		t.Fatal(r.PlanError)
	}
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a program that this bundle names, in a box", `command      ["python3" "src/run.py"]`,
		`of the box   at least level full, 1.0 GiB of memory, environment ["A=1" "B=2"], DEVICES ["/dev/nvidia0"], which make the box weaker`, "(bundled-code)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, b.String())
		}
	}
}

// TestEgress: the report shows the contract that a site enforces.
func TestEgress(t *testing.T) {
	w := tree(t)
	python := strings.NewReplacer("fx.builtin.NoOp", "src.run.Runner", "fx.builtin.NoData", "src.run.Loader").Replace(plan)
	w["plan/plan.yaml"].Data = []byte(python + `egress:
  tensors: [dense/w]
  metrics: {accuracy: {min: 0, max: 1}}
  bytes_per_round: 100
  filters: [{name: clip, norm: 2}]
`)
	w["src/run.py"].Data = []byte("class Runner(PyTorchTaskRunner):\n    pass\n")
	r := report(t, w)
	if r.Plan == nil {
		t.Fatal(r.PlanError)
	}
	if r.Plan.Kind != "python" || !r.Plan.BundledCode {
		t.Errorf("kind %q, code of the bundle %t", r.Plan.Kind, r.Plan.BundledCode)
	}
	e := r.Plan.Egress
	if e.RoundLimit != 100 || e.MaxRoundBytes != 100 || e.RunBytes != 7*e.RoundBytes || len(e.Filters) != 1 || len(e.Optimizer) == 0 {
		t.Errorf("forecast: %+v", e)
	}
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"limits       100 bytes a round, none in all rounds", "filter       clip [*] to norm 2", "0 to 1", "refused",
		"__opt_state_*_*_istensor_exp_avg", "(egress-refused)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, b.String())
		}
	}
	w["plan/plan.yaml"].Data = []byte(plan + "egress: {filters: [{name: gaussian, sigma: 1}]}\n")
	if r := report(t, w); !strings.Contains(r.PlanError, "this version has clip, drop") {
		t.Errorf("plan error %q, want one that lists the filters", r.PlanError)
	}
}
