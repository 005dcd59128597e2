package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fx/bundle/inspect/finding"
	"fx/cli/ui"
)

// findings prints the most urgent first, at most so many, and the numbers of the
// rest by rule.
func (p *printer) findings(list []finding.Finding, most int) {
	n := finding.Count(list)
	p.head("FINDINGS")
	p.line("%d high, %d medium, %d low, %d facts", n[finding.High], n[finding.Medium], n[finding.Low], n[finding.Info])
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b finding.Finding) int { return a.Severity.Rank() - b.Severity.Rank() })
	for _, f := range list[:min(most, len(list))] {
		p.line("%s  %s (%s@%s)", strings.ToUpper(string(f.Severity)), place(f), f.Rule, f.Fingerprint)
		p.line("  %s", f.Message)
		if f.Code != "" {
			p.line("  | %s", f.Code)
		}
	}
	if most >= len(list) {
		return
	}
	rest := map[string]int{}
	for _, f := range list[most:] {
		rest[f.Rule]++
	}
	var words []string
	for _, rule := range slices.Sorted(maps.Keys(rest)) {
		words = append(words, fmt.Sprintf("%d of %s", rest[rule], rule))
	}
	p.line("and %s: fxctl bundle inspect shows them all", strings.Join(words, ", "))
}

func place(f finding.Finding) string {
	switch {
	case f.Path == "":
		return "the bundle"
	case f.Line == 0:
		return f.Path
	}
	return fmt.Sprintf("%s:%d", f.Path, f.Line)
}

func (p *printer) coverage(c Coverage) {
	p.head("COVERAGE")
	p.line("%s; %s", c.sentence(), c.kinds())
	for _, n := range c.NotAnalysed {
		p.line("not analysed: %s (%s): %s", n.Path, ui.Bytes(n.Bytes), n.Reason)
	}
	p.line("an analysis finds what it knows; that it finds nothing is no proof that there is nothing")
}

func (c Coverage) sentence() string {
	return fmt.Sprintf("%d of %d files were analysed by content, and %d members inside them", c.Analysed, c.Files, c.Members)
}

func (c Coverage) kinds() string {
	var words []string
	for _, t := range slices.Sorted(maps.Keys(c.Types)) {
		words = append(words, fmt.Sprintf("%d %s", c.Types[t], t))
	}
	return strings.Join(words, ", ")
}

func (p *printer) dependencies(list []Dependency) {
	if len(list) == 0 {
		return
	}
	p.head("DEPENDENCIES")
	rows := make([][]string, len(list))
	for i, d := range list {
		rows[i] = []string{d.Name, d.Version, d.state(), fmt.Sprintf("%s:%d", d.File, d.Line)}
	}
	p.table([]string{"PACKAGE", "VERSION", "STATE", "AT"}, rows)
}

func (d Dependency) state() string {
	switch {
	case d.From != "":
		return "from " + d.From
	case d.Pinned && d.Hashed:
		return "pinned, hashed"
	case d.Pinned:
		return "pinned"
	}
	return "open"
}

// details prints what is known of files that are not text.
func (p *printer) details(files []File) {
	for _, f := range files {
		if len(f.Details) == 0 {
			continue
		}
		p.line("")
		p.line("%s: %s, entropy %.2f of 8", f.Path, f.Type, f.Entropy)
		for _, d := range f.Details {
			p.line("  %s", d)
		}
	}
}
