package transport_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fx/runtime/transport"
)

func asFailure(err error, f **transport.Failure) bool { return errors.As(err, f) }

func fail(c transport.Cause) error {
	return &transport.Failure{Cause: c, Addr: "agg.example:5555", Detail: string(c)}
}

// Two outages with two causes: waits double while the cause stays, begin anew
// when it changes, and the log has one line per cause and one for the return.
func TestRetryWaitsAndLogsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []error{
			fail(transport.CauseRefused), fail(transport.CauseRefused), fail(transport.CauseRefused), fail(transport.CauseRefused), fail(transport.CauseRefused),
			fail(transport.CauseTimeout), fail(transport.CauseTimeout),
			nil,
		}
		var at []time.Duration
		var log bytes.Buffer
		began := time.Now()
		policy := transport.RetryPolicy{Interval: time.Second, Max: 5 * time.Second}
		err := transport.Retry(t.Context(), policy, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error {
			at = append(at, time.Since(began))
			return answers[len(at)-1]
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 1, 3, 7, 12, 17, 18, 20}
		for i := range want {
			if at[i] != want[i]*time.Second {
				t.Errorf("attempt %d after %v, want %v", i+1, at[i], want[i]*time.Second)
			}
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], " cause=refused") || !strings.Contains(lines[1], "cause=timeout") ||
			!strings.Contains(lines[2], "aggregator is back") || !strings.Contains(lines[2], "after=20s") {
			t.Errorf("log:\n%s", &log)
		}
	})
}

func TestRetryJitter(t *testing.T) {
	for _, tt := range []struct{ random, want float64 }{{0, 5}, {0.5, 10}, {0.75, 12.5}} {
		synctest.Test(t, func(t *testing.T) {
			began, attempts := time.Now(), 0
			policy := transport.RetryPolicy{Interval: 10 * time.Second, Jitter: 0.5, Random: func() float64 { return tt.random }}
			err := transport.Retry(t.Context(), policy, nil, func(context.Context) error {
				if attempts++; attempts == 1 {
					return fail(transport.CauseRefused)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began).Seconds(); got != tt.want {
				t.Errorf("random %v: waited %v s, want %v", tt.random, got, tt.want)
			}
		})
	}
}

func TestRetryEnds(t *testing.T) {
	other := errors.New("cannot read file")
	for name, err := range map[string]error{
		"final cause":   fail(transport.CauseRevoked),
		"another error": other,
	} {
		t.Run(name, func(t *testing.T) {
			attempts := 0
			got := transport.Retry(t.Context(), transport.RetryPolicy{Interval: time.Hour}, nil, func(context.Context) error {
				attempts++
				return err
			})
			if !errors.Is(got, err) || attempts != 1 {
				t.Errorf("got %v after %d attempts, want %v after one", got, attempts, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := transport.Retry(ctx, transport.RetryPolicy{Interval: time.Hour}, nil, func(context.Context) error {
			return fail(transport.CauseRefused)
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's end", err)
		}
	})
}

// An aggregator that takes a request and never answers is told of.
func TestRetryTellsOfASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		err := transport.Retry(t.Context(), transport.RetryPolicy{}, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error {
			time.Sleep(time.Hour) // on the clock of the bubble
			return nil
		})
		synctest.Wait()
		if err != nil || strings.Count(log.String(), "has not answered yet") != 1 {
			t.Errorf("%v, log:\n%s", err, &log)
		}
	})
}
