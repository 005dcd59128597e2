package journal

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fx/runtime/tensor"
)

// surveyed is a journal with a closed round, whose files are then changed.
func surveyed(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	j, err := Open(s, Federation{FederationID: "f", Participant: "agg"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(message(t)); err != nil {
		t.Fatal(err)
	}
	if err := j.Accept(d, 0, "train", "one"); err != nil {
		t.Fatal(err)
	}
	r, err := j.Result(0, "train", "one")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	c := Closing{Done: []string{"one"}, Stragglers: []string{"two"}, Results: []ResultEntry{{"train", "one", -1, r.SHA256}, {"train", "gone", -1, r.SHA256}}}
	sum, err := j.WriteClosing(c)
	if err != nil {
		t.Fatal(err)
	}
	model, err := j.WriteModel(1, emptyModel)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.WriteOutcome(Outcome{Closing: sum, Model: model, Metrics: []MetricEntry{}}); err != nil {
		t.Fatal(err)
	}
	if err := j.MarkQuit("one"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func survey(t testing.TB, dir string, digests bool) *Survey {
	t.Helper()
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	s, err := r.Survey(context.Background(), digests)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSurvey(t *testing.T) {
	s := survey(t, surveyed(t), true)
	if len(s.Damage) > 0 || len(s.Rounds) != 1 || !slices.Equal(s.Told, []string{"one"}) {
		t.Fatalf("survey %+v", s)
	}
	r := s.Rounds[0]
	if r.State != "closed" || r.Removed != 1 || len(r.Results) != 1 || r.ClosedAt == nil || r.Model == "" {
		t.Errorf("round %+v", r)
	}
	if f := r.Results[0]; f.Task != "train" || f.Collaborator != "one" || !f.Counts || f.Samples != -1 || f.Tensors != 1 {
		t.Errorf("result %+v", f)
	}
}

func TestSurveyOfDamage(t *testing.T) {
	for _, name := range []string{
		"federation.json", "rounds/000000/closing.json", "rounds/000000/outcome.json", "rounds/000000/results/_train/_one.pb", "models/000001.safetensors",
	} {
		for how, damage := range map[string]func([]byte) []byte{
			"cut off":     func(b []byte) []byte { return b[:len(b)-2] },
			"a bit":       func(b []byte) []byte { b[len(b)-3] ^= 1; return b },
			"other bytes": func(b []byte) []byte { return make([]byte, len(b)) },
		} {
			dir := surveyed(t)
			path := filepath.Join(dir, filepath.FromSlash(name))
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, damage(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			got := survey(t, dir, true).Damage
			if name == "federation.json" && how == "a bit" {
				continue // its text may be any
			}
			if !slices.ContainsFunc(got, func(d Damage) bool { return d.Name == name }) {
				t.Errorf("%s, %s: damage %v", name, how, got)
			}
		}
	}
	dir := surveyed(t)
	if err := os.Remove(filepath.Join(dir, "models/000001.safetensors")); err != nil {
		t.Fatal(err)
	}
	if got := survey(t, dir, false).Damage; len(got) != 1 || got[0].Name != "models/000001.safetensors" {
		t.Errorf("without the newest model: damage %v", got)
	}
}

// What OpenReadOnly opens does not change, and needs no lock.
func TestReadOnly(t *testing.T) {
	dir := surveyed(t)
	openDir(t, dir) // a participant at work
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if _, err := r.Draft(); err == nil {
		t.Error("a draft could be begun")
	}
	if err := r.Remove("federation.json"); err == nil {
		t.Error("an object could be removed")
	}
	if _, err := OpenReadOnly(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that does not exist could be opened")
	}
}

// FuzzSurvey puts anything in the place of records.
func FuzzSurvey(f *testing.F) {
	dir := surveyed(f)
	var seeds [][]byte
	for _, name := range []string{"rounds/000000/closing.json", "rounds/000000/outcome.json", "models/000001.safetensors"} {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	f.Add(seeds[0], seeds[1], seeds[2], message(f))
	f.Fuzz(func(t *testing.T, closing, outcome, model, result []byte) {
		dir := t.TempDir()
		for name, b := range map[string][]byte{
			"federation.json":            []byte(`{"format":"fx-journal/1","bundle":"","federation_id":"f","participant":"p"}`),
			"rounds/000000/closing.json": closing, "rounds/000000/outcome.json": outcome,
			"models/000001.safetensors": model, "rounds/000000/results/_train/_one.pb": result,
		} {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		survey(t, dir, true)
	})
}

// emptyModel is a safetensors file without a tensor.
func emptyModel(w io.Writer) error { return tensor.WriteSafetensors(w, nil, nil) }

// A result of an open round is compared with what was recorded when it came.
func TestSurveyOfAnOpenRound(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	j, err := Open(s, Federation{FederationID: "f", Participant: "agg"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "one.two", "old"} { // old was accepted before digests were recorded
		u, err := j.Upload()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(message(t)); err != nil {
			t.Fatal(err)
		}
		if name != "old" {
			err = j.MarkDigest(0, "train", name, u.SHA256())
		}
		if err := errors.Join(err, j.Accept(u, 0, "train", name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := survey(t, dir, true); len(got.Damage) > 0 || len(got.Files) > 0 || len(got.Rounds) != 1 || len(got.Rounds[0].Results) != 3 || got.Rounds[0].State != "open" {
		t.Fatalf("survey %+v", got)
	}
	for _, name := range []string{"one", "one.two", "old"} {
		file := filepath.Join(dir, filepath.FromSlash(ResultName(0, "train", name)))
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.Remove(file)
		}
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-1] ^= 1
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := j.Result(0, "train", name)
		if known := name != "old"; known != errors.Is(err, ErrDamaged) {
			t.Errorf("a changed value of %q is read with %v", name, err)
		}
		if err == nil {
			_ = r.Close()
		}
	}
	if got := survey(t, dir, true); len(got.Damage) != 2 || got.Damage[0].Name != ResultName(0, "train", "one") {
		t.Errorf("damage %+v", got.Damage)
	}
	if err := j.Forget(0); err != nil {
		t.Fatal(err)
	}
	if names, err := s.List("rounds"); err != nil || len(names) > 0 {
		t.Errorf("%q, %v are left of a forgotten round", names, err)
	}
}
