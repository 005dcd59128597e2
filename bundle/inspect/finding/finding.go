// Package finding is what an analysis tells a reviewer: a rule, a place, the
// line of code, and one sentence. The table of rules is in rules.go.
package finding

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"fx/cli/ui"
)

// Severity says how soon a finding deserves a look.
type Severity string

// The severities, the most urgent first.
const (
	High   Severity = "high"   // does what task code has no business doing, or hides what it does
	Medium Severity = "medium" // can do harm, and often does not
	Low    Severity = "low"    // worth knowing while reading the code
	Info   Severity = "info"   // a fact
)

// Severities lists all, the most urgent first.
func Severities() []Severity { return []Severity{High, Medium, Low, Info} }

// Rank orders severities: 0 is the most urgent.
func (s Severity) Rank() int { return slices.Index(Severities(), s) }

// Finding is one thing that a reviewer should look at. All text in it is cleaned
// of control and direction characters, whatever the file held.
type Finding struct {
	Rule        string   `json:"rule"`
	Severity    Severity `json:"severity"`
	Path        string   `json:"path,omitempty"` // members of archives follow a "!"
	Line        int      `json:"line,omitempty"` // from 1; 0 is the whole file
	Code        string   `json:"code,omitempty"` // the line, shortened
	Message     string   `json:"message"`
	Fingerprint string   `json:"fingerprint"` // the same wherever in the file the line stands
}

const maxCode = 160 // runes of a line that are shown

// New makes a finding of a rule of the table; detail says what was found and may
// be empty. It panics if there is no such rule, which is a bug of ours.
func New(rule, path string, line int, code, detail string) Finding {
	r, ok := Lookup(rule)
	if !ok {
		panic("no such rule: " + rule)
	}
	message := r.Means
	if detail != "" {
		message = Clean(detail) + ": " + message
	}
	return Finding{Rule: rule, Severity: r.Severity, Path: Clean(path), Line: line, Code: Line(code), Message: message}
}

// Seal sorts findings by path, line and rule, drops repetitions on one line, and
// gives each its fingerprint: a digest of rule, path, the line without its outer
// space, and which of several equal lines it is.
func Seal(list []Finding) []Finding {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	out := make([]Finding, 0, len(list))
	seen := map[string]int{}
	for i, f := range list {
		if i > 0 {
			if l := list[i-1]; l.Rule == f.Rule && l.Path == f.Path && l.Line == f.Line && (f.Line > 0 || l.Message == f.Message) {
				continue
			}
		}
		key := f.Rule + "\x00" + f.Path + "\x00" + strings.TrimSpace(f.Code)
		if f.Line == 0 {
			key += "\x00" + f.Message
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", key, seen[key]))
		seen[key]++
		f.Fingerprint = hex.EncodeToString(sum[:8])
		out = append(out, f)
	}
	return out
}

// Clean escapes control and direction characters and keeps text on one line.
func Clean(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", "    ").Replace(ui.Clean(strings.ToValidUTF8(s, `\ufffd`)))
}

// Line is a line of a file as a report shows it: cleaned, with long runs of
// spaces, which push code off the screen, spelt out, and shortened.
func Line(s string) string {
	if len(s) > 8*maxCode { // before the costly part
		s = s[:8*maxCode]
	}
	s = Clean(strings.Trim(s, "\r\n"))
	lead := len(s) - len(strings.TrimLeft(s, " "))
	var b strings.Builder
	b.WriteString(s[:min(lead, 24)])
	for rest := s[lead:]; rest != ""; {
		i := strings.Index(rest, strings.Repeat(" ", 20))
		if i < 0 {
			b.WriteString(rest)
			break
		}
		tail := strings.TrimLeft(rest[i:], " ")
		fmt.Fprintf(&b, "%s [%d spaces] ", rest[:i], len(rest)-i-len(tail))
		rest = tail
	}
	s = b.String()
	if utf8.RuneCountInString(s) > maxCode {
		s = string([]rune(s)[:maxCode]) + "…"
	}
	return s
}

// Count is how many findings there are of each severity.
func Count(list []Finding) map[Severity]int {
	n := map[Severity]int{High: 0, Medium: 0, Low: 0, Info: 0}
	for _, f := range list {
		n[f.Severity]++
	}
	return n
}
