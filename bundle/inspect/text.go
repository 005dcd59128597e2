package inspect

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"fx/bundle/approval"
	"fx/cli/ui"
)

// Text writes the report for people: the verdict first, then what runs, what
// leaves, to where, who signed, notes and the inventory. Whatever comes from the
// bundle is cleaned of control and direction characters.
func (r *Report) Text(w io.Writer) error {
	p := &printer{w: w}
	r.firstPage(p)
	p.findings(r.Findings, len(r.Findings))
	p.coverage(r.Coverage)
	p.dependencies(r.Dependencies)
	p.head("FILES")
	rows := make([][]string, len(r.Files))
	for i, f := range r.Files {
		rows[i] = []string{f.Mode, fmt.Sprint(f.Size), f.Type, f.SHA256, f.Path}
	}
	p.table([]string{"MODE", "SIZE", "TYPE", "SHA-256", "PATH"}, rows)
	p.details(r.Files)
	return p.err
}

// Summary writes the first page: what runs, what leaves, to where, how often, who
// signed, what changed, and the findings that cannot wait.
func (r *Report) Summary(w io.Writer) error {
	p := &printer{w: w}
	r.firstPage(p)
	p.findings(r.Findings, summaryFindings)
	p.coverage(r.Coverage)
	return p.err
}

// summaryFindings is how many findings the first page has room for.
const summaryFindings = 20

func (r *Report) firstPage(p *printer) {
	p.line("%s", Verdict(r.Decision))
	p.line("")
	p.line("bundle    %s %s", r.Name, r.Version)
	p.line("id        %s", r.BundleID)
	p.line("tree      %s", r.TreeSHA256)
	p.line("size      %s in the file, %s in %d files", ui.Bytes(r.FileBytes), ui.Bytes(r.ContentBytes), len(r.Files))
	p.line("report    %s", r.FactsSHA256)
	if r.Plan != nil {
		p.plan(r.Plan)
	} else {
		p.head("PLAN")
		p.line("cannot be used: %s", r.PlanError)
	}
	p.signatures(r.Decision)
	p.head("NOTES")
	for _, n := range r.Notes {
		if n.Path != "" {
			p.line("%s: %s (%s)", n.Path, n.Message, n.Rule)
		} else {
			p.line("%s (%s)", n.Message, n.Rule)
		}
	}
	if len(r.Notes) == 0 {
		p.line("none from names, modes and plan")
	}
	if r.Changes != nil {
		r.Changes.summary(p)
	}
}

// Verdict says in one line whether the bundle may run here now.
func Verdict(d *approval.Decision) string {
	if d.Approved {
		return fmt.Sprintf("APPROVED under the %s policy by %s", d.Policy, names(d.Counted(approval.ReviewType)))
	}
	var why []string
	for _, rule := range d.Rules {
		if !rule.Holds {
			why = append(why, rule.Reason)
		}
	}
	return fmt.Sprintf("NOT APPROVED under the %s policy: %s", d.Policy, strings.Join(why, "; "))
}

// names lists each signer once, however often they signed.
func names(list []approval.Signature) string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s.Name) {
			out = append(out, s.Name)
		}
	}
	return strings.Join(out, ", ")
}

// printer writes lines until one cannot be written.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, a ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, oneLine(fmt.Sprintf(format, a...)))
	}
}

func (p *printer) head(title string) {
	p.line("")
	p.line("%s", title)
}

func (p *printer) table(header []string, rows [][]string) {
	if p.err == nil {
		p.err = ui.Table(p.w, header, rows)
	}
}

// oneLine keeps a value from the bundle from forging a line of the report.
func oneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(ui.Clean(s))
}

func (p *printer) plan(f *Plan) {
	p.head("WHAT RUNS")
	p.line("%s", whatRuns[f.Kind])
	p.line("task runner  %s", f.TaskRunner)
	if len(f.Command) > 0 {
		p.line("command      %q", f.Command)
	}
	p.line("data loader  %s", f.DataLoader)
	p.line("rounds       %d, assigned by %s, closed by %s", f.Rounds, short(f.Assigner), short(f.Straggler))
	p.line("federation   %s (plan hash %s)", f.FederationID, f.Hash)
	p.box(f)
	rows := make([][]string, len(f.Tasks))
	for i, t := range f.Tasks {
		rows[i] = []string{t.Name, t.Function, t.Apply, t.Aggregation, orNone(t.Metrics), t.where()}
	}
	p.table([]string{"TASK", "FUNCTION", "MODEL", "AGGREGATION", "METRICS", "AT"}, rows)

	p.leaves(f)

	p.head("TO WHERE")
	connection := "a new connection for every request"
	if !f.NewConnection {
		connection = "one lasting connection"
	}
	p.line("%s, %s, opened by the site", f.Address, connection)
	p.line("collaborators: %s", orNone(f.Collaborators))
	p.head("HOW OFTEN")
	p.line("%s", f.howOften())
}

// whatRuns says in a sentence what runs at a site, by kind of task runner.
var whatRuns = map[string]string{
	kindBuiltin: "built into fx: no code of this bundle runs",
	kindPython:  "Python code of this bundle (src/), in a box without network, keys and environment",
	kindProcess: "a program that this bundle names, in a box without network, keys and environment",
	kindWasm:    "a WebAssembly module of this bundle, in a box without network, keys, environment and the host's programs",
}

// box says what code of the bundle asks of the box that it runs in.
func (p *printer) box(f *Plan) {
	if !f.BundledCode {
		return
	}
	var asks []string
	add := func(asked bool, format string, a ...any) {
		if asked {
			asks = append(asks, fmt.Sprintf(format, a...))
		}
	}
	b := f.Box
	add(b.Level != "", "at least level %s", b.Level)
	add(b.Cgroup, "a cgroup")
	add(b.Memory > 0, "%s of memory", ui.Bytes(b.Memory))
	add(b.Scratch > 0, "%s of scratch", ui.Bytes(b.Scratch))
	add(b.Processes > 0, "%d processes", b.Processes)
	add(b.OpenFiles > 0, "%d open files", b.OpenFiles)
	add(b.CPUs > 0, "%v processors", b.CPUs)
	add(b.TaskTimeout > 0, "%v s for a task", b.TaskTimeout)
	add(len(b.Env) > 0, "environment %q", b.Env)
	add(len(b.Devices) > 0, "DEVICES %q, which make the box weaker", b.Devices)
	p.line("of the box   %s", orNone(asks))
}

// leaves says what the egress contract of a site will be.
func (p *printer) leaves(f *Plan) {
	e := f.Egress
	p.head("WHAT LEAVES")
	p.line("each task may send the metrics and the tensors marked sent, with the names and shapes of %s, as %s;", f.Model, short(f.Pipeline))
	p.line("anything else is refused. From one site, by the plan: %s a round, %s in %d rounds;", ui.Bytes(e.RoundBytes), ui.Bytes(e.RunBytes), e.Rounds)
	p.line("every task once a round: at most %s a round, %s in %d rounds", ui.Bytes(e.MaxRoundBytes), ui.Bytes(e.MaxRunBytes), e.Rounds)
	p.line("limits       %s a round, %s in all rounds", limit(e.RoundLimit), limit(e.RunLimit))
	for _, filter := range e.Filters {
		p.line("filter       %s", filter)
	}
	if e.Privacy != nil {
		p.line("privacy      epsilon %.3g at delta %v in %d rounds, of the tensors alone", e.Privacy.EpsilonRun, e.Privacy.Delta, e.Rounds)
	}
	var rows [][]string
	for _, t := range e.Tasks {
		for _, m := range t.Metrics {
			rows = append(rows, []string{m.Name, t.Name, m.Range(), m.Fate})
		}
	}
	p.rows([]string{"METRIC", "TASK", "RANGE", "FATE"}, rows)
	rows = nil
	for _, t := range e.Tensors {
		rows = append(rows, []string{t.Name, t.DType, fmt.Sprint(t.Shape), fmt.Sprint(t.Bytes), t.Range(), t.Fate})
	}
	p.rows([]string{"TENSOR", "TYPE", "SHAPE", "BYTES", "RANGE", "FATE"}, rows)
	if len(e.Optimizer) > 0 {
		p.line("OpenFL's PyTorch runner can also send the optimizer's state; what it is depends on the code:")
		rows = nil
		for _, s := range e.Optimizer {
			rows = append(rows, []string{s.Optimizer, fmt.Sprintf("%d times the model", s.Multiple), orNone(s.Patterns), s.Fate})
		}
		p.table([]string{"OPTIMIZER", "SIZE", "TENSORS", "FATE"}, rows)
	}
}

// rows is a table that says so when it is empty.
func (p *printer) rows(header []string, rows [][]string) {
	if len(rows) == 0 {
		rows = [][]string{{"none"}}
	}
	p.table(header, rows)
}

func limit(bytes int64) string {
	if bytes == 0 {
		return "none"
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func (p *printer) signatures(d *approval.Decision) {
	p.head("WHO SIGNED")
	if len(d.Signatures) == 0 {
		p.line("nobody")
	}
	for _, s := range d.Signatures {
		status := "counts"
		if !s.Counts {
			status = "does not count: " + s.Reason
		}
		p.line("%s; %s", Says(s), status)
		if s.ValidUntil != "" {
			p.line("  valid from %s until %s", s.ValidFrom, s.ValidUntil)
		}
		if s.Comment != "" {
			p.line("  comment: %s", s.Comment)
		}
	}
}

// Says is who says what when in a signature; it may still not count.
func Says(s approval.Signature) string {
	what := s.Decision
	switch {
	case s.Predicate == approval.ReleaseType:
		what = "RELEASED"
	case what == "":
		what = s.Predicate
	}
	return fmt.Sprintf("%s %s: %s on %s", orUnknown(s.Role), orUnknown(s.Name), what, orUnknown(s.SignedAt))
}

// short is the last part of a template's name.
func short(template string) string { return template[strings.LastIndexByte(template, '.')+1:] }

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
