package aggregator

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fx/bundle"
	"fx/runtime/journal"
	"fx/schema"
)

// half is a federation after its first round, and with the first result of its
// second: stopped, so that a disk can damage it.
func half(t *testing.T) *testbed {
	t.Helper()
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) {
		f.Plan.Tasks[1].Aggregation = schema.Component{Template: "fx.aggregation.FedAvgM"}
		f.Plan.Aggregator.DBStoreRounds = 1
	}}
	b.mustStart()
	b.sendRound(0)
	b.mustSend("one", traceResult("one", "train", 1, []float32{0, 1, 2, 3, 4, 5}))
	b.stop()
	return b
}

func (b *testbed) sendRound(round int32) {
	b.t.Helper()
	for _, name := range []string{"one", "two"} {
		for _, task := range traceTasks {
			b.mustSend(name, traceResult(name, task, round, []float32{0, 1, 2, 3, 4, 5}))
		}
	}
}

// What a disk has damaged is made anew or asked for again wherever that is
// possible, and the final model is what it would have been.
func TestDamageIsMended(t *testing.T) {
	calm := half(t)
	calm.restart()
	calm.sendRound(1)
	want := calm.agg.Report().FinalSHA256
	for name, file := range map[string]string{
		"the initial model":          "models/000000.safetensors",
		"the newest model":           "models/000001.safetensors",
		"the newest state":           "state/000001.safetensors",
		"a result of the open round": "rounds/000001/results/_train/_one.pb",
	} {
		for how, damage := range map[string]func([]byte) []byte{
			"cut off": func(b []byte) []byte { return b[:len(b)/2] },
			"empty":   func([]byte) []byte { return nil },
			"changed": func(b []byte) []byte { b[0] ^= 0x80; return b },
			"changed in a value": func(b []byte) []byte {
				r, err := journal.ScanResults(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				b[r.Tensors[0].DataOffset] ^= 1
				return b
			},
			"gone": nil,
		} {
			if how == "changed in a value" && name != "a result of the open round" {
				continue // of models each byte is compared anyway
			}
			if name != "the newest model" && (how == "empty" || how == "changed") {
				continue // one file for all ways, all files for those that differ most
			}
			t.Run(name+" "+how, func(t *testing.T) {
				b := half(t)
				path := filepath.Join(b.dir, "journal", filepath.FromSlash(file))
				text, err := os.ReadFile(path)
				if err == nil {
					err = os.Remove(path)
				}
				if err == nil && damage != nil {
					err = os.WriteFile(path, damage(text), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := b.start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { b.stop() })
				b.sendRound(1)
				if got := b.agg.Report().FinalSHA256; got != want {
					t.Errorf("the final model is %s, undamaged it is %s", got, want)
				}
			})
		}
	}
}

// What cannot be made anew ends the start with the name of the file.
func TestDamageThatStaysIsNamed(t *testing.T) {
	for _, file := range []string{"rounds/000000/closing.json", "rounds/000000/outcome.json", "federation.json"} {
		b := half(t)
		path := filepath.Join(b.dir, "journal", filepath.FromSlash(file))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte{' '}, len(text)/2), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.start(); !errors.Is(err, journal.ErrDamaged) || !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want an error that names it", file, err)
		}
	}
	b := half(t)
	model, result := "models/000001.safetensors", "rounds/000000/results/_train/_two.pb"
	for _, file := range []string{model, result} {
		if err := os.Truncate(filepath.Join(b.dir, "journal", filepath.FromSlash(file)), 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.start(); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), model) || !strings.Contains(err.Error(), result) {
		t.Errorf("%v, want an error that names %s and %s", err, model, result)
	}
}
