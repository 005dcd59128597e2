// Package check finds everything that is wrong with a plan before a federation
// does: it validates the merged plan against the JSON Schema, decodes it as the
// runtime does, and builds every component from the tables that the runtime
// uses, so that what validates is what runs. The runtime does not link it.
package check

import (
	"errors"
	"strings"

	"fx/schema"
)

// Roster is the list of collaborators that a plan is checked against.
type Roster struct {
	File  string         // where it is from; may be empty
	Names []*schema.Node // as schema.ReadCols returns them
}

// Plan returns every finding about a plan, sorted by position. roster may be
// nil: then nothing that depends on who takes part is checked.
func Plan(name string, data []byte, roster *Roster) schema.Findings {
	go loadSchema() // compiled while the plan is read, once in a process
	p, err := schema.ReadPlan(name, data)
	if err != nil {
		return asFindings(name, err)
	}
	found := againstSchema(p.Config())
	found = append(found, components(p)...)
	found = append(found, semantics(p, roster)...)
	for i := range found {
		found[i] = p.Locate(found[i])
	}
	all := merge(p.Findings(), found)
	all.Sort()
	return all
}

func asFindings(name string, err error) schema.Findings {
	if fs, ok := errors.AsType[schema.Findings](err); ok {
		return fs
	}
	return schema.Findings{{ID: "document", Severity: schema.SeverityError, File: name, Message: err.Error()}}
}

// merge adds to the findings of strict decoding those that say something about
// a place where it found nothing: the steps overlap on purpose, and a reader
// wants each mistake once.
func merge(first, more schema.Findings) schema.Findings {
	all := append(schema.Findings(nil), first...)
	at := map[place]schema.Findings{}
	note := func(f schema.Finding) {
		// That there is no runner for Python says nothing about the class itself.
		if f.Severity != schema.SeverityWarning && f.ID != "runner-unavailable" {
			p := placeOf(f)
			at[p] = append(at[p], f)
		}
	}
	for _, f := range all {
		note(f)
	}
	for _, f := range more {
		if f.ID == "component" && detailed(all, f.Path) || said(at[placeOf(f)], f) {
			continue
		}
		all = append(all, f)
		note(f)
	}
	return all
}

// place is what two findings about the same thing have in common.
type place struct {
	file, path   string
	line, column int
}

func placeOf(f schema.Finding) place { return place{f.File, f.Path, f.Line, f.Column} }

// said tells whether the findings at f's place make f superfluous. Several keys
// can be missing in one place.
func said(here schema.Findings, f schema.Finding) bool {
	for _, g := range here {
		if g.ID == f.ID && g.Message == f.Message || g.ID != "missing-key" && f.ID != "missing-key" {
			return true
		}
	}
	return false
}

// detailed tells whether something is said about the inside of a component
// already: what building it says in one sentence is then superfluous.
func detailed(all schema.Findings, path string) bool {
	for _, g := range all {
		inside := g.Path == path || strings.HasPrefix(g.Path, path+".") || strings.HasPrefix(g.Path, path+"[")
		if inside && g.Severity != schema.SeverityWarning && g.ID != "runner-unavailable" {
			return true
		}
	}
	return false
}
