package aggregator

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/runtime/transport"
)

// wallClock is one that somebody sets while the aggregator runs.
type wallClock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *wallClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *wallClock) set(off time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
}

// A clock that jumps neither closes a round nor keeps it open: cut-off times are
// durations. It is what certificates are judged by, from one request to the next.
func TestClockJumps(t *testing.T) {
	var wall wallClock
	said := &syncBuffer{}
	cut := &timers{}
	b := &testbed{t: t, dir: t.TempDir(), edit: cutoff(1), after: cut.afterFunc}
	b.server = func(o *transport.ServerOptions) {
		o.Now, o.Log = wall.now, slog.New(slog.NewTextHandler(said, nil))
		o.Verify = func(chain []*x509.Certificate, at time.Time) (identity.Identity, error) {
			_, err := chain[0].Verify(x509.VerifyOptions{Roots: b.pki.pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			return identity.Identity{Role: identity.Collaborator, Name: chain[0].Subject.CommonName}, err
		}
	}
	b.mustStart()
	open := func() {
		t.Helper()
		if got := b.tasks("one"); got.GetRoundNumber() != 0 {
			t.Fatalf("the round is %d, want 0: no time has passed", got.GetRoundNumber())
		}
		if cut.running() != 1 || len(cut.started) != 1 || cut.started[0] != time.Minute {
			t.Fatalf("%d of the times %v run, want the first, of a minute", cut.running(), cut.started)
		}
	}
	open()
	b.report("two", 0, traceTasks...)
	year := 365 * 24 * time.Hour
	for _, jump := range []struct {
		name  string
		by    time.Duration
		cause transport.Cause // "" is none
		says  string
	}{
		{"forward by more than the cut-off time", 30 * time.Minute, "", ""},
		{"backward", -30 * time.Minute, "", ""},
		{"forward past the certificates", 2 * time.Hour, transport.CauseExpired, "cause=expired"},
		{"backward before them", -2 * time.Hour, transport.CauseNotYetValid, "cause=not-yet-valid"},
		{"forward by years", 20 * year, transport.CauseClockSkew, "the clock is wrong"},
		{"backward by years", -20 * year, transport.CauseClockSkew, "the clock is wrong"},
	} {
		said.take()
		wall.set(jump.by)
		_, err := b.clients["one"].Tasks(t.Context())
		text := said.take()
		var cause transport.Cause
		if f, ok := errors.AsType[*transport.Failure](err); ok {
			cause = f.Cause
		}
		if cause != jump.cause || (err == nil) != (jump.cause == "") || !strings.Contains(text, jump.says) {
			t.Errorf("%s: %v, and the log %q; want cause %q and %q", jump.name, err, text, jump.cause, jump.says)
		}
		wall.set(0)
		open()
	}
	// The minute ends while the clock is wrong and nobody is let in.
	wall.set(2 * time.Hour)
	cut.strike()
	c, _, err := b.agg.o.Journal.Closing(0)
	if err != nil || !slices.Equal(c.Done, []string{"two"}) || !slices.Equal(c.Stragglers, []string{"one"}) {
		t.Errorf("round 0 was closed with %+v, %v; want two done and one a straggler", c, err)
	}
	wall.set(0)
	if got := b.tasks("two"); got.GetRoundNumber() != 1 {
		t.Errorf("the round is %d once the clock is right, want 1", got.GetRoundNumber())
	}
}
