package schema

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestEgress(t *testing.T) {
	got := resolve(t, digits(t)+`egress:
  tensors: ["encoder.*", head]
  metrics:
    accuracy: {min: 0, max: 1}
    loss: {min: -1.5}
    other: {}
    any:
  tensor_ranges: {"*": {min: -10, max: 10}, head: {max: 1.5}}
  bytes_per_round: 1_000
  bytes_per_run: 100000000000
  filters:
  - {name: drop, tensors: [head]}
  - name: clip
    norm: 1.0e-1
`).Egress
	open := math.Inf(1)
	want := Egress{
		Tensors:       []string{"encoder.*", "head"},
		TensorRanges:  []Range{{"*", -10, 10}, {"head", -open, 1.5}},
		Metrics:       []Range{{"accuracy", 0, 1}, {"loss", -1.5, open}, {"other", -open, open}, {"any", -open, open}},
		BytesPerRound: 1000, BytesPerRun: 100_000_000_000,
		Filters: []EgressFilter{
			{Name: "drop", Settings: map[string]any{"tensors": []any{"head"}}},
			{Name: "clip", Settings: map[string]any{"norm": 0.1}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := resolve(t, digits(t)).Egress; !reflect.DeepEqual(got, Egress{}) {
		t.Errorf("a plan without the section has %+v", got)
	}
	nothing := resolve(t, digits(t)+"egress: {tensors: [], metrics: {}}\n").Egress
	if nothing.Tensors == nil || nothing.Metrics == nil || len(nothing.Tensors)+len(nothing.Metrics) > 0 {
		t.Errorf("empty lists are not absent ones: %+v", nothing)
	}
}

// Like every section it is hashed, with the settings that OpenFL adds.
func TestEgressIsHashed(t *testing.T) {
	without := resolve(t, digits(t))
	with := resolve(t, digits(t)+"egress: {bytes_per_run: 100}\n")
	if with.Hash == without.Hash {
		t.Error("the section does not change the federation id")
	}
	if dump := string(Dump(with.Config())); !strings.Contains(dump, "\negress:\n  bytes_per_run: 100\n  settings: {}\n") {
		t.Errorf("canonical dump:\n%s", dump)
	}
}

func TestEgressMistakes(t *testing.T) {
	base := digits(t)
	line := strings.Count(base, "\n") + 2 // the first below egress:
	many := strings.Repeat("a, ", 1000)
	tests := []struct {
		name, section, id string
		line, column      int // line below egress:, from 0
		path, says        string
	}{
		{"misspelt key", "  tensor: [w]", "unknown-key", 0, 3, "egress.tensor", `did you mean "tensors"`},
		{"keys below settings", "  settings:\n    tensors: [w]", "unknown-key", 1, 5, "egress.settings.tensors", "write the key directly below egress"},
		{"a name for a list", "  tensors: w", "type", 0, 12, "egress.tensors", "a list of globs"},
		{"a number for a glob", "  tensors: [w, 7]", "type", 0, 16, "egress.tensors[1]", "put the value in quotes"},
		{"an empty glob", `  tensors: [""]`, "empty-value", 0, 13, "egress.tensors[0]", "1 to 1000 bytes"},
		{"a glob twice", "  tensors: [w, w]", "duplicate-value", 0, 16, "egress.tensors[1]", "twice"},
		{"a list of metrics", "  metrics: [loss]", "type", 0, 12, "egress.metrics", "a map from the name of a metric"},
		{"a number for a range", "  metrics:\n    loss: 1", "type", 1, 11, "egress.metrics.loss", "min and max"},
		{"a range's key", "  metrics:\n    loss: {maximum: 1}", "unknown-key", 1, 12, "egress.metrics.loss.maximum", "allowed max, min"},
		{"an exponent", "  metrics:\n    loss: {max: 1e3}", "type", 1, 17, "egress.metrics.loss.max", "1.0e+3"},
		{"a range inside out", "  metrics:\n    loss: {min: 1, max: 0}", "out-of-range", 1, 11, "egress.metrics.loss", "min 1 and max 0"},
		{"one range for all", "  tensor_ranges: {min: -1, max: 1}", "type", 0, 24, "egress.tensor_ranges.min", "min and max"},
		{"a tensor's range inside out", "  tensor_ranges: {'*': {min: 1, max: 0}}", "out-of-range", 0, 24, "egress.tensor_ranges", "no value could leave"},
		{"no bytes", "  bytes_per_round: 0", "out-of-range", 0, 20, "egress.bytes_per_round", "from 1"},
		{"bytes with a unit", "  bytes_per_run: 1MiB", "type", 0, 18, "egress.bytes_per_run", "an integer, in bytes"},
		{"a run below a round", "  bytes_per_round: 9\n  bytes_per_run: 8", "out-of-range", 1, 18, "egress.bytes_per_run", "at least 9"},
		{"one filter", "  filters: {name: drop}", "type", 0, 12, "egress.filters", "a list of filters"},
		{"a filter's name alone", "  filters: [drop]", "type", 0, 13, "egress.filters[0]", "a map with the name"},
		{"a filter without a name", "  filters:\n  - norm: 1", "missing-key", 1, 5, "egress.filters[0]", `"name"`},
		{"a setting that is no word", "  filters:\n  - name: clip\n    1: 1", "type", 2, 5, "egress.filters[0]", "the name of a setting is a word"},
		{"too many", "  filters: [" + strings.Repeat("{name: drop}, ", 17) + "]", "out-of-range", 0, 12, "egress.filters", "at most 16"},
		{"too many globs", "  tensors: [" + many + "b]", "out-of-range", 0, 12, "egress.tensors", "at most 1000"},
		{"no section", "  ", "type", -1, 1, "egress", "a section is a map"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParsePlan("plan.yaml", []byte(base+"egress:\n"+test.section+"\n"))
			found, ok := errors.AsType[Findings](err)
			if !ok {
				t.Fatalf("got %v, want findings", err)
			}
			where := fmt.Sprintf("plan.yaml:%d:", line+test.line)
			for _, f := range found {
				text := f.String()
				if f.ID == test.id && strings.HasPrefix(text, where) && strings.HasPrefix(f.Path, test.path) && strings.Contains(text, test.says) {
					if test.line >= 0 && f.Column != test.column {
						t.Errorf("column %d, want %d: %s", f.Column, test.column, text)
					}
					return
				}
			}
			t.Errorf("got %v, want %s at %s %s saying %q", found, test.id, where, test.path, test.says)
		})
	}
}

// A site's own file has the keys of the section, and the same mistakes.
func TestReadEgress(t *testing.T) {
	got, err := ReadEgress("site.yaml", []byte("tensors: [w]\nbytes_per_run: 9\nfilters: [{name: clip, norm: 1}]\n"))
	want := Egress{Tensors: []string{"w"}, BytesPerRun: 9, Filters: []EgressFilter{{Name: "clip", Settings: map[string]any{"norm": 1}}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for text, says := range map[string]string{
		"tensor: [w]":                        `site.yaml:1:1: tensor: there is no such key`,
		"egress: {}":                         "site.yaml:1:1: egress: there is no such key",
		"settings: {}":                       "site.yaml:1:1: settings: there is no such key",
		"- tensors":                          "a site's egress file is a map",
		"bytes_per_run: 1\ntensors: w":       "site.yaml:2:10: tensors: wrong type",
		"bytes_per_run: 1\nbytes_per_run: 2": "site.yaml:2:1",
		"":                                   "the document is empty",
		strings.Repeat(" ", 2<<20):           "too large",
	} {
		_, err := ReadEgress("site.yaml", []byte(text))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.30q: error %v, want one that says %q", text, err, says)
		}
	}
}

func FuzzReadEgress(f *testing.F) {
	f.Add([]byte("tensors: [w]\nmetrics: {loss: {min: 0, max: .inf}}\nbytes_per_run: 9\n"))
	f.Add([]byte("filters: [{name: clip, norm: 1}, {1: 2}]\ntensor_ranges: {'*': , x: {min: 1, max: 0}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ReadEgress("site.yaml", text)
		if err != nil && (!errors.Is(err, ErrInvalid) || !reflect.DeepEqual(e, Egress{})) {
			t.Errorf("error %v with %+v", err, e)
		}
	})
}
