package inspect

import (
	"fmt"
	"io"
	"strings"
)

// Text writes what differs for people: the numbers first, then findings, plan,
// dependencies, tensors, and the lines.
func (d *Diff) Text(w io.Writer) error {
	p := &printer{w: w}
	p.line("old       %s %s  %s", d.Old.Name, d.Old.Version, d.Old.BundleID)
	p.line("          %s", d.Old.Verdict)
	p.line("new       %s %s  %s", d.New.Name, d.New.Version, d.New.BundleID)
	p.line("          %s", d.New.Verdict)
	if d.Same() {
		p.line("")
		p.line("the files are the same")
		return p.err
	}
	d.summary(p)
	p.head("LINES")
	for _, f := range d.Files {
		p.file(f)
	}
	return p.err
}

// summary is WHAT CHANGED of the first page.
func (d *Diff) summary(p *printer) {
	p.head("WHAT CHANGED")
	p.line("since %s %s, %s", d.Old.Name, d.Old.Version, d.Old.BundleID)
	if d.Same() {
		p.line("nothing: the files are the same")
		return
	}
	p.line("%s", d.sentence())
	for _, f := range d.Files {
		p.line("%s", f.headline())
	}
	for _, f := range d.Findings.New {
		p.line("new finding    %s %s (%s@%s): %s", strings.ToUpper(string(f.Severity)), place(f), f.Rule, f.Fingerprint, f.Message)
	}
	for _, f := range d.Findings.Fixed {
		p.line("gone           %s %s (%s@%s): %s", strings.ToUpper(string(f.Severity)), place(f), f.Rule, f.Fingerprint, f.Message)
	}
	for _, c := range d.Plan {
		p.line("plan           %s: %s -> %s", c.What, orNothing(c.Old), orNothing(c.New))
	}
	for _, c := range d.Dependencies {
		p.line("dependency     %s: %s -> %s", c.What, orNothing(c.Old), orNothing(c.New))
	}
	for _, t := range d.Tensors {
		p.line("tensor         %s", t.sentence())
	}
	if d.TensorsError != "" {
		p.line("tensor         not compared: %s", d.TensorsError)
	}
}

func (d *Diff) sentence() string {
	added, removed := 0, 0
	for _, f := range d.Files {
		added, removed = added+f.Added, removed+f.Removed
	}
	return fmt.Sprintf("%d files, %d lines more and %d less; findings: %d new, %d gone, %d as before; plan: %d facts; tensors: %d",
		len(d.Files), added, removed, len(d.Findings.New), len(d.Findings.Fixed), d.Findings.Unchanged, len(d.Plan), len(d.Tensors))
}

func (f FileChange) headline() string {
	text := fmt.Sprintf("file           %s: %s", f.Path, strings.Join(f.Kinds, ", "))
	if f.OldPath != "" {
		text += " from " + f.OldPath
	}
	if f.OldMode != f.NewMode && f.OldMode != "" && f.NewMode != "" {
		text += fmt.Sprintf(", mode %s -> %s", f.OldMode, f.NewMode)
	}
	if f.Reason != "" {
		return text + fmt.Sprintf(", %s, %s", f.sizes(), f.Reason)
	}
	return text + fmt.Sprintf(", +%d -%d lines", f.Added, f.Removed)
}

// file prints a file's hunks as `diff -u` does.
func (p *printer) file(f FileChange) {
	if len(f.Hunks) == 0 {
		return
	}
	old, now := "a/"+f.Path, "b/"+f.Path
	if f.OldMode == "" {
		old = "/dev/null"
	}
	if f.NewMode == "" {
		now = "/dev/null"
	}
	p.line("--- %s", old)
	p.line("+++ %s", now)
	for _, h := range f.Hunks {
		p.line("%s", h.Header())
		for _, l := range h.Lines {
			p.line("%c%s", l.Kind, l.Text)
		}
	}
}

func (t TensorChange) sentence() string {
	switch t.Kind {
	case "added":
		return fmt.Sprintf("%s: added, %s %v", t.Name, t.NewType, t.NewShape)
	case "removed":
		return fmt.Sprintf("%s: removed, was %s %v", t.Name, t.OldType, t.OldShape)
	case "shape":
		return fmt.Sprintf("%s: %s %v -> %s %v", t.Name, t.OldType, t.OldShape, t.NewType, t.NewShape)
	}
	if t.Largest == nil {
		return fmt.Sprintf("%s: %d values changed, some are not finite", t.Name, t.Changed)
	}
	return fmt.Sprintf("%s: %d values changed, the largest change is %.3g", t.Name, t.Changed, *t.Largest)
}

func orNothing(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
