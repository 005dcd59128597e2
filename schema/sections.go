package schema

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func itoa(i int) string { return strconv.Itoa(i) }

// Class paths of sections that have one implementation: what OpenFL 1.6 to 1.9
// call it.
var (
	aggregatorTemplates   = []string{"openfl.component.Aggregator", "openfl.component.aggregator.Aggregator", "openfl.component.aggregator.aggregator.Aggregator"}
	collaboratorTemplates = []string{"openfl.component.Collaborator", "openfl.component.collaborator.Collaborator", "openfl.component.collaborator.collaborator.Collaborator"}
	networkTemplates      = []string{"openfl.federation.Network"}
)

// What a section that is absent means in OpenFL 1.9.
const (
	defaultCompression = pipelines + "NoCompressionPipeline"
	defaultStraggler   = stragglers19 + "WaitForAllPolicy"
)

// Sections lists the top-level keys of a plan.
func Sections() []string { return slices.Clone(sections) }

var sections = []string{"aggregator", "assigner", "box", "collaborator", "compression_pipeline", "data_loader", "egress", "network", "rounds", "straggler_handling_policy", "task_runner", "tasks"}

// decodePlan type-checks a merged plan.
func decodePlan(root *Node) (*Resolved, Findings) {
	var fs Findings
	d := &decoder{root: root, out: &fs}
	r := &Resolved{
		Aggregator:   d.aggregator(),
		Collaborator: d.collaborator(),
		Network:      d.network(),
		Assigner:     d.component("assigner", ""),
		Straggler:    straggler(d.component("straggler_handling_policy", defaultStraggler)),
		Compression:  d.component("compression_pipeline", defaultCompression),
		DataLoader:   d.component("data_loader", ""),
		TaskRunner:   d.component("task_runner", ""),
		Tasks:        d.tasks(),
		Egress:       d.egress(),
		Box:          d.box(),
		Rounds:       d.rounds(),
	}
	r.Tasks = inGroupOrder(r.Tasks, r.Assigner)
	d.connector()
	d.unknownSections()
	return r, fs
}

type decoder struct {
	root *Node
	out  *Findings
}

func (d *decoder) unknownSections() {
	for _, p := range d.root.Pairs {
		name := p.Key.KeyText()
		if name == "connector" {
			continue // decoded on its own
		}
		if !slices.Contains(sections, name) {
			f := p.Key.finding("unknown-key", Child("", name), "there is no such section")
			f.Found, f.Allowed, f.Hint = p.Key.Describe(), strings.Join(sections, ", "), DidYouMean(name, sections)
			*d.out = append(*d.out, f)
		}
	}
}

// section checks the keys of a section and returns the fields of its settings,
// or nil if there is no such section.
func (d *decoder) section(name string, templates []string, needTemplate bool) *fields {
	node := d.root.Lookup(name)
	if node == nil {
		f := d.root.finding("missing-key", "", "the section %q is missing", name)
		f.Hint = "add it, for example with `defaults: plan/defaults/" + name + ".yaml`"
		*d.out = append(*d.out, f)
		return nil
	}
	key := d.root.Key(name)
	s := newFields(node, key, name, d.out)
	s.ignore("defaults") // merged already; known here so that it can be meant
	template := s.text("template", needTemplate)
	if template != "" && templates != nil && !slices.Contains(templates, template) {
		n := node.Lookup("template")
		f := n.finding("unknown-template", Child(name, "template"), "there is no such template")
		f.Found, f.Allowed, f.Hint = n.Describe(), strings.Join(templates[:1], ", "), DidYouMean(template, templates)
		s.add(f)
	}
	return s.settings()
}

// settings reads the settings of a section and ends it.
func (f *fields) settings() *fields {
	n := f.take("settings")
	f.done()
	if n == nil || n.Kind == KindNull {
		n = &Node{Kind: KindMap, File: f.where.File, Line: f.where.Line, Column: f.where.Column}
	}
	if n.Kind != KindMap {
		f.mistyped(n, "settings", "a map")
		n = &Node{Kind: KindMap, File: n.File, Line: n.Line, Column: n.Column}
	}
	where := f.node.Key("settings")
	if where == nil {
		where = f.where
	}
	return newFields(n, where, Child(f.path, "settings"), f.out)
}

func (d *decoder) aggregator() AggregatorSettings {
	s := d.section("aggregator", aggregatorTemplates, true)
	if s == nil {
		return AggregatorSettings{}
	}
	a := AggregatorSettings{
		InitStatePath:   s.model("init_state_path"),
		BestStatePath:   s.model("best_state_path"),
		LastStatePath:   s.model("last_state_path"),
		Rounds:          s.integer("rounds_to_train", true, 0, 1),
		DBStoreRounds:   s.integer("db_store_rounds", false, 1, -1),
		UseDeltaUpdates: s.flag("use_delta_updates", true),
		WriteLogs:       s.flag("write_logs", false),
	}
	s.modelsDiffer(a)
	s.flag("persist_checkpoint", true)
	s.file("persistent_db_path", false)
	s.flag("log_memory_usage", false)
	s.flag("save_native_model", false)
	if s.flag("secure_aggregation", false) {
		s.unsupported("secure_aggregation", "secure aggregation is not supported", "remove the key, or set it to false")
	}
	s.commonName()
	s.ignore("log_metric_callback", "callbacks")
	s.done()
	return a
}

// modelsDiffer refuses models that would overwrite each other, among them the
// final model, which is written beside the last one.
func (f *fields) modelsDiffer(a AggregatorSettings) {
	taken := map[string]string{path.Join(path.Dir(a.LastStatePath), "final.pbuf"): "the final model"}
	for _, m := range []struct{ key, name string }{
		{"init_state_path", a.InitStatePath}, {"best_state_path", a.BestStatePath}, {"last_state_path", a.LastStatePath},
	} {
		name := path.Clean(m.name)
		if other, twice := taken[name]; twice && m.name != "" {
			n := f.node.Lookup(m.key)
			finding := n.finding("duplicate-value", Child(f.path, m.key), "this is also the path of %s: one would overwrite the other", other)
			finding.Found = n.Describe()
			f.add(finding)
		}
		taken[name] = m.key
	}
}

// commonName refuses one certificate for all collaborators: the certificate is
// the identity.
func (f *fields) commonName() {
	const key = "single_col_cert_common_name"
	n := f.take(key)
	if n == nil || n.Kind == KindNull || n.Kind == KindString && n.Text == "" {
		return
	}
	f.unsupported(key, "one certificate for all collaborators is not supported", "remove the key and give every collaborator its own certificate")
}

func (d *decoder) collaborator() CollaboratorSettings {
	s := d.section("collaborator", collaboratorTemplates, true)
	if s == nil {
		return CollaboratorSettings{}
	}
	s.renamed("delta_updates", "use_delta_updates", "")
	deltas := s.flag("delta_updates", false)
	c := CollaboratorSettings{
		OptTreatment:    s.word("opt_treatment", "RESET", "RESET", "CONTINUE_LOCAL", "CONTINUE_GLOBAL"),
		UseDeltaUpdates: s.flag("use_delta_updates", deltas),
		DBStoreRounds:   s.integer("db_store_rounds", false, 1, -1),
	}
	s.word("device_assignment_policy", "CPU_ONLY", "CPU_ONLY", "CUDA_PREFERRED")
	s.flag("write_logs", false)
	s.flag("log_memory_usage", false)
	if s.flag("interop_mode", false) {
		s.unsupported("interop_mode", "connectors to other frameworks (Flower) are not supported", "remove the key, or set it to false")
	}
	s.ignore("callbacks")
	s.done()
	return c
}

func (d *decoder) network() NetworkSettings {
	s := d.section("network", networkTemplates, false)
	if s == nil {
		return NetworkSettings{}
	}
	s.renamed("tls", "use_tls", "")
	s.renamed("disable_client_auth", "require_client_auth", ", with the opposite meaning")
	tls := s.flag("tls", true)
	clientAuth := !s.flag("disable_client_auth", false)
	n := NetworkSettings{
		Host:              s.host(),
		Port:              s.port("agg_port", true),
		ReconnectInterval: time.Duration(s.number("client_reconnect_interval", 1) * float64(time.Second)),
		TLS:               s.flag("use_tls", tls),
		RequireClientAuth: s.flag("require_client_auth", clientAuth),
	}
	atomic := s.node.Lookup("enable_atomic_connections")
	n.NewConnectionPerRequest = s.flag("enable_atomic_connections", true) || fromDefaults(atomic.File)
	s.flag("resend_data_on_reconnection", true)
	if protocol := s.word("transport_protocol", "grpc", "grpc", "rest"); protocol == "rest" {
		s.unsupported("transport_protocol", "the REST transport is not supported", "set it to grpc")
	}
	s.commonName()
	s.ignore("hash_salt", "cert_folder")
	s.done()
	return n
}

// host reads agg_addr: a host name, an IP address or "auto".
func (f *fields) host() string {
	host := f.text("agg_addr", true)
	n := f.node.Lookup("agg_addr")
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		finding := n.finding("address", Child(f.path, "agg_addr"), "nobody can connect to this address")
		finding.Found, finding.Allowed = n.Describe(), "the host name or IP address by which collaborators reach the aggregator, or auto"
		f.add(finding)
		return ""
	}
	if strings.ContainsAny(host, " /\t@?#[]") || len(host) > 253 || strings.Count(host, ":") == 1 {
		finding := n.finding("address", Child(f.path, "agg_addr"), "this is not a host name")
		finding.Found, finding.Allowed = n.Describe(), "a host name, an IP address, or auto"
		finding.Hint = "the port has its own key, agg_port"
		f.add(finding)
		return ""
	}
	return host
}

// port reads a port: 1 to 65535 or "auto", which is 0 until it is resolved.
func (f *fields) port(key string, required bool) int {
	n := f.take(key)
	switch {
	case n == nil && required:
		f.missing(key, "a port, or auto")
	case n == nil, n.Kind == KindString && n.Text == "auto":
	case n.Kind != KindInt:
		f.mistyped(n, key, "an integer, or auto")
	case n.Int < 1 || n.Int > 65535:
		f.outOfRange(n, key, "from 1 to 65535, or auto")
	default:
		return int(n.Int)
	}
	return 0
}

// component reads a section that names an implementation. fallback is the
// template of a section that is absent; "" makes the section required.
func (d *decoder) component(name, fallback string) Component {
	if fallback != "" && d.root.Lookup(name) == nil {
		return Component{Template: fallback, Settings: map[string]any{}}
	}
	s := d.section(name, nil, true)
	if s == nil {
		return Component{}
	}
	s.textKeys()
	c := Component{Settings: s.node.Any().(map[string]any)}
	if t := d.root.At(name, "template"); t != nil && t.Kind == KindString {
		c.Template = CanonicalTemplate(t.Text)
	}
	return c
}

// textKeys complains about settings whose names are not strings: they become
// Python keyword arguments.
func (f *fields) textKeys() {
	for _, p := range f.node.Pairs {
		if p.Key.Kind != KindString {
			finding := p.Key.finding("type", Child(f.path, p.Key.KeyText()), "the name of a setting is a word")
			finding.Found, finding.Allowed, finding.Hint = p.Key.Describe(), "a string", YAMLHint(p.Key, "a string")
			f.add(finding)
		}
	}
}
