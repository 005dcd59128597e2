package egress

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fx/schema"
)

// TestRefusalsAreRecorded without values, bounded and escaped: their names are
// hostile code's text.
func TestRefusalsAreRecorded(t *testing.T) {
	c := contract(t, schema.Egress{Metrics: []schema.Range{{Name: "loss", Min: 0, Max: 1}}})
	for name, tt := range map[string]struct {
		err          error
		entry        string
		message, not string
	}{
		"a value": {c.Metric("train", "loss", 123456), "loss", "123456", "123456"},
		"a name":  {c.Metric("train", "\x1b[2J"+strings.Repeat("x", 9000)+"SECRET", 1), "\x1b[2J", `\x1b[2J`, "SECRET"},
	} {
		r, ok := errors.AsType[*Refusal](tt.err)
		if !ok {
			t.Fatalf("%s: error %v", name, tt.err)
		}
		if text := r.Error(); !strings.Contains(text, tt.message) || strings.ContainsRune(text, 0x1b) || len(text) > 1000 {
			t.Errorf("%s: the message is %q", name, text)
		}
		path := filepath.Join(t.TempDir(), "egress.jsonl")
		l, err := open(t, path)
		if err == nil {
			err = l.Append([]Entry{r.Entry(4)})
		}
		written, err2 := os.ReadFile(path)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(written, 0x1b) || strings.Contains(string(written), tt.not) || len(written) > 2000 {
			t.Errorf("%s: the line is %q", name, written)
		}
		var got Entry
		s, err := ReadLedger(bytes.NewReader(written), func(e Entry, _ string) error { got = e; return nil })
		if err != nil || got.Kind != KindRefused || got.Round != 4 || !strings.HasPrefix(got.Name, tt.entry) || got.Reason == "" || s.Bytes != 0 {
			t.Errorf("%s: read as %+v, %+v, %v", name, got, s, err)
		}
	}
}

// TestTheAccountIsInTheLedger: results with noise add up over restarts, one that
// is sent again is not paid for again, and metrics cost nothing.
func TestTheAccountIsInTheLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "egress.jsonl")
	c := contract(t, schema.Egress{Filters: []schema.EgressFilter{
		settings("clip", "norm", 1.0), settings("noise", "noise_multiplier", 2.0, "delta", 1e-6, "max_epsilon", Epsilon(math.Sqrt2, 1e-6)),
	}})
	steps := []struct {
		name    string
		entries []Entry
		paid    float64 // mu; -1: refused, -2: no line
		total   float64
	}{
		{"metrics alone", []Entry{{Task: "train", Kind: KindMetric, Name: "loss"}}, -2, 0},
		{"a result", []Entry{line(0, "w", 16, "a")}, 1, 1},
		{"the same again", []Entry{line(0, "w", 16, "a")}, 0, 1},
		{"another that came out alike", []Entry{line(1, "w", 16, "a")}, 1, math.Sqrt2},
		{"one too many", []Entry{line(2, "w", 16, "c")}, -1, math.Sqrt2},
		{"the first once more", []Entry{line(0, "w", 16, "a")}, 0, math.Sqrt2},
	}
	for _, step := range steps {
		l, err := open(t, path) // each step is a new process
		if err != nil {
			t.Fatal(err)
		}
		cost, noised, err := c.Release(l, "train", step.entries[0].Round, step.entries)
		switch {
		case step.paid == -2 && (noised || err != nil), step.paid == -1 && !errors.Is(err, ErrRefused), step.paid >= 0 && (!noised || err != nil):
			t.Errorf("%s: %+v, %v, %v", step.name, cost, noised, err)
		case step.paid >= 0:
			if p := cost.Privacy; p.Mu != step.paid || math.Abs(p.TotalMu-step.total) > 1e-12 || p.Delta != 1e-6 || math.Abs(p.Epsilon-Epsilon(step.total, 1e-6)) > 1e-9 {
				t.Errorf("%s: %+v, want mu %v of %v", step.name, p, step.paid, step.total)
			}
			if err := l.Append(append(step.entries, cost)); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.Privacy().TotalMu; math.Abs(got-step.total) > 1e-12 {
			t.Errorf("%s: the account has mu %v, want %v", step.name, got, step.total)
		}
	}
}

// TestReadLedger reads what is being written: the last line may be unfinished,
// none before may be.
func TestReadLedger(t *testing.T) {
	whole, err := os.ReadFile(ledger(t))
	if err != nil {
		t.Fatal(err)
	}
	var heads []string
	s, err := ReadLedger(bytes.NewReader(whole), func(_ Entry, hash string) error { heads = append(heads, hash); return nil })
	if err != nil || s.Entries != 3 || s.Head != heads[2] || s.Unfinished != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if s, err := ReadLedger(bytes.NewReader(whole[:len(whole)-3]), nil); err != nil || s.Entries != 2 || s.Head != heads[1] || s.Unfinished == 0 {
		t.Errorf("cut: %+v, %v; want two lines with their head and an unfinished one", s, err)
	}
	if _, err := ReadLedger(bytes.NewReader(bytes.Replace(whole, []byte(`"name":"b"`), []byte(`"name":"x"`), 1)), nil); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "line 3 does not follow") {
		t.Errorf("changed: error %v", err)
	}
	long := append(bytes.Repeat([]byte("x"), maxLine+1), '\n')
	if _, err := ReadLedger(bytes.NewReader(long), nil); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("a long line: error %v", err)
	}
	stop := errors.New("enough")
	if _, err := ReadLedger(bytes.NewReader(whole), func(Entry, string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the caller's", err)
	}
	if s, err := ReadLedger(strings.NewReader(""), nil); err != nil || s.Entries != 0 || s.Head != "" || s.Rounds == nil {
		t.Errorf("empty: %+v, %v", s, err)
	}
}

// FuzzReadLedger: no text breaks the reader, and a change of any byte of a whole
// ledger's lines but the last shows.
func FuzzReadLedger(f *testing.F) {
	f.Add([]byte(`{"sequence":1,"previous":"","time":"1970-01-01T00:00:00Z","round":0,"task":"","kind":"privacy","name":"","shape":null,"bytes":0,"norm":0,"value":0,"privacy":{"mu":-1e999}}` + "\n"))
	f.Add([]byte(`{"sequence":1,"previous":"","time":"1970-01-01T00:00:00Z","round":0,"task":"t","kind":"tensor","name":"w","shape":[1],"bytes":9223372036854775807,"norm":0,"value":0}` + "\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := 0
		s, err := ReadLedger(bytes.NewReader(text), func(Entry, string) error { lines++; return nil })
		if err == nil && int(s.Entries) != lines {
			t.Errorf("%d entries, %d lines", s.Entries, lines)
		}
	})
}
