package schema

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestRounds(t *testing.T) {
	got := resolve(t, digits(t)+`rounds:
  best: {metric: loss, direction: min, task: aggregated_model_validation}
  stop: {metric: accuracy, at_least: 1}
`).Rounds
	want := Rounds{
		Best: &BestRule{Task: "aggregated_model_validation", Metric: "loss", Least: true},
		Stop: &StopRule{Metric: "accuracy", Target: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %+v, want %+v %+v", got.Best, got.Stop, want.Best, want.Stop)
	}
	if got := resolve(t, digits(t)).Rounds; !reflect.DeepEqual(got, Rounds{}) {
		t.Errorf("a plan without the section has %+v", got)
	}
	if got := resolve(t, digits(t)+"rounds: {stop: {metric: loss, at_most: 0.25}}\n").Rounds; got.Best != nil || !got.Stop.AtMost || got.Stop.Target != 0.25 {
		t.Errorf("got %+v, want a target from above alone", got.Stop)
	}
}

func TestReached(t *testing.T) {
	up, down := &StopRule{Target: 0.5}, &StopRule{Target: 0.5, AtMost: true}
	for value, want := range map[float64][2]bool{0.4: {false, true}, 0.5: {true, true}, 0.6: {true, false}} {
		if got := [2]bool{up.Reached(value), down.Reached(value)}; got != want {
			t.Errorf("%v: got %v, want %v", value, got, want)
		}
	}
}

// Like every section it is hashed, with the settings that OpenFL adds.
func TestRoundsAreHashed(t *testing.T) {
	p, err := ParsePlan("plan.yaml", []byte(digits(t)+"rounds: {best: {metric: loss, direction: min}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if text := Dump(p.Config()); !bytes.Contains(text, []byte("rounds:\n  best:\n    direction: min\n    metric: loss\n  settings: {}\n")) {
		t.Errorf("the canonical plan has\n%s", text)
	}
}

func TestRoundsThatMeanNothing(t *testing.T) {
	for name, tt := range map[string]struct{ section, want string }{
		"no map":             {"rounds: {best: accuracy}", "rounds.best: wrong type"},
		"no metric":          {"rounds: {best: {direction: max}}", `the key "metric" is missing`},
		"an empty metric":    {`rounds: {best: {metric: "", direction: max}}`, "the value is empty"},
		"no direction":       {"rounds: {best: {metric: a}}", `the key "direction" is missing`},
		"infinite":           {"rounds: {stop: {metric: a, at_least: .inf}}", "a finite number"},
		"a target of best":   {"rounds: {best: {metric: a, direction: max, at_least: 1}}", "there is no such key"},
		"a direction of end": {"rounds: {stop: {metric: a, at_least: 1, direction: max}}", "there is no such key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePlan("plan.yaml", []byte(digits(t)+tt.section+"\n"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
