package check

import (
	"fmt"
	"slices"
	"strings"

	"fx/schema"
)

// Peer is what a Python peer makes of a plan that is written for OpenFL 1.9.
type Peer struct {
	Version  string   `json:"version"`
	SameID   bool     `json:"same_id"` // it computes the federation id that fx computes
	Starts   bool     `json:"starts"`  // it builds everything that the plan names
	Findings []string `json:"findings"`
}

// defaults16 says how the defaults files of 1.6 differ from those of 1.9.
var defaults16 = map[string]string{
	"plan/defaults/aggregator.yaml":                "its own has write_logs: true and no paths",
	"plan/defaults/assigner.yaml":                  "its own has one group, train_and_validate",
	"plan/defaults/collaborator.yaml":              "its own has delta_updates: true for use_delta_updates",
	"plan/defaults/network.yaml":                   "its own has tls and disable_client_auth for use_tls and require_client_auth",
	"plan/defaults/tasks_keras.yaml":               "its own names the functions train and validate",
	"plan/defaults/tasks_xgb.yaml":                 "it has none, and merges nothing",
	"plan/defaults/straggler_handling_policy.yaml": "it has none, and merges nothing",
	"plan/defaults/connector_flower.yaml":          "it has none, and merges nothing",
	"plan/defaults/tasks_flower.yaml":              "it has none, and merges nothing",
}

// Peers tells what OpenFL 1.9 and OpenFL 1.6 make of a plan. Source of the facts:
// the constructors and the defaults files of the two packages.
func Peers(config *schema.Node) []Peer {
	nine := Peer{Version: "1.9", SameID: true, Starts: true, Findings: []string{}}
	six := Peer{Version: "1.6", SameID: true, Starts: true, Findings: []string{}}
	for _, section := range []string{"task_runner", "data_loader"} {
		if t := templateText(config.Lookup(section)); strings.HasPrefix(t, "fx.") {
			says := fmt.Sprintf("%s %s is fx's: Python has no such class", section, t)
			nine.stops(says)
			six.stops(says)
		}
	}
	for _, t := range config.Lookup("tasks").Entries() {
		class := schema.CanonicalTemplate(templateText(t.Value.Lookup("aggregation_type")))
		if says := unbuildable(class); says != "" {
			says = fmt.Sprintf("task %q: %s", t.Key.KeyText(), says)
			nine.stops(says)
			six.stops(says)
		}
	}
	for _, file := range defaultsOf(config) {
		if says := defaults16[file]; says != "" {
			six.SameID = false
			six.Findings = append(six.Findings, fmt.Sprintf("%s is another file there: %s", file, says))
		}
	}
	six.newer(config)
	if t := templateText(config.Lookup("straggler_handling_policy")); strings.HasPrefix(t, "openfl.") && !strings.Contains(t, ".straggler_handling_functions.") && own(config.At("straggler_handling_policy", "template")) {
		six.stops("straggler_handling_policy.template: no module of that name")
	}
	for _, p := range config.Pairs {
		if s := p.Key.KeyText(); s == "connector" || s == "egress" || s == "box" || s == "rounds" {
			six.Findings = append(six.Findings, "the section "+s+" is not read")
			switch s {
			case "egress":
				nine.Findings = append(nine.Findings, "the section egress is not read: what it narrows, a Python site does not narrow")
			case "box":
				nine.Findings = append(nine.Findings, "the section box is not read: a Python site runs task code without a box")
			case "rounds":
				nine.Findings = append(nine.Findings, "the section rounds is not read: the best model has the largest of all validation metrics, and all rounds are run")
			}
		}
	}
	return []Peer{nine, six}
}

// unbuildable says why a Python aggregator cannot make an aggregation function
// that fx has, or "".
func unbuildable(class string) string {
	switch {
	case strings.HasPrefix(class, "fx."):
		return "the aggregation " + class + " is fx's: Python has no such class"
	case strings.HasSuffix(class, "AdaptiveAggregation"):
		return "the aggregation " + class + " cannot be made from a plan: in Python it needs start values that only code can give"
	}
	return ""
}

func (p *Peer) stops(says string) {
	p.Starts = false
	p.Findings = append(p.Findings, says)
}

func own(n *schema.Node) bool {
	origin, _ := n.Origin()
	return origin == schema.FromPlan
}

// newer lists what the plan itself says in keys that 1.6 does not know.
func (p *Peer) newer(config *schema.Node) {
	effects := map[string]string{
		"collaborator.settings.use_delta_updates": "it sends differences as its own delta_updates says, which is false where nothing sets it",
		"network.settings.use_tls":                "it uses TLS unless tls says otherwise",
		"network.settings.require_client_auth":    "it asks for certificates unless disable_client_auth says otherwise",
		"aggregator.settings.secure_aggregation":  "it adds up in the clear",
		"assigner.settings.selected_task_group":   "it runs all groups",
	}
	var idle []string
	for _, section := range []string{"aggregator", "collaborator", "network", "assigner"} {
		settings := config.At(section, "settings")
		for _, k := range Settings(section, templateText(config.Lookup(section))) {
			value := settings.Lookup(k.Name)
			if value == nil || !own(value) || k.Since == "1.6" {
				continue
			}
			path := section + ".settings." + k.Name
			if effect := effects[path]; effect != "" {
				p.Findings = append(p.Findings, fmt.Sprintf("%s is ignored: %s", path, effect))
			} else {
				idle = append(idle, path)
			}
		}
	}
	if len(idle) > 0 {
		p.Findings = append(p.Findings, strings.Join(idle, ", ")+": ignored")
	}
	network := config.At("network", "settings")
	if network.Lookup("disable_client_auth") == nil && !slices.Contains(defaultsOf(config), "plan/defaults/network.yaml") {
		p.stops("network.settings: a collaborator cannot start without disable_client_auth, which only its own plan/defaults/network.yaml would bring")
	}
}

// defaultsOf lists the defaults files that brought something into a merged plan.
func defaultsOf(config *schema.Node) []string {
	var files []string
	var walk func(*schema.Node)
	walk = func(n *schema.Node) {
		if origin, file := n.Origin(); origin == schema.FromDefaults && !slices.Contains(files, file) {
			files = append(files, file)
		}
		for _, p := range n.Entries() {
			walk(p.Key)
			walk(p.Value)
		}
		for _, item := range n.Items {
			walk(item)
		}
	}
	walk(config)
	return files
}
