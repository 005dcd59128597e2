package schema

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The plan of the vectors is its own canonical dump.
func TestVector(t *testing.T) {
	data, err := os.ReadFile("testdata/vector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, plan       string
		federation, hash string
		port             int
	}{
		{"address", string(data), "plan.yaml_f532ae66", "f532ae66e98977", 59932},
		{"auto", strings.Replace(string(data), "agg.example.org", "auto", 1), "plan.yaml_89c323e8", "89c323e8", 60150},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParsePlan("some/folder/plan.yaml", []byte(test.plan))
			if err != nil {
				t.Fatal(err)
			}
			if got := Dump(p.Config()); string(got) != test.plan {
				t.Errorf("dump differs:\n%s", got)
			}
			r, err := p.Resolve(ResolveOptions{FQDN: "host.example.org"})
			if err != nil {
				t.Fatal(err)
			}
			if r.FederationID != test.federation || r.AggregatorID != "aggregator_"+test.federation {
				t.Errorf("ids %q, %q, want %q", r.FederationID, r.AggregatorID, test.federation)
			}
			if r.Network.Port != test.port {
				t.Errorf("port %d, want %d", r.Network.Port, test.port)
			}
			if !strings.HasPrefix(r.Hash, test.hash) || len(r.Hash) != 96 {
				t.Errorf("hash %s, want %s…", r.Hash, test.hash)
			}
		})
	}
	if !bytes.HasSuffix(data, []byte("- loss\n")) || len(data) != 1450 {
		t.Errorf("the vector has %d bytes, want 1450", len(data))
	}
}

func digits(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func resolve(t *testing.T, text string) *Resolved {
	t.Helper()
	p, err := ParsePlan("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(ResolveOptions{FQDN: "host.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResolve(t *testing.T) {
	r := resolve(t, digits(t))
	if want := (AggregatorSettings{"save/init.pbuf", "save/best.pbuf", "save/last.pbuf", 10, 2, true, false}); r.Aggregator != want {
		t.Errorf("aggregator %+v, want %+v", r.Aggregator, want)
	}
	if want := (CollaboratorSettings{"RESET", false, 1}); r.Collaborator != want {
		t.Errorf("collaborator %+v, want %+v", r.Collaborator, want)
	}
	n := r.Network
	if n.Host != "agg.example.org" || n.Port < 49152 || n.Port > 60998 || n.ReconnectInterval != 5*time.Second || !n.TLS || !n.RequireClientAuth || !n.NewConnectionPerRequest {
		t.Errorf("network %+v", n)
	}
	var names []string
	for _, task := range r.Tasks {
		names = append(names, task.Name+" "+task.Function+" "+task.Apply())
	}
	want := []string{"aggregated_model_validation validate_task global", "train train_task global", "locally_tuned_model_validation validate_task local"}
	if !slices.Equal(names, want) {
		t.Errorf("tasks %q, want %q, the order of the group", names, want)
	}
	if lr := r.Tasks[1].Kwargs["lr"]; lr != 0.1 {
		t.Errorf("lr is %T %v", lr, lr)
	}
	if f := r.TaskRunner.Settings["features"]; f != 64 {
		t.Errorf("features is %T %v", f, f)
	}
	if r.Straggler.Template != defaultStraggler || r.Tasks[1].Aggregation.Template != functions+"WeightedAverage" || r.Tasks[0].Aggregation.Template != "" {
		t.Errorf("templates %q, %q", r.Straggler.Template, r.Tasks[1].Aggregation.Template)
	}
}

// What a change of the plan's text does to a value.
func TestResolveVariants(t *testing.T) {
	tests := []struct {
		name, old, new string
		got            func(*Resolved) any
		want           any
	}{
		{"one connection", "client_reconnect_interval: 5", "enable_atomic_connections: false", func(r *Resolved) any { return r.Network.NewConnectionPerRequest }, false},
		{"many connections", "client_reconnect_interval: 5", "enable_atomic_connections: true", func(r *Resolved) any { return r.Network.NewConnectionPerRequest }, true},
		{"fraction of a second", "client_reconnect_interval: 5", "client_reconnect_interval: 0.25", func(r *Resolved) any { return r.Network.ReconnectInterval }, 250 * time.Millisecond},
		{"port", "client_reconnect_interval: 5", "agg_port: 50051", func(r *Resolved) any { return r.Network.Port }, 50051},
		{"address", "agg_addr: agg.example.org", "agg_addr: auto", func(r *Resolved) any { return r.Network.Host }, "host.example.org"},
		{"IP address", "agg_addr: agg.example.org", "agg_addr: '::1'", func(r *Resolved) any { return r.Network.Host }, "::1"},
		{"TLS off", "client_reconnect_interval: 5", "use_tls: off", func(r *Resolved) any { return r.Network.TLS }, false},
		{"deltas in the words of 1.6", "use_delta_updates: false", "delta_updates: true", func(r *Resolved) any { return r.Collaborator.UseDeltaUpdates }, true},
		{"cut-off that never comes", "  defaults: plan/defaults/straggler_handling_policy.yaml", "  template: openfl.component.straggler_handling_functions.CutoffTimeBasedStragglerHandling\n  settings: {straggler_cutoff_time: .inf, minimum_reporting: 2}",
			func(r *Resolved) any { return r.Straggler.Template }, defaultStraggler},
		{"cut-off", "  defaults: plan/defaults/straggler_handling_policy.yaml", "  template: openfl.component.CutoffTimePolicy\n  settings: {straggler_cutoff_time: 30}",
			func(r *Resolved) any { return r.Straggler.Template }, stragglers19 + "CutoffTimePolicy"},
		{"no policy", "straggler_handling_policy:\n  defaults: plan/defaults/straggler_handling_policy.yaml\n", "", func(r *Resolved) any { return r.Straggler.Template }, defaultStraggler},
		{"no pipeline", "compression_pipeline:\n  template: openfl.pipelines.NoCompressionPipeline\n", "", func(r *Resolved) any { return r.Compression.Template }, defaultCompression},
		{"assigner where it is defined", "openfl.component.RandomGroupedAssigner", "openfl.component.assigner.random_grouped_assigner.RandomGroupedAssigner",
			func(r *Resolved) any { return r.Assigner.Template }, "openfl.component.RandomGroupedAssigner"},
		{"rounds", "rounds_to_train: 10", "rounds_to_train: 1_0", func(r *Resolved) any { return r.Aggregator.Rounds }, 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := digits(t)
			if !strings.Contains(text, test.old) {
				t.Fatalf("%q is not in the plan", test.old)
			}
			if got := test.got(resolve(t, strings.Replace(text, test.old, test.new, 1))); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// A plan whose switch for lasting connections comes from OpenFL's defaults file
// still gets a connection per request: the file says false for everybody.
func TestAtomicConnectionsFromDefaults(t *testing.T) {
	p, err := ParsePlan("plan.yaml", []byte(digits(t)))
	if err != nil {
		t.Fatal(err)
	}
	if v := p.Config().At("network", "settings", "enable_atomic_connections"); v == nil || v.Bool {
		t.Fatalf("the defaults file says %s, want false", v.Describe())
	}
	if r := resolve(t, digits(t)); !r.Network.NewConnectionPerRequest {
		t.Error("one lasting connection, want a new one per request")
	}
}

// Defaults are merged one level deep: settings key by key, lists and maps whole.
func TestMergeDefaults(t *testing.T) {
	text := `
assigner:
  defaults: plan/defaults/assigner.yaml
  settings: {task_groups: [{name: mine, percentage: 1.0, tasks: [train]}]}
collaborator: {defaults: plan/defaults/collaborator.yaml, settings: {opt_treatment: RESET}}
tasks:
  defaults: plan/defaults/tasks_torch.yaml
  train: {function: mine}
  extra: {function: more}
`
	p, err := ReadPlan("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	const want = `assigner:
  settings:
    task_groups:
    - name: mine
      percentage: 1.0
      tasks:
      - train
  template: openfl.component.RandomGroupedAssigner
collaborator:
  settings:
    db_store_rounds: 1
    opt_treatment: RESET
    use_delta_updates: true
  template: openfl.component.Collaborator
tasks:
  aggregated_model_validation:
    function: validate_task
    kwargs:
      apply: global
      metrics:
      - acc
  extra:
    function: more
  locally_tuned_model_validation:
    function: validate_task
    kwargs:
      apply: local
      metrics:
      - acc
  settings: {}
  train:
    function: mine
`
	if got := string(Dump(p.Config())); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	var names []string
	for _, task := range p.Draft().Tasks {
		names = append(names, task.Name)
	}
	if want := []string{"train", "aggregated_model_validation", "locally_tuned_model_validation", "extra"}; !slices.Equal(names, want) {
		t.Errorf("tasks %q, want %q, the order of the group", names, want)
	}
}

// A finding about a value from a defaults file points at the plan's section.
func TestLocate(t *testing.T) {
	text := strings.Replace(digits(t), "    client_reconnect_interval: 5\n", "    disable_client_auth: true\n", 1)
	_, err := ParsePlan("plan.yaml", []byte(text))
	checkError(t, err, `plan.yaml:19:5: network.settings.disable_client_auth: "disable_client_auth" is the name that OpenFL 1.6 gave to "require_client_auth", which the defaults file sets (write require_client_auth, with the opposite meaning)`)
}

func TestResolveNeedsHost(t *testing.T) {
	p, err := ParsePlan("plan.yaml", []byte(strings.Replace(digits(t), "agg.example.org", "auto", 1)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Resolve(ResolveOptions{})
	checkError(t, err, "plan.yaml:18:15: network.settings.agg_addr: the address is auto and this machine has no host name")
}

func BenchmarkParsePlan(b *testing.B) {
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := ParsePlan("plan.yaml", data)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Resolve(ResolveOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
