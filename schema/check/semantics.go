package check

import (
	"fmt"
	"strings"

	"fx/ca/identity"
	"fx/schema"
)

// semantics checks what no single value shows.
func semantics(p *schema.Plan, roster *Roster) schema.Findings {
	out := transport(p)
	out = append(out, metrics(p)...)
	out = append(out, egressRules(p)...)
	out = append(out, groups(p, roster)...)
	out = append(out, rounds(p, roster)...)
	out = append(out, judgement(p)...)
	out = append(out, enough(p, roster)...)
	if roster == nil {
		return out
	}
	for i, n := range roster.Names {
		out = append(out, collaboratorName(n, schema.Index("collaborators", i))...)
	}
	if len(roster.Names) == 0 {
		f := p.Config().Finding("empty-roster", "", "the list of collaborators is empty: nobody can take part")
		f.Severity = schema.SeverityWarning
		if roster.File != "" {
			f.File, f.Line, f.Column = roster.File, 0, 0
		}
		out = append(out, f)
	}
	return out
}

// collaboratorName refuses a name that no certificate carries, or that OpenFL's
// protocol takes for a tag.
func collaboratorName(n *schema.Node, where string) schema.Findings {
	err := identity.CheckName(identity.Collaborator, n.Text)
	if err == nil {
		return nil
	}
	f := n.Finding("name", where, "this cannot be the name of a collaborator")
	f.Found = n.Describe()
	f.Allowed = "1 to 63 of a-z, 0-9 and -, and no word of OpenFL's protocol"
	f.Hint = strings.TrimPrefix(err.Error(), identity.ErrInvalid.Error()+": ")
	return schema.Findings{f}
}

// transport refuses plans that send tensors in the clear, or to strangers.
func transport(p *schema.Plan) schema.Findings {
	var out schema.Findings
	settings := p.Config().At("network", "settings")
	for _, weak := range []struct {
		key     string
		value   bool
		message string
	}{
		{"use_tls", false, "the plan switches TLS off"},
		{"tls", false, "the plan switches TLS off"},
		{"require_client_auth", false, "the plan lets collaborators in without a certificate"},
		{"disable_client_auth", true, "the plan lets collaborators in without a certificate"},
	} {
		n := settings.Lookup(weak.key)
		if n == nil || n.Kind != schema.KindBool || n.Bool != weak.value {
			continue
		}
		f := n.Finding("insecure", "network.settings."+weak.key, weak.message)
		f.Found, f.Allowed = n.Describe(), fmt.Sprint(!weak.value)
		f.Hint = "remove the key"
		out = append(out, f)
	}
	return out
}

// metrics refuses a metric that a task lists twice.
func metrics(p *schema.Plan) schema.Findings {
	var out schema.Findings
	for _, t := range p.Config().Lookup("tasks").Entries() {
		list := t.Value.At("kwargs", "metrics")
		if list == nil || list.Kind != schema.KindList {
			continue
		}
		seen := map[string]bool{}
		for i, n := range list.Items {
			if n.Kind == schema.KindString && seen[n.Text] {
				path := schema.Index(schema.Child("tasks", t.Key.KeyText())+".kwargs.metrics", i)
				out = append(out, n.Finding("duplicate-value", path, fmt.Sprintf("the metric %q is in this list twice", n.Text)))
			}
			seen[n.Text] = true
		}
	}
	return out
}
