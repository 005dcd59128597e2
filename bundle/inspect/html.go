package inspect

import (
	_ "embed" // the page's template
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"fx/bundle/inspect/finding"
	"fx/cli/ui"
)

//go:embed report.html
var page string

// HTML writes the report as one page that loads nothing from anywhere: no script,
// no picture, no font. The page forbids them itself, so that not even a mistake
// of ours would load one.
func (r *Report) HTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"clean": func(v any) string { return finding.Clean(fmt.Sprint(v)) },
		"bytes": ui.Bytes, "says": Says, "none": orNone, "nothing": orNothing, "limit": limit, "place": place,
		"upper": func(s finding.Severity) string { return strings.ToUpper(string(s)) },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("cannot write the report: %v", err)
	}
	list := slices.Clone(r.Findings)
	slices.SortStableFunc(list, func(a, b finding.Finding) int { return a.Severity.Rank() - b.Severity.Rank() })
	urgent := list
	for i, f := range list {
		if f.Severity.Rank() > finding.High.Rank() {
			urgent = list[:i]
			break
		}
	}
	rules := []finding.Rule{}
	for _, rule := range finding.Rules() {
		if slices.ContainsFunc(list, func(f finding.Finding) bool { return f.Rule == rule.ID }) {
			rules = append(rules, rule)
		}
	}
	data := struct {
		*Report
		Verdict  string
		Runs     string
		Often    string
		All      []finding.Finding
		Urgent   []finding.Finding
		Rules    []finding.Rule
		Sentence string
		Kinds    string
		Total    map[string]int // findings by severity
	}{Report: r, Verdict: finding.Clean(Verdict(r.Decision)), All: list, Urgent: urgent[:min(len(urgent), 12)], Rules: rules,
		Sentence: r.Coverage.sentence(), Kinds: r.Coverage.kinds(), Total: map[string]int{}}
	for severity, n := range r.Counts {
		data.Total[string(severity)] = n
	}
	if r.Plan != nil {
		data.Runs, data.Often = whatRuns[r.Plan.Kind], r.Plan.howOften()
	}
	if err := t.Execute(w, data); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// Summary is one sentence about what differs.
func (d *Diff) Summary() string { return d.sentence() }

// Headline is one line about what became of a file.
func (f FileChange) Headline() string {
	return strings.TrimSpace(strings.TrimPrefix(f.headline(), "file"))
}

// Sentence is one line about what became of a tensor.
func (t TensorChange) Sentence() string { return t.sentence() }

// Where is the file and line of a task's function, "-" if it is not in the bundle.
func (t Task) Where() string { return t.where() }

// State says how a dependency's version and content are fixed.
func (d Dependency) State() string { return d.state() }
