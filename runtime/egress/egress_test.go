package egress

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fx/runtime/tensor"
	"fx/schema"
)

var (
	tasks = []schema.Task{{Name: "train", Kwargs: map[string]any{"metrics": []any{"loss"}}}, {Name: "validate"}}
	model = []tensor.Info{{Name: "w", DType: tensor.F32, Shape: []int{2, 2}}}
)

func TestTensors(t *testing.T) {
	nan := float32(math.NaN())
	tests := map[string]struct {
		info   tensor.Info
		values []float32
		want   string // "" is allowed
	}{
		"as in the model":    {tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2, 2}}, []float32{1, 2, 2, 4}, ""},
		"another name":       {tensor.Info{Name: "patients", DType: tensor.F32, Shape: []int{2, 2}}, []float32{1, 2, 3, 4}, `"patients", which the approved model does not have`},
		"another shape":      {tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{4}}, []float32{1, 2, 3, 4}, "as F32 [4], the approved model has F32 [2 2]"},
		"another dtype":      {tensor.Info{Name: "w", DType: "F64", Shape: []int{2, 2}}, []float32{1, 2, 3, 4}, "as F64"},
		"no number":          {tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2, 2}}, []float32{1, nan, 3, 4}, "the value NaN at element 1"},
		"too few values":     {tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2, 2}}, []float32{1}, "with 1 values instead of 4"},
		"more than declared": {tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2, 2}}, []float32{1, 2, 3, 4, 5}, "with 5 values instead of 4"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			seen, err := contract(t, schema.Egress{}).Tensor("train", tt.info, bytes.NewReader(tensor.AppendFloat32s(nil, tt.values)))
			if tt.want == "" {
				if err != nil || seen.Norm != 5 || len(seen.SHA256) != 64 {
					t.Errorf("seen %+v, %v; want norm 5 and a digest", seen, err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want a refusal that says %q", err, tt.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	c := contract(t, schema.Egress{})
	if err := c.Metric("train", "loss", 0.5); err != nil {
		t.Errorf("a listed metric: %v", err)
	}
	for name, err := range map[string]error{
		"not listed":       c.Metric("train", "age", 71),
		"of another task":  c.Metric("validate", "loss", 1),
		"not a number":     c.Metric("train", "loss", math.NaN()),
		"no float32":       c.Metric("train", "loss", 1e300), // it would leave as +Inf
		"of no known task": c.Metric("leak", "loss", 1),
	} {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: error %v, want a refusal", name, err)
		}
	}
}

func open(t *testing.T, path string) (*Ledger, error) {
	t.Helper()
	l, err := OpenLedger(path, func() time.Time { return time.Unix(0, 0) })
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, err
}

func ledger(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "egress.jsonl")
	l, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := l.Append([]Entry{{Task: "train", Kind: "metric", Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestLedgerCarriesOn(t *testing.T) {
	path := ledger(t)
	l, err := open(t, path)
	if err != nil || l.Entries() != 3 {
		t.Fatalf("%v, want 3 entries", err)
	}
	if err := l.Append([]Entry{{Name: "d"}, {Name: "e"}}); err != nil {
		t.Fatal(err)
	}
	if l, err := open(t, path); err != nil || l.Entries() != 5 {
		t.Errorf("%v, want 5 entries", err)
	}
}

func TestLedgerDropsATornLine(t *testing.T) {
	path := ledger(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	torn := slices.Concat(lines[0], lines[1], bytes.Repeat([]byte("x"), 5000))
	for name, content := range map[string][]byte{"cut": whole[:len(whole)-7], "long": torn} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := open(t, path)
		if err != nil || l.Entries() != 2 {
			t.Fatalf("%s: %v, want the 2 whole entries", name, err)
		}
		if err := l.Append([]Entry{{Name: "d"}}); err != nil {
			t.Fatal(err)
		}
		if l, err := open(t, path); err != nil || l.Entries() != 3 {
			t.Errorf("%s: %v, want 3 entries: nothing of the torn line is left", name, err)
		}
	}
}

func TestChangedLedgerIsNoticed(t *testing.T) {
	changes := map[string]func(lines []string) []string{
		"a name":             func(l []string) []string { l[1] = strings.Replace(l[1], `"b"`, `"x"`, 1); return l },
		"a line removed":     func(l []string) []string { return append(l[:1:1], l[2:]...) },
		"the first removed":  func(l []string) []string { return l[1:] },
		"two lines swapped":  func(l []string) []string { l[1], l[2] = l[2], l[1]; return l },
		"an unknown field":   func(l []string) []string { l[2] = strings.Replace(l[2], `{`, `{"x":1,`, 1); return l },
		"a line not of JSON": func(l []string) []string { l[2] = "hello\n"; return l },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			path := ledger(t)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := change(strings.SplitAfter(strings.TrimSuffix(string(b), "\n")+"\n", "\n")[:3])
			if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := open(t, path); !errors.Is(err, schema.ErrInvalid) {
				t.Errorf("error %v, want one about the changed ledger", err)
			}
		})
	}
}
