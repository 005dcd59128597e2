package egress

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"w": "", "layer.1/weight": "", "gewicht é": "",
		"": "0 bytes", strings.Repeat("x", 1001): "1001 bytes", "a\nb": "control character", "a\x1b[2Jb": "control character",
		"a\u202eb": "control character", "a\u0000": "control character", "a\xff": "not UTF-8", "a\u0085": "control character",
	} {
		if got := nameProblem(name); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
	if _, err := NewContract(Terms{Model: []tensor.Info{{Name: "a\nb", DType: tensor.F32}}}); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("error %v, want that a model with such a name is refused", err)
	}
	drop := schema.Egress{Filters: []schema.EgressFilter{{Name: "drop", Settings: map[string]any{"tensors": []any{"*"}}}}}
	if _, _, err := contract(t, drop).Select("train", []tensor.Info{{Name: "a\nb"}}); !errors.Is(err, ErrRefused) {
		t.Errorf("error %v, want that such a name is refused even where it would be dropped", err)
	}
	if _, _, err := contract(t, drop).Select("train", make([]tensor.Info, 1011)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "at most 1010") {
		t.Errorf("error %v, want that too many tensors are refused", err)
	}
}

func TestTensorRanges(t *testing.T) {
	rules := schema.Egress{TensorRanges: []schema.Range{
		{Name: "*", Min: -10, Max: 10}, {Name: "w", Min: math.Inf(-1), Max: 5}, {Name: "v", Min: 0, Max: 0},
	}}
	for want, values := range map[string][]float32{
		"": {-10, 5, 0, 1}, `tensor_ranges["*"] allows -10 to 10`: {0, -10.5, 0, 0}, `egress.tensor_ranges.w allows -Inf to 5`: {0, 0, 0, 5.1},
	} {
		_, err := contract(t, rules).Tensor("train", model[0], bytes.NewReader(tensor.AppendFloat32s(nil, values)))
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: error %v, want %q", values, err, want)
		}
	}
}

// TestTheSitesRulesHoldToo: a tensor or metric leaves if plan and site let it,
// and the message says whose rule it was.
func TestTheSitesRulesHoldToo(t *testing.T) {
	two := []tensor.Info{{Name: "v", DType: tensor.F32, Shape: []int{1}}, {Name: "w", DType: tensor.F32, Shape: []int{1}}}
	c, err := NewContract(Terms{
		Tasks: tasks, Model: two,
		Plan: schema.Egress{Tensors: []string{"w"}, Metrics: []schema.Range{{Name: "loss", Min: 0, Max: 10}}, BytesPerRound: 100, BytesPerRun: 1000},
		Site: schema.Egress{Tensors: []string{"*"}, Metrics: []schema.Range{{Name: "loss", Min: -5, Max: 5}}, BytesPerRound: 50},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		err  error
		want string
	}{
		"both allow":         {c.Declared("train", two[1]), ""},
		"the plan does not":  {c.Declared("train", two[0]), "egress.tensors does not allow"},
		"a metric":           {c.Metric("train", "loss", 3), ""},
		"below the plan's":   {c.Metric("train", "loss", -1), "egress.metrics.loss allows 0 to 10"},
		"above the site's":   {c.Metric("train", "loss", 6), "the site's metrics.loss allows -5 to 5"},
		"the site's bytes":   {c.Result(nil, "train", 0, []Entry{line(0, "w", 51, "a")}), "the site's bytes_per_round allows 50"},
		"few enough":         {c.Result(nil, "train", 0, []Entry{line(0, "w", 50, "a")}), ""},
		"the plan's, before": {c.Result(nil, "train", 0, []Entry{line(0, "w", 101, "a")}), "egress.bytes_per_round allows 100"},
	}
	for name, tt := range tests {
		if tt.want == "" && tt.err != nil || tt.want != "" && (!errors.Is(tt.err, ErrRefused) || !strings.Contains(tt.err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", name, tt.err, tt.want)
		}
	}
}

func settings(name string, pairs ...any) schema.EgressFilter {
	s := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		s[pairs[i].(string)] = pairs[i+1]
	}
	return schema.EgressFilter{Name: name, Settings: s}
}

// TestFiltersWorkInTheirOrder, wherever they stand: drop, clip, noise, quantise,
// and of each kind the plan's before the site's.
func TestFiltersWorkInTheirOrder(t *testing.T) {
	c, err := NewContract(Terms{
		Tasks: tasks, Model: model,
		Plan: schema.Egress{Filters: []schema.EgressFilter{settings("quantise", "bits", 8), settings("clip", "norm", 2.0), settings("drop", "tensors", []any{"x"})}},
		Site: schema.Egress{Filters: []schema.EgressFilter{settings("clip", "norm", 1.0), settings("noise", "noise_multiplier", 3)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range c.filters {
		got = append(got, f.String())
	}
	want := []string{"drop [x]", "clip [*] to norm 2", "clip [*] to norm 1 (site)", "noise [*] of 3 times norm 1 (site)", "quantise [*] to 8 bits"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNoiseNeedsItsClip(t *testing.T) {
	noise := settings("noise", "noise_multiplier", 2.0)
	clip := settings("clip", "norm", 1.0)
	some := func(f schema.EgressFilter, globs ...any) schema.EgressFilter {
		s := map[string]any{"tensors": globs}
		for k, v := range f.Settings {
			s[k] = v
		}
		return schema.EgressFilter{Name: f.Name, Settings: s}
	}
	two := []tensor.Info{{Name: "v", DType: tensor.F32, Shape: []int{1}}, {Name: "w", DType: tensor.F32, Shape: []int{1}}}
	tests := map[string]struct {
		plan, site []schema.EgressFilter
		want       string  // "" is a contract
		mu         float64 // of one result
	}{
		"after its clip":           {[]schema.EgressFilter{clip, noise}, nil, "", 1},
		"the site's after it":      {[]schema.EgressFilter{clip}, []schema.EgressFilter{noise}, "", 1},
		"without":                  {[]schema.EgressFilter{noise}, nil, "no clip filter over the same tensors", 0},
		"before":                   {[]schema.EgressFilter{noise, clip}, nil, "no clip filter over the same tensors", 0},
		"over other tensors":       {[]schema.EgressFilter{some(clip, "v"), noise}, nil, "no clip filter over the same tensors", 0},
		"on some":                  {[]schema.EgressFilter{some(clip, "v"), some(noise, "v")}, nil, `"w" would leave without noise`, 0},
		"the rest dropped":         {[]schema.EgressFilter{some(clip, "v"), some(noise, "v"), settings("drop", "tensors", []any{"w"})}, nil, "", 1},
		"each its own":             {[]schema.EgressFilter{some(clip, "v"), some(noise, "v"), some(clip, "w"), some(noise, "w")}, nil, "", math.Sqrt2},
		"twice on one":             {[]schema.EgressFilter{clip, noise}, []schema.EgressFilter{noise}, "2 filters noise", 0},
		"globs in another order":   {[]schema.EgressFilter{some(clip, "v", "w"), some(noise, "w", "v")}, nil, "", 1},
		"too small to be measured": {[]schema.EgressFilter{settings("clip", "norm", 1e-40), noise}, nil, "its standard deviation", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := NewContract(Terms{Tasks: tasks, Model: two, Plan: schema.Egress{Filters: tt.plan}, Site: schema.Egress{Filters: tt.site}})
			switch {
			case tt.want != "" && (!errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one that says %q", err, tt.want)
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want == "" && c.mu() != tt.mu:
				t.Errorf("a result costs mu %v, want %v", c.mu(), tt.mu)
			}
		})
	}
	pytorch := Terms{Tasks: tasks, Model: two, PyTorch: true, Plan: schema.Egress{Filters: []schema.EgressFilter{clip, noise}}}
	if _, err := NewContract(pytorch); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "__opt_*") {
		t.Errorf("error %v, want one about the optimizer's state", err)
	}
}

// TestNoisedResultsAreWhole: which tensors a result has must not depend on data.
func TestNoisedResultsAreWhole(t *testing.T) {
	infos := func(names ...string) (list []tensor.Info) {
		for _, name := range names {
			list = append(list, tensor.Info{Name: name, DType: tensor.F32, Shape: []int{1}})
		}
		return list
	}
	noise := []schema.EgressFilter{settings("clip", "norm", 1.0), settings("noise", "noise_multiplier", 2.0), settings("drop", "tensors", []any{"x"})}
	tests := map[string]struct {
		filters []schema.EgressFilter
		made    []tensor.Info
		refused bool
	}{
		"all":                     {noise, infos("v", "w", "x"), false},
		"all but what is dropped": {noise, infos("v", "w"), false},
		"none":                    {noise, nil, false},
		"nothing but dropped":     {noise, infos("x"), false},
		"some":                    {noise, infos("w", "x"), true},
		"some, without noise":     {noise[:1], infos("w"), false},
	}
	for name, tt := range tests {
		c, err := NewContract(Terms{Tasks: tasks, Model: infos("v", "w", "x"), Plan: schema.Egress{Filters: tt.filters}})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Select("train", tt.made)
		if refused := errors.Is(err, ErrRefused); refused != tt.refused || err != nil && (!refused || !strings.Contains(err.Error(), `did not make the tensor "v"`)) {
			t.Errorf("%s: error %v, want a refusal: %v", name, err, tt.refused)
		}
	}
}

// TestTheSitesGlobsMatch: a filter or a range that is misspelt would do nothing.
func TestTheSitesGlobsMatch(t *testing.T) {
	one := []tensor.Info{{Name: "hidden.weight", DType: tensor.F32, Shape: []int{1}}}
	tests := map[string]struct {
		site schema.Egress
		want string // "" is a contract
	}{
		"a filter":             {schema.Egress{Filters: []schema.EgressFilter{settings("clip", "norm", 1.0, "tensors", []any{"hidden.*"})}}, ""},
		"a misspelt filter":    {schema.Egress{Filters: []schema.EgressFilter{settings("clip", "norm", 1.0, "tensors", []any{"hiden.*"})}}, `the site's filters (clip): "hiden.*"`},
		"a misspelt drop":      {schema.Egress{Filters: []schema.EgressFilter{settings("drop", "tensors", []any{"hiden.*"})}}, `the site's filters (drop): "hiden.*"`},
		"an optimizer's state": {schema.Egress{Filters: []schema.EgressFilter{settings("drop", "tensors", []any{"__opt_*"})}}, ""},
		"a range":              {schema.Egress{TensorRanges: []schema.Range{{Name: "*.weight", Max: 1}}}, ""},
		"a misspelt range":     {schema.Egress{TensorRanges: []schema.Range{{Name: "*.wait", Max: 1}}}, `the site's tensor_ranges: "*.wait"`},
		"a list for many":      {schema.Egress{Tensors: []string{"hidden.*", "output.*"}, Metrics: []schema.Range{{Name: "f1"}}}, ""},
	}
	for name, tt := range tests {
		_, err := NewContract(Terms{Tasks: tasks, Model: one, Site: tt.site})
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

// TestRehearse finds what a site would stop at, without a ledger.
func TestRehearse(t *testing.T) {
	file := func(values ...float32) *tensor.File {
		var b bytes.Buffer
		if err := tensor.WriteSafetensors(&b, nil, []tensor.Source{{Info: model[0], Data: bytes.NewReader(tensor.AppendFloat32s(nil, values))}}); err != nil {
			t.Fatal(err)
		}
		f, err := tensor.OpenSafetensors(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	ranged := schema.Egress{TensorRanges: []schema.Range{{Name: "*", Min: -1, Max: 1}}, BytesPerRound: 20}
	tests := map[string]struct {
		rules   schema.Egress
		metrics map[string]float64
		made    *tensor.File
		want    string
	}{
		"in order":          {ranged, map[string]float64{"loss": 1}, file(1, 0, 0, -1), ""},
		"no tensors":        {ranged, map[string]float64{"loss": 1}, nil, ""},
		"another metric":    {ranged, map[string]float64{"age": 1}, nil, `the metric "age"`},
		"out of range":      {ranged, nil, file(2, 0, 0, 0), "allows -1 to 1"},
		"clipped afterward": {schema.Egress{TensorRanges: ranged.TensorRanges, Filters: []schema.EgressFilter{settings("clip", "norm", 0.1)}}, nil, file(2, 0, 0, 0), ""},
		"no number":         {ranged, nil, file(float32(math.NaN()), 0, 0, 0), "only finite numbers leave"},
		"too many bytes":    {schema.Egress{BytesPerRound: 19}, map[string]float64{"loss": 1}, file(1, 1, 1, 1), "egress.bytes_per_round allows 19"},
		"not in the plan":   {schema.Egress{Tensors: []string{}}, nil, file(1, 1, 1, 1), "egress.tensors"},
	}
	for name, tt := range tests {
		err := contract(t, tt.rules).Rehearse("train", 0, tt.metrics, tt.made)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}
