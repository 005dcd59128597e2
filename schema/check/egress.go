package check

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/schema"
)

// egressRules checks the section egress as far as the plan alone shows: its
// filters against the runtime's table, its metrics against the tasks.
func egressRules(p *schema.Plan) schema.Findings {
	section := p.Config().Lookup("egress")
	if section == nil {
		return nil
	}
	return append(egressFilters(p, section), egressMetrics(p, section)...)
}

func egressFilters(p *schema.Plan, section *schema.Node) schema.Findings {
	var out schema.Findings
	var before []egress.Filter
	eachFilter(p, section, func(path string, n *schema.Node, f schema.EgressFilter) {
		filter, err := egress.NewFilter(f)
		if err == nil {
			filter, err = filter.After(before)
			before = append(before, filter)
		}
		if err == nil || f.Name == "" {
			return
		}
		text := strings.TrimSuffix(err.Error(), ": "+schema.ErrInvalid.Error())
		if name := n.Lookup("name"); !slices.Contains(egress.FilterNames(), f.Name) {
			finding := name.Finding("value", path+".name", text)
			finding.Found = name.Describe()
			out = append(out, finding)
			return
		}
		out = append(out, n.Finding("component", path, text))
	})
	return out
}

// eachFilter calls do with the filters that are maps, which are those that were
// decoded.
func eachFilter(p *schema.Plan, section *schema.Node, do func(path string, n *schema.Node, f schema.EgressFilter)) {
	list := section.Lookup("filters")
	if list == nil || list.Kind != schema.KindList {
		return
	}
	filters := p.Draft().Egress.Filters
	for i, n := range list.Items {
		if n.Kind == schema.KindMap && len(filters) > 0 {
			do(schema.Index("egress.filters", i), n, filters[0])
			filters = filters[1:]
		}
	}
}

// egressMetrics compares the metrics that may leave with those that tasks list.
func egressMetrics(p *schema.Plan, section *schema.Node) schema.Findings {
	list := section.Lookup("metrics")
	if list == nil || list.Kind != schema.KindMap {
		return nil
	}
	var out schema.Findings
	var made []string
	for _, t := range p.Config().Lookup("tasks").Entries() {
		metrics := t.Value.At("kwargs", "metrics")
		if metrics == nil || metrics.Kind != schema.KindList {
			continue
		}
		for i, n := range metrics.Items {
			if n.Kind != schema.KindString {
				continue
			}
			made = append(made, n.Text)
			if list.Lookup(n.Text) == nil {
				f := n.Finding("egress-refused", schema.Index(schema.Child("tasks", t.Key.KeyText())+".kwargs.metrics", i),
					fmt.Sprintf("the task reports the metric %q, which egress.metrics does not let leave", n.Text))
				f.Hint = "remove it here, or add it to egress.metrics"
				out = append(out, f)
			}
		}
	}
	for _, pair := range list.Pairs {
		if name := pair.Key.KeyText(); pair.Key.Kind == schema.KindString && !slices.Contains(made, name) {
			f := pair.Key.Finding("unknown-metric", schema.Child("egress.metrics", name), "no task reports this metric")
			slices.Sort(made)
			f.Found, f.Allowed, f.Hint = pair.Key.Describe(), some(slices.Compact(made)), schema.DidYouMean(name, first(made, 1000))
			out = append(out, f)
		}
	}
	return out
}

// Egress returns what a plan's section egress gets wrong about the initial
// model, sorted by position: globs that no tensor matches, tensors that a task
// sends and no rule allows, limits that one round exceeds. round is the model's,
// pytorch what [egress.UsesPyTorch] reports. What the plan alone shows, [Plan] says.
func Egress(p *schema.Plan, model []tensor.Info, round int, pytorch bool) schema.Findings {
	section := p.Config().Lookup("egress")
	inOrder := section != nil && section.Kind == schema.KindMap && p.Findings().Err() == nil
	if !inOrder {
		return nil
	}
	var out schema.Findings
	filters := section.Lookup("filters")
	if len(egressFilters(p, section)) > 0 { // Plan reports them
		return nil
	}
	python := !strings.HasPrefix(p.Draft().TaskRunner.Template, "fx.builtin.")
	extra := python && !strings.HasPrefix(p.Draft().TaskRunner.Template, "fx.")
	out = egressGlobs(section.Lookup("tensors"), "egress.tensors", model, extra)
	out = append(out, egressRanges(section.Lookup("tensor_ranges"), model, extra)...)
	eachFilter(p, section, func(path string, n *schema.Node, _ schema.EgressFilter) {
		out = append(out, egressGlobs(n.Lookup("tensors"), path+".tensors", model, extra)...)
	})
	forecast, err := egress.NewForecast(p.Draft(), model, round, false)
	if err == nil && pytorch { // its optimizer's state is nothing that limits count on
		_, err = egress.NewForecast(p.Draft(), model, round, true)
	}
	if err != nil { // noise that leaves a tensor out, or a model with impossible names
		if filters == nil {
			filters = section
		}
		out = append(out, filters.Finding("component", "egress.filters", strings.TrimSuffix(err.Error(), ": "+schema.ErrInvalid.Error())))
		return located(p, out)
	}
	out = append(out, egressTensors(section, forecast, python)...)
	out = append(out, egressPrivacy(p, section, forecast.Privacy)...)
	for _, limit := range []struct {
		key          string
		limit, needs int64
		what         string
	}{
		{"bytes_per_round", forecast.RoundLimit, forecast.RoundBytes, "one round"},
		{"bytes_per_run", forecast.RunLimit, forecast.RunBytes, fmt.Sprintf("%d rounds", forecast.Rounds)},
	} {
		if limit.limit == 0 || limit.limit >= limit.needs {
			continue
		}
		n := section.Lookup(limit.key)
		f := n.Finding("out-of-range", "egress."+limit.key, "the limit is below what "+limit.what+" of one site needs")
		f.Found, f.Allowed = n.Describe(), fmt.Sprintf("at least %d", limit.needs)
		out = append(out, f)
	}
	return located(p, out)
}

func located(p *schema.Plan, out schema.Findings) schema.Findings {
	for i := range out {
		out[i] = p.Locate(out[i])
	}
	out.Sort()
	return out
}

// egressPrivacy finds a limit on epsilon that the plan's rounds exceed: a site
// would stop before the last.
func egressPrivacy(p *schema.Plan, section *schema.Node, cost *egress.PrivacyForecast) schema.Findings {
	if cost == nil || cost.MaxEpsilon == 0 || cost.EpsilonRun <= cost.MaxEpsilon {
		return nil
	}
	var out schema.Findings
	eachFilter(p, section, func(path string, n *schema.Node, _ schema.EgressFilter) {
		limit := n.Lookup("max_epsilon")
		if limit == nil || len(out) > 0 {
			return
		}
		finding := limit.Finding("out-of-range", path+".max_epsilon", fmt.Sprintf("the limit is below what all rounds of one site cost; a site would stop after %d", cost.Rounds))
		finding.Found, finding.Allowed = limit.Describe(), fmt.Sprintf("at least %v at delta %v", math.Ceil(cost.EpsilonRun*1000)/1000, cost.Delta)
		finding.Hint = "raise noise_multiplier or max_epsilon, or train for fewer rounds"
		out = append(out, finding)
	})
	return out
}

// egressRanges finds globs of tensor_ranges without a tensor.
func egressRanges(ranges *schema.Node, model []tensor.Info, extra bool) schema.Findings {
	if ranges == nil || ranges.Kind != schema.KindMap {
		return nil
	}
	var out schema.Findings
	for _, pair := range ranges.Pairs {
		out = append(out, egressGlob(pair.Key, schema.Child("egress.tensor_ranges", pair.Key.KeyText()), model, extra)...)
	}
	return out
}

// egressGlobs finds globs without a tensor. extra says that the globs may also
// be about what OpenFL's PyTorch runner sends besides the model.
func egressGlobs(list *schema.Node, path string, model []tensor.Info, extra bool) schema.Findings {
	if list == nil {
		return nil
	}
	var out schema.Findings
	for i, n := range list.Items {
		out = append(out, egressGlob(n, schema.Index(path, i), model, extra)...)
	}
	return out
}

func egressGlob(n *schema.Node, path string, model []tensor.Info, extra bool) schema.Findings {
	glob := n.KeyText()
	names := make([]string, len(model))
	for i, info := range model {
		names[i] = info.Name
	}
	if strings.Trim(glob, "*") == "" || extra && egress.IsOptimizerState(glob) ||
		slices.ContainsFunc(names, func(name string) bool { return egress.Matches([]string{glob}, name) }) {
		return nil
	}
	f := n.Finding("unknown-tensor", path, "no tensor of the initial model has such a name")
	f.Found, f.Allowed, f.Hint = n.Describe(), some(names), schema.DidYouMean(glob, first(names, 1000))
	if len(names) == 0 {
		f.Allowed = "none: the model has no tensors"
	}
	return schema.Findings{f}
}

// egressTensors finds tensors that training sends and egress.tensors does not
// have. Of code that is not built in nobody knows what it sends: a warning.
func egressTensors(section *schema.Node, forecast *egress.Forecast, python bool) schema.Findings {
	var refused []string
	for _, t := range forecast.Tensors {
		if t.Fate == egress.FateRefused {
			refused = append(refused, t.Name)
		}
	}
	sends := slices.ContainsFunc(forecast.Tasks, func(t egress.TaskForecast) bool { return t.SendsTensors })
	if len(refused) == 0 || !sends {
		return nil
	}
	f := section.Key("tensors").Finding("egress-refused", "egress.tensors", "training sends tensors that no glob allows: a site would stop there")
	f.Found = some(refused)
	f.Hint = "add a glob, or leave the tensors out with filters: [{name: drop, tensors: […]}]"
	if python {
		f.Severity = schema.SeverityWarning
	}
	return schema.Findings{f}
}
