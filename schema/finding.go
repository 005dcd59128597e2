package schema

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// ErrInvalid is wrapped by every error about the content of a document. Both
// programs answer it with exit code 3.
var ErrInvalid = errors.New("invalid document")

// Severities of a Finding. An error makes the document invalid, a warning does
// not.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Finding is one thing that is wrong with a document, and where.
type Finding struct {
	ID       string `json:"id"`                // stable kebab-case name, for example "unknown-key"
	Severity string `json:"severity"`          // SeverityError or SeverityWarning
	File     string `json:"file"`              // as the caller named it
	Line     int    `json:"line"`              // from 1; 0 when the document as a whole is meant
	Column   int    `json:"column"`            // in characters, from 1
	Path     string `json:"path"`              // for example tasks.train.kwargs.metrics[0]
	Found    string `json:"found,omitempty"`   // what is there
	Allowed  string `json:"allowed,omitempty"` // what may be there
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"` // what to do
}

// String is the finding on one line: file:line:column: path: message (found …;
// allowed …; hint).
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	var notes []string
	if f.Found != "" {
		notes = append(notes, "found "+f.Found)
	}
	if f.Allowed != "" {
		notes = append(notes, "allowed "+f.Allowed)
	}
	if f.Hint != "" {
		notes = append(notes, f.Hint)
	}
	if len(notes) > 0 {
		b.WriteString(" (" + strings.Join(notes, "; ") + ")")
	}
	return b.String()
}

// Findings is every finding of one document, and an error: one line each.
type Findings []Finding

// Error lists the findings, one per line.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Is makes errors.Is(findings, ErrInvalid) true.
func (fs Findings) Is(target error) bool { return target == ErrInvalid }

// Sort orders the findings by file, position and path.
func (fs Findings) Sort() {
	sort.SliceStable(fs, func(i, j int) bool {
		a, b := fs[i], fs[j]
		switch {
		case a.File != b.File:
			return a.File < b.File
		case a.Line != b.Line:
			return a.Line < b.Line
		case a.Column != b.Column:
			return a.Column < b.Column
		default:
			return a.Path < b.Path
		}
	})
}

// Err is the findings of severity error as an error, or nil if there are none.
func (fs Findings) Err() error {
	var errs Findings
	for _, f := range fs {
		if f.Severity != SeverityWarning {
			errs = append(errs, f)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	errs.Sort()
	return errs
}
