package egress

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrRefused is wrapped by every error about something that may not leave.
var ErrRefused = errors.New("refused to let it leave the site")

// Refusal is an attempt of a task to send what may not leave. Its text is for
// the site's operator, and has values; the ledger gets the rest.
type Refusal struct {
	Task string
	Kind string // KindTensor or KindMetric; "" where it is about a result as a whole
	Name string
	Rule string // what it breaks, without values
	text string
}

// Error is the attempt and the rule.
func (r *Refusal) Error() string { return r.text + ": " + ErrRefused.Error() }

// Unwrap makes it an ErrRefused.
func (r *Refusal) Unwrap() error { return ErrRefused }

// Bounds on what the ledger keeps of a refusal: it is hostile code's text.
const (
	maxRefusedName = 200
	maxRule        = 500
)

// Entry is the line of a ledger about a refusal. Nothing left.
func (r *Refusal) Entry(round int) Entry {
	return Entry{
		Round: round, Task: r.Task, Kind: KindRefused, Name: cut(r.Name, maxRefusedName), Shape: []int{},
		Reason: cut(r.Rule, maxRule),
	}
}

// cut shortens text to a number of bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// refuse makes a refusal. made is what the task tried, with values; rule says
// why not.
func refuse(task, kind, name, made, rule string) error {
	text := fmt.Sprintf("task %q", task)
	if kind != "" {
		text += fmt.Sprintf(" made the %s %.*q", kind, maxRefusedName, name)
	}
	return &Refusal{Task: task, Kind: kind, Name: name, Rule: rule, text: text + made + rule}
}
