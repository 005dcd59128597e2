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
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumPy string
		Cases []vectorCase
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range file.Cases {
		seen[c.Template] = true
		t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) { play(t, c) })
	}
	for template, build := range table() {
		if build != nil && template != "" && !seen[template] {
			t.Errorf("there is no vector for %s", template)
		}
	}
}

func play(t *testing.T, c vectorCase) {
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
					if math.Abs(v-want) > tolerance(n)*math.Abs(want) {
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
		model = next
	}
}

// tolerance is relative. From the second round on, a value that the first
// rounded to its neighbour counts.
func tolerance(round int) float64 {
	if round == 0 {
		return 1e-10
	}
	return 1e-6
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
