package check

import (
	"fmt"
	"strings"

	"fx/schema"
)

const (
	waitForAll       = "openfl.component.aggregator.straggler_handling.WaitForAllPolicy"
	cutoffPolicy     = "openfl.component.aggregator.straggler_handling.CutoffTimePolicy"
	percentagePolicy = "openfl.component.aggregator.straggler_handling.PercentagePolicy"
)

// lossy are OpenFL's pipelines that give back other values than they were given.
var lossy = map[string]bool{
	"openfl.pipelines.KCPipeline": true, "openfl.pipelines.SKCPipeline": true, "openfl.pipelines.STCPipeline": true, "openfl.pipelines.EdenPipeline": true,
}

// value is the node of a setting, or the key of its section where the setting is
// absent and its default is meant.
func value(p *schema.Plan, section string, keys ...string) (*schema.Node, string) {
	settings := p.Config().At(section, "settings")
	for _, key := range keys {
		if n := settings.Lookup(key); n != nil {
			return n, schema.Child(section+".settings", key)
		}
	}
	if n := p.Config().Key(section); n != nil {
		return n, section
	}
	return p.Config(), section
}

// rounds checks settings of different sections that, together, stop a federation
// in the middle of its rounds.
func rounds(p *schema.Plan, roster *Roster) schema.Findings {
	var out schema.Findings
	out = append(out, deltas(p)...)
	out = append(out, closing(p, roster)...)
	return append(out, network(p)...)
}

// deltas checks what OpenFL's collaborators and aggregator do when models travel
// as differences.
func deltas(p *schema.Plan) schema.Findings {
	var out schema.Findings
	d := p.Draft()
	if !d.Collaborator.UseDeltaUpdates {
		return nil
	}
	node, where := value(p, "collaborator", "use_delta_updates", "delta_updates")
	if lossy[d.Compression.Template] {
		f := node.Finding("mixed-deltas", where, "with a pipeline that loses values, an OpenFL aggregator cannot average differences with whole models: a round fails in which one collaborator sends the one and another the other")
		f.Severity, f.Found = schema.SeverityWarning, node.Describe() // when somebody joins late or starts again; fxrun's aggregator takes both
		f.Hint = "run the aggregator with fxrun, set use_delta_updates of the collaborator to false, or use a pipeline that keeps all values"
		out = append(out, f)
	}
	if kept := d.Aggregator.DBStoreRounds; kept == 0 || kept == 1 {
		store, where := value(p, "aggregator", "db_store_rounds")
		f := store.Finding("store-rounds", where, "the aggregator forgets a round's model before it can tell collaborators the difference to it")
		f.Found, f.Allowed = fmt.Sprintf("%d round", kept), "at least 2, or -1 for all"
		f.Hint = "write db_store_rounds: 2, or set use_delta_updates of the collaborator to false"
		out = append(out, f)
	}
	return out
}

// closing checks that a round can come to its end.
func closing(p *schema.Plan, roster *Roster) schema.Findings {
	var out schema.Findings
	policy := p.Draft().Straggler
	if n := p.Config().At("aggregator", "settings", "secure_aggregation"); n != nil && n.Kind == schema.KindBool && n.Bool && policy.Template != "" && policy.Template != waitForAll {
		section := p.Config().Key("straggler_handling_policy")
		f := section.Finding("secure-aggregation", "straggler_handling_policy", "secure aggregation needs the results of all collaborators: the masks of one that is left out stay in the sum")
		f.Found, f.Allowed = policy.Template, waitForAll
		f.Hint = "remove the section"
		out = append(out, f)
	}
	if policy.Template != cutoffPolicy && policy.Template != percentagePolicy || roster == nil || len(roster.Names) == 0 {
		return out
	}
	n := p.Config().At("straggler_handling_policy", "settings", "minimum_reporting")
	if n != nil && n.Kind == schema.KindInt && n.Int > int64(len(roster.Names)) {
		f := n.Finding("never-closes", "straggler_handling_policy.settings.minimum_reporting", "more collaborators must report than take part: no round ever closes")
		f.Found, f.Allowed = n.Describe(), fmt.Sprintf("at most %d, the number of collaborators", len(roster.Names))
		out = append(out, f)
	}
	return out
}

// network warns of an address and a port that work on some machines only.
func network(p *schema.Plan) schema.Findings {
	var out schema.Findings
	settings := p.Config().At("network", "settings")
	if n := settings.Lookup("agg_addr"); n != nil && n.Kind == schema.KindString && n.Text == "auto" {
		f := n.Finding("auto-address", "network.settings.agg_addr", "every machine takes its own name for the aggregator's: collaborators elsewhere do not find it, and compute another port")
		f.Severity, f.Found = schema.SeverityWarning, n.Describe()
		f.Hint = "write the aggregator's host name; fxctl bundle create needs it"
		out = append(out, f)
	}
	if n := settings.Lookup("agg_port"); n != nil && n.Kind == schema.KindInt && n.Int > 0 && n.Int < 1024 {
		f := n.Finding("privileged-port", "network.settings.agg_port", "on most systems only root may listen on this port")
		f.Severity, f.Found, f.Allowed = schema.SeverityWarning, n.Describe(), "from 1024 to 65535, or auto"
		out = append(out, f)
	}
	return out
}

// uncovered says that shares, cut to whole collaborators, leave some of the
// roster without a group.
func uncovered(list *schema.Node, size int) schema.Findings {
	taken := 0
	var parts []string
	for _, group := range list.Items {
		var share float64
		switch n := group.Lookup("percentage"); {
		case n == nil:
			return nil // the schema has said so
		case n.Kind == schema.KindInt:
			share = float64(n.Int)
		case n.Kind == schema.KindFloat:
			share = n.Float
		default:
			return nil
		}
		if !(share >= 0 && share <= 1) {
			return nil
		}
		taken += int(share * float64(size))
		parts = append(parts, fmt.Sprint(int(share*float64(size))))
	}
	if taken == size || len(parts) == 0 {
		return nil
	}
	f := list.Finding("no-group", "assigner.settings.task_groups", "the groups do not take in all collaborators: each share is cut to a whole number of them")
	f.Found = fmt.Sprintf("groups of %s, %d of %d collaborators", strings.Join(first(parts, 20), ", "), taken, size)
	f.Allowed = "shares that make whole numbers of the roster"
	f.Hint = "use one group, StaticGroupedAssigner, or another number of collaborators"
	return schema.Findings{f}
}
