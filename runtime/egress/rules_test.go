package egress

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

func contract(t *testing.T, rules schema.Egress) *Contract {
	t.Helper()
	c, err := NewContract(Terms{Tasks: tasks, Model: model, Plan: rules})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGlobs(t *testing.T) {
	tests := []struct {
		glob, name string
		want       bool
	}{
		{"w", "w", true},
		{"w", "ww", false},
		{"*", "", true},
		{"*", "layer.1/weight", true},
		{"layer.*", "layer.1.weight", true},
		{"layer.*", "layer", false},
		{"*.weight", "a.weight.weight", true},
		{"*a*b*c", "xaybzc", true},
		{"*a*b*c", "xaybz", false},
		{"layer.?.bias", "layer.7.bias", true},
		{"layer.?.bias", "layer.17.bias", false},
		{"?", "é", true},
		{"w[0]", "w[0]", true}, // brackets are brackets
		{"w[0]", "w0", false},
		{"", "", true},
		{"**", "x", true},
	}
	for _, tt := range tests {
		if got := match(tt.glob, tt.name); got != tt.want {
			t.Errorf("match(%q, %q) = %v", tt.glob, tt.name, got)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?", "axxbc")
	f.Add("*\xff*", "\xff\xfe")
	f.Fuzz(func(t *testing.T, glob, name string) {
		if len(glob) > 1000 || len(name) > 4096 {
			return
		}
		match(glob, name)
		if !match("*"+glob+"*", name) && match(glob, name) {
			t.Errorf("stars around %q made it match less: %q", glob, name)
		}
	})
}

func TestOnlyGlobbedTensorsLeave(t *testing.T) {
	info := tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2, 2}}
	values := tensor.AppendFloat32s(nil, []float32{1, 2, 3, 4})
	for _, globs := range [][]string{nil, {"*"}, {"bias", "w"}, {"?"}} {
		if _, err := contract(t, schema.Egress{Tensors: globs}).Tensor("train", info, bytes.NewReader(values)); err != nil {
			t.Errorf("%q: %v", globs, err)
		}
	}
	for want, globs := range map[string][]string{"allows nothing": {}, "allows weight.*": {"weight.*"}} {
		_, err := contract(t, schema.Egress{Tensors: globs}).Tensor("train", info, bytes.NewReader(values))
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "egress.tensors") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want a refusal that says %q", globs, err, want)
		}
	}
}

func TestMetricRanges(t *testing.T) {
	c := contract(t, schema.Egress{Metrics: []schema.Range{{Name: "loss", Min: 0, Max: 10}}})
	for _, v := range []float64{0, 3, 10} {
		if err := c.Metric("train", "loss", v); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
	for _, v := range []float64{-1e-9, 10.5, math.NaN(), math.Inf(1), 1e300} {
		if err := c.Metric("train", "loss", v); !errors.Is(err, ErrRefused) {
			t.Errorf("%v: error %v, want a refusal", v, err)
		}
	}
	if err := c.Metric("train", "loss", 11); !strings.Contains(err.Error(), "egress.metrics.loss allows 0 to 10") {
		t.Errorf("error %v does not name the rule", err)
	}
	none := contract(t, schema.Egress{Metrics: []schema.Range{}})
	if err := none.Metric("train", "loss", 1); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "egress.metrics") {
		t.Errorf("error %v, want a refusal: no metric is listed", err)
	}
	if err := contract(t, schema.Egress{}).Metric("train", "loss", 1e300); !errors.Is(err, ErrRefused) {
		t.Errorf("error %v, want a refusal: the value is no float32", err)
	}
}

func line(round int, name string, bytes int64, sum string) Entry {
	return Entry{Round: round, Task: "train", Kind: KindTensor, Name: name, Bytes: bytes, SHA256: sum}
}

func TestByteLimits(t *testing.T) {
	path := t.TempDir() + "/egress.jsonl"
	l, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	c := contract(t, schema.Egress{BytesPerRound: 100, BytesPerRun: 250})
	steps := []struct {
		name  string
		entry Entry
		want  string // "" leaves
	}{
		{"fills a round", line(0, "w", 100, "a"), ""},
		{"one byte more", line(0, "v", 1, "b"), "egress.bytes_per_round allows 100"},
		{"the same again", line(0, "w", 100, "a"), ""},
		{"other values", line(0, "w", 100, "c"), "would send 100 bytes after 100 of round 0"},
		{"another round", line(1, "w", 100, "d"), ""},
		{"an earlier round again", line(0, "w", 100, "a"), "egress.bytes_per_round"},
		{"more than the rest of the run", line(2, "w", 51, "e"), "egress.bytes_per_run allows 250"},
		{"the rest", line(2, "w", 50, "e"), ""},
		{"nothing is left", line(3, "w", 1, "f"), "would send 1 bytes in round 3 after 250 of the whole run"},
	}
	for _, step := range steps {
		// Each step is a new process: the ledger is all that is known of those before.
		if l, err = open(t, path); err != nil {
			t.Fatal(err)
		}
		err := c.Result(l, "train", step.entry.Round, []Entry{step.entry})
		if step.want == "" {
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if err := l.Append([]Entry{step.entry}); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: error %v, want a refusal that says %q", step.name, err, step.want)
		}
	}
	if round, run := l.Spent(2); round != 50 || run != 250 {
		t.Errorf("spent %d in round 2 and %d in all, want 50 and 250", round, run)
	}
}

func TestTheSameProcessCountsTheSame(t *testing.T) {
	path := t.TempDir() + "/egress.jsonl"
	l, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Entry{line(0, "w", 8, "a"), line(0, "w", 8, "a"), line(1, "w", 8, "a"), line(1, "w", 8, "b"), line(0, "w", 8, "a")} {
		if err := l.Append([]Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	again, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	for round, want := range map[int]int64{0: 16, 1: 16} {
		r, run := l.Spent(round)
		r2, run2 := again.Spent(round)
		if r != want || r2 != want || run != 32 || run2 != 32 {
			t.Errorf("round %d: %d of %d, and %d of %d after a restart; want %d of 32", round, r, run, r2, run2, want)
		}
	}
}

func TestNothingLeavesTwiceInOneResult(t *testing.T) {
	l, err := open(t, t.TempDir()+"/egress.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	loss := Entry{Task: "train", Kind: KindMetric, Name: "loss", Bytes: 4}
	other := loss
	other.Value = 2
	if err := contract(t, schema.Egress{}).Result(l, "train", 0, []Entry{loss, other}); !errors.Is(err, ErrRefused) {
		t.Errorf("error %v, want a refusal of a metric that is reported twice", err)
	}
}

func TestFilters(t *testing.T) {
	type m = map[string]any
	tests := map[string]struct {
		filter schema.EgressFilter
		want   string // "" is a filter
	}{
		"drop":                 {schema.EgressFilter{Name: "drop", Settings: m{"tensors": []any{"a.*"}}}, ""},
		"clip everything":      {schema.EgressFilter{Name: "clip", Settings: m{"norm": 1}}, ""},
		"clip some":            {schema.EgressFilter{Name: "clip", Settings: m{"norm": 0.5, "tensors": []any{"a.*"}}}, ""},
		"gaussian":             {schema.EgressFilter{Name: "gaussian", Settings: m{"sigma": 1.0}}, `there is no egress filter "gaussian"; this version has clip, drop, noise, quantise`},
		"misspelt":             {schema.EgressFilter{Name: "dorp"}, `did you mean "drop"`},
		"drop without a glob":  {schema.EgressFilter{Name: "drop"}, "tensors is missing"},
		"drop with no glob":    {schema.EgressFilter{Name: "drop", Settings: m{"tensors": []any{}}}, "at least one"},
		"a glob that is none":  {schema.EgressFilter{Name: "drop", Settings: m{"tensors": []any{1}}}, "a glob is a string"},
		"clip without a norm":  {schema.EgressFilter{Name: "clip", Settings: m{}}, "norm is missing"},
		"clip to nothing":      {schema.EgressFilter{Name: "clip", Settings: m{"norm": 0.0}}, "above 0"},
		"clip to infinity":     {schema.EgressFilter{Name: "clip", Settings: m{"norm": math.Inf(1)}}, "above 0"},
		"clip to a word":       {schema.EgressFilter{Name: "clip", Settings: m{"norm": "1e-3"}}, "above 0"},
		"a setting too many":   {schema.EgressFilter{Name: "clip", Settings: m{"norm": 1, "sigma": 2}}, `no setting "sigma"; allowed: norm, tensors`},
		"globs that are a map": {schema.EgressFilter{Name: "clip", Settings: m{"norm": 1, "tensors": m{}}}, "not a list"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewContract(Terms{Tasks: tasks, Model: model, Plan: schema.Egress{Filters: []schema.EgressFilter{tt.filter}}})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestClipBoundsTheWholeChange(t *testing.T) {
	clip := func(norm float64, globs ...any) schema.EgressFilter {
		s := map[string]any{"norm": norm}
		if len(globs) > 0 {
			s["tensors"] = globs
		}
		return schema.EgressFilter{Name: "clip", Settings: s}
	}
	changes := []Change{{"a.w", 3}, {"a.b", 4}, {"c", 12}}
	tests := map[string]struct {
		filters []schema.EgressFilter
		want    []float64
	}{
		"none":                  {nil, []float64{1, 1, 1}},
		"small enough":          {[]schema.EgressFilter{clip(13)}, []float64{1, 1, 1}},
		"all together":          {[]schema.EgressFilter{clip(6.5)}, []float64{0.5, 0.5, 0.5}},
		"some":                  {[]schema.EgressFilter{clip(2.5, "a.*")}, []float64{0.5, 0.5, 1}},
		"one after the other":   {[]schema.EgressFilter{clip(2.5, "a.*"), clip(6, "c")}, []float64{0.5, 0.5, 0.5}},
		"the second sees less":  {[]schema.EgressFilter{clip(6, "c"), clip(math.Sqrt(61))}, []float64{1, 1, 0.5}},
		"of tensors not there":  {[]schema.EgressFilter{clip(1, "x")}, []float64{1, 1, 1}},
		"exactly at the border": {[]schema.EgressFilter{clip(5, "a.*")}, []float64{1, 1, 1}},
	}
	for name, tt := range tests {
		if got, _ := contract(t, schema.Egress{Filters: tt.filters}).Factors(changes); !slices.Equal(got, tt.want) {
			t.Errorf("%s: factors %v, want %v", name, got, tt.want)
		}
	}
}

// A change is measured and scaled over several blocks, with a rest.
func TestClipped(t *testing.T) {
	n := 2*block + 3
	base, trained := make([]float32, n), make([]float32, n)
	for i := range base {
		base[i], trained[i] = float32(i), float32(i)+2
	}
	from, to := tensor.AppendFloat32s(nil, base), tensor.AppendFloat32s(nil, trained)
	norm, err := ChangeNorm(bytes.NewReader(from), bytes.NewReader(to))
	if want := 2 * math.Sqrt(float64(n)); err != nil || norm != want {
		t.Errorf("norm %v, %v; want %v", norm, err, want)
	}
	b, err := io.ReadAll(Clipped(bytes.NewReader(from), bytes.NewReader(to), 0.25))
	got := tensor.Float32s(b)
	if err != nil || len(got) != n || got[0] != 0.5 || got[n-1] != float32(n-1)+0.5 {
		t.Errorf("%d values, %v", len(got), err)
	}
	for _, read := range []func() error{
		func() error { _, err := ChangeNorm(bytes.NewReader(from[:8]), bytes.NewReader(to)); return err },
		func() error { _, err := io.ReadAll(Clipped(bytes.NewReader(nil), bytes.NewReader(to), 1)); return err },
	} {
		if read() == nil {
			t.Error("a model that is too short was not noticed")
		}
	}
}

func TestAnEntryThatDoesNotFitALineIsRefused(t *testing.T) {
	path := t.TempDir() + "/egress.jsonl"
	l, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]Entry{{Name: strings.Repeat("x", maxLine)}}); err == nil {
		t.Error("a line was written that could not be read again")
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("the ledger has %v, %v; want nothing", info, err)
	}
}
