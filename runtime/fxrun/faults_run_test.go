package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/runtime/transport"
)

// soon is within what time a fault must be named.
const soon = 5 * time.Second

// causeOf is the cause in the JSON of a command that failed, "" if it has none.
func causeOf(t *testing.T, out []byte) transport.Cause {
	t.Helper()
	var doc struct {
		Error struct {
			Details struct{ Cause transport.Cause }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return doc.Error.Details.Cause
}

// TestFaults injects every fault of the table and looks at both sides.
func TestFaults(t *testing.T) {
	s := newStage(t)
	hub := s.on(t).server("localhost", s.ca.certificate(identity.Aggregator, "localhost", -hour, year))
	replace(t, filepath.Join(hub, identity.CRLFile), s.ca.revoke(1, hour))
	if err := os.Rename(hub, filepath.Join(s.dir, "hub")); err != nil {
		t.Fatal(err)
	}
	s.log = s.aggregator("127.0.0.2", "fed1.fxb", "hub")
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s := s.on(t)
			a := f.inject(t, s)
			fill := func(v *string, usual string) {
				if *v == "" {
					*v = usual
				}
			}
			fill(&a.bundle, "fed1.fxb")
			fill(&a.certs, "cert")
			fill(&a.name, "hospital-a")
			fill(&a.log, s.log)
			offset := len(read(t, a.log))
			expected := func(l line) bool { return l.Cause == string(f.aggregator) && strings.Contains(l.raw, f.who) }
			logged := func(n int) {
				t.Helper()
				until(t, soon, fmt.Sprintf("%d lines with the cause %q and %q in the aggregator's log", n, f.aggregator, f.who),
					func() bool { return count(t, a.log, offset, expected) >= n })
				if n := count(t, a.log, offset, func(l line) bool { return l.Cause != "" && !expected(l) }); n > 0 {
					t.Errorf("the aggregator's log names %d other causes:\n%s", n, read(t, a.log)[offset:])
				}
			}
			s.ping(f, a)
			want := 0
			if f.aggregator != "" && !a.pings {
				want++
			}
			logged(want)
			finish := s.collaborate(f, a)
			if f.aggregator != "" {
				want++
			}
			logged(want)
			finish()
		})
	}
}

// ping requires that one shot names the cause.
func (s *stage) ping(f fault, a attempt) {
	s.t.Helper()
	args := slices.Concat(a.inside, []string{s.fxrun, "ping", "--bundle", a.bundle, "--cert-dir", a.certs, "--name", a.name, "--timeout", "2s", "--json", "--log-format", "json"})
	began := time.Now()
	p := start(s.t, s.dir, filepath.Join(s.t.TempDir(), "log"), args...)
	got := p.wait(soon)
	took := time.Since(began).Round(time.Millisecond)
	if a.pings {
		if got != 0 {
			s.t.Errorf("ping: exit code %d, want 0: %s", got, read(s.t, p.log))
		}
		return
	}
	if cause := causeOf(s.t, p.out.Bytes()); got != f.code || cause != f.cause {
		s.t.Errorf("ping: exit code %d, cause %q; want %d, %q:\n%s", got, cause, f.code, f.cause, read(s.t, p.log))
	}
	if !strings.Contains(read(s.t, p.log), "fxrun: hint: ") {
		s.t.Errorf("ping gives no hint: %s", read(s.t, p.log))
	}
	s.t.Logf("ping: exit code %d, %s after %v", got, f.cause, took)
}

// collaborate requires that a running collaborator ends with the cause, or says
// it once and goes on until finish mends the fault and ends the collaborator.
func (s *stage) collaborate(f fault, a attempt) (finish func()) {
	s.t.Helper()
	if a.slow && os.Getenv("FX_LONG") == "" {
		s.t.Log("the running collaborator, which notices after 20 s, is left out without FX_LONG=1")
		return func() {}
	}
	state := s.t.TempDir()
	log := filepath.Join(state, "log")
	s.front.accepted.Store(0)
	args := slices.Concat(a.inside, []string{s.fxrun, "collaborator", "--bundle", a.bundle, "--cert-dir", a.certs, "--name", a.name,
		"--data", "ward/data/hospital-a", "--state", state, "--poll-interval", "50ms", "--json", "--log-format", "json"})
	p := start(s.t, s.dir, log, args...)
	if !f.waits {
		code := p.wait(soon)
		if cause := causeOf(s.t, p.out.Bytes()); code != f.code || cause != f.cause {
			s.t.Errorf("collaborator: exit code %d, cause %q; want %d, %q:\n%s", code, cause, f.code, f.cause, read(s.t, log))
		}
		return func() {}
	}
	within := soon
	if a.slow {
		within = 25 * time.Second
	}
	away := func(l line) bool { return strings.HasPrefix(l.Msg, "aggregator is away") }
	until(s.t, within, "a collaborator that says why it waits", func() bool { return count(s.t, log, 0, away) > 0 })
	until(s.t, within, "several attempts", func() bool { return int(s.front.accepted.Load()) >= max(a.attempt, 3) || a.attempt < 0 })
	for _, l := range lines(s.t, log, 0) {
		if away(l) && l.Cause != string(f.cause) {
			s.t.Errorf("collaborator: cause %q, want %q: %s", l.Cause, f.cause, l.raw)
		}
	}
	if n := count(s.t, log, 0, away); n != 1 {
		s.t.Errorf("the collaborator says %d times that the aggregator is away, want once:\n%s", n, read(s.t, log))
	}
	return func() {
		s.t.Helper()
		if a.mend != nil {
			a.mend()
			back := func(l line) bool { return l.Msg == "aggregator is back" }
			until(s.t, soon, "a collaborator that says that the aggregator is back", func() bool { return count(s.t, log, 0, back) > 0 })
		}
		p.stop(130)
	}
}

// The table of docs/operations.md says what is tested, row by row.
func TestFaultsAreDocumented(t *testing.T) {
	doc := read(t, "../../docs/operations.md")
	for _, f := range faults {
		does, log := "ends", "nothing"
		if f.waits {
			does = "waits"
		}
		if f.aggregator != "" {
			log = "`" + string(f.aggregator) + "`"
		}
		row := fmt.Sprintf("| %s | `%s` | %d | %s | %s |\n", f.name, f.cause, f.code, does, log)
		if !strings.Contains(doc, row) {
			t.Errorf("docs/operations.md has no row %s", row)
		}
	}
}
