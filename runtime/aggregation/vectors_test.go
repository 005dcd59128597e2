package aggregation

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"fx/schema"
)

// vectorCase is one case of testdata/vectors.json: the script beside it says
// what is in it. It has computed the values with NumPy.
type vectorCase struct {
	Name     string
	Template string
	Settings map[string]any
	Model    map[string]values
	Rounds   []vectorRound
}

type vectorRound struct {
	Updates []struct {
		Weight float64
		Values map[string]values
	}
	Want map[string][]float64
}

// Every algorithm gives the values that NumPy gives, over several rounds where
// it remembers something.
func TestVectors(t *testing.T) {
	seen := playAll(t, "testdata/vectors.json", 1e-10)
	for template, build := range table() {
		if build != nil && template != "" && !seen[template] {
			t.Errorf("there is no vector for %s", template)
		}
	}
}

// TestPeerVectors is TestVectors for what OpenFL's own classes give, which
// scripts/peers/openfl-aggregation.sh has them write.
func TestPeerVectors(t *testing.T) {
	file := os.Getenv("FX_AGGREGATION_VECTORS")
	if file == "" {
		t.Skip("FX_AGGREGATION_VECTORS is not set; scripts/peers/openfl-aggregation.sh sets it")
	}
	seen := playAll(t, file, 1e-6)
	for template, build := range table() {
		if build != nil && strings.HasPrefix(template, openfl) && !seen[template] {
			t.Errorf("there is no vector for %s", template)
		}
	}
}

// playAll plays the cases of a file and returns the templates that it has. first
// is by how much, relative, values of a first round may differ; later a value
// that was rounded to its neighbour counts, and it is 1e-6.
func playAll(t *testing.T, name string, first float64) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []vectorCase }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range file.Cases {
		seen[c.Template] = true
		t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) { play(t, c, first) })
	}
	return seen
}

func play(t *testing.T, c vectorCase, tolerance float64) {
	a, err := New(schema.Component{Template: c.Template, Settings: integers(c.Settings).(map[string]any)})
	if err != nil {
		t.Fatal(err)
	}
	model, state := c.Model, map[string][]Source{}
	for n, round := range c.Rounds {
		next := maps.Clone(model)
		var tensors []Tensor
		for _, name := range slices.Sorted(maps.Keys(round.Want)) {
			tensor := Tensor{Name: name, Elements: len(round.Want[name]), Step: n, State: state[name]}
			if base, ok := model[name]; ok {
				tensor.Base = base
			} else {
				tensor.Extra = true
			}
			for i, u := range round.Updates {
				tensor.Updates = append(tensor.Updates, Update{string(rune('a' + i)), u.Weight, u.Values[name]})
			}
			tensors = append(tensors, tensor)
		}
		folding, err := a.Begin(tensors)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range tensors {
			var got, left values
			err := folding.Fold(tensor.Name, func(value []float64, s [][]float64) error {
				for i, v := range value {
					want := round.Want[tensor.Name][len(got)+i]
					size := math.Abs(want)
					if base := model[tensor.Name]; base != nil { // what it is the sum of may be larger
						size = max(size, math.Abs(float64(base[len(got)+i])))
					}
					if math.Abs(v-want) > tolerance*size {
						t.Errorf("round %d, %s[%d]: got %v, want %v", n, tensor.Name, len(got)+i, v, want)
					}
				}
				got = append(got, rounded(value)...)
				for _, block := range s { // the tensors here have one block
					left = append(left, rounded(block)...)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := model[tensor.Name]; !ok {
				continue
			}
			next[tensor.Name], state[tensor.Name] = got, nil
			for i := range a.Slots() {
				state[tensor.Name] = append(state[tensor.Name], left[i*tensor.Elements:(i+1)*tensor.Elements])
			}
		}
		model, tolerance = next, 1e-6
	}
}

func rounded(v []float64) values {
	out := make(values, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// integers turns the numbers of a JSON document into what a plan's are: integers
// where they have no fraction.
func integers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = integers(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = integers(v[i])
		}
		return out
	case float64:
		if v == math.Trunc(v) {
			return int(v)
		}
	}
	return v
}
