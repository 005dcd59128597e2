package aggregator

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fx/bundle"
	"fx/ca/identity"
	"fx/runtime/assigner"
	"fx/schema"
)

// maxRoster bounds the roster file, as the bundle's own is bounded.
const maxRoster = 1 << 20

// roster is who may take part. The names of a round are fixed when it begins;
// whoever the file names is let in before that, and told to wait.
type roster struct {
	path    string   // "" is the bundle's list
	bundled []string // plan/cols.yaml

	mu      sync.Mutex
	read    stamp
	members map[string]bool
}

// stamp tells whether a file may have changed since it was read.
type stamp struct {
	size     int64
	modified time.Time
}

// names reads the list, sorted.
func (r *roster) names() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reread()
}

func (r *roster) reread() ([]string, error) {
	if r.path == "" {
		return checkRoster(bundle.RosterPath, r.bundled)
	}
	f, err := os.Open(r.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the roster: %v", err)
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the roster: %v", err)
	}
	r.read = stamp{info.Size(), info.ModTime()}
	text, err := io.ReadAll(io.LimitReader(f, maxRoster+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the roster: %v", err)
	}
	if len(text) > maxRoster {
		return nil, fmt.Errorf("the roster %q has more than %d bytes: %w", r.path, maxRoster, schema.ErrInvalid)
	}
	names, err := schema.ParseCols(r.path, text)
	if err != nil {
		return nil, err
	}
	return checkRoster(r.path, names)
}

func checkRoster(path string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("the roster %q names no collaborator: %w", path, schema.ErrInvalid)
	}
	for _, name := range names {
		if err := identity.CheckName(identity.Collaborator, name); err != nil {
			return nil, fmt.Errorf("the roster %q has the name %q, which no certificate carries: %w", path, name, err)
		}
	}
	return slices.Sorted(slices.Values(names)), nil
}

// begin lets in the names of a round that begins, and nobody else.
func (r *roster) begin(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = map[string]bool{}
	for _, name := range names {
		r.members[name] = true
	}
}

// member says whether somebody is let in. A name that is not known has the file
// looked at again, if it was written since.
func (r *roster) member(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[name] || r.path == "" {
		return r.members[name]
	}
	info, err := os.Stat(r.path)
	if err != nil || r.read == (stamp{info.Size(), info.ModTime()}) {
		return false
	}
	names, err := r.reread()
	if err != nil {
		return false // the next round says why
	}
	for _, name := range names {
		r.members[name] = true
	}
	return r.members[name]
}

// gather reads who takes part in the round that begins. A list that cannot be
// used is an error at the start; later the one of the last round stays in force.
// The caller holds mu, or is New.
func (a *Aggregator) gather() error {
	names, err := a.members.names()
	var assign assigner.Assigner
	if err == nil {
		assign, err = a.assign(names)
	}
	switch {
	case err != nil && a.assigner == nil:
		return err
	case err != nil:
		a.o.Log.Warn("the roster cannot be used, that of the last round stays", "round", a.round, "error", err.Error())
		a.members.begin(a.roster)
		return nil
	}
	if a.assigner != nil && !slices.Equal(a.roster, names) {
		a.o.Log.Info("the roster changes", "round", a.round, "joins", strings.Join(without(names, a.roster), ","), "leaves", strings.Join(without(a.roster, names), ","))
	}
	a.roster, a.assigner = names, assign
	a.members.begin(names)
	return nil
}

// without lists the names that others do not have.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// assign makes the assigner for a roster, and sees to it that every task's
// aggregation gets enough results.
func (a *Aggregator) assign(names []string) (assigner.Assigner, error) {
	assign, err := assigner.New(a.plan.Assigner, slices.Sorted(maps.Keys(a.tasks)), names, a.plan.FederationID)
	if err != nil {
		return nil, err
	}
	workers := map[string]int{}
	for _, tasks := range assign.Assign(a.round, names) {
		for _, task := range tasks {
			workers[task]++
		}
	}
	for _, t := range a.plan.Tasks {
		if n, least := workers[t.Name], a.algorithms[t.Name].Least(); n > 0 && n < least {
			return nil, fmt.Errorf("the aggregation of task %q needs the results of %d collaborators, the roster gives the task to %d: %w", t.Name, least, n, schema.ErrInvalid)
		}
	}
	return assign, nil
}
