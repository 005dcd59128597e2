package straggler

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"fx/schema"
)

// Every policy must close when all are done, never before anyone is, stay closed
// when more are done or the time is up, and be asked again only if that changes
// what it says.
func TestContract(t *testing.T) {
	for template := range policies {
		t.Run(template, func(t *testing.T) {
			for _, settings := range []map[string]any{nil, {"straggler_cutoff_time": 30}, {"percent_collaborators_needed": 0.5}} {
				p, err := New(schema.Component{Template: template, Settings: settings})
				if err != nil {
					continue // not a setting of this policy
				}
				contract(t, p)
			}
		})
	}
	if len(policies) < 4 {
		t.Errorf("only %d policies were tested", len(policies))
	}
}

func contract(t *testing.T, p Policy) {
	t.Helper()
	changes := false
	for all := 1; all <= 20; all++ {
		for done := 0; done <= all; done++ {
			before, after := p.Closed(done, all, false), p.Closed(done, all, true)
			switch {
			case done == 0 && (before || after):
				t.Errorf("closed with 0 of %d", all)
			case done == all && (!before || !after):
				t.Errorf("open with %d of %d", all, all)
			case before && !after:
				t.Errorf("closed with %d of %d, but not when the time is up", done, all)
			case done < all && (before && !p.Closed(done+1, all, false) || after && !p.Closed(done+1, all, true)):
				t.Errorf("closed with %d of %d, but not with %d", done, all, done+1)
			}
			changes = changes || before != after
		}
	}
	if p.Closed(0, 0, false) || p.Closed(0, 0, true) {
		t.Error("closed without any collaborator")
	}
	if changes != (p.Limit() > 0) {
		t.Errorf("the limit is %v, and the end of the time changes the answer: %v", p.Limit(), changes)
	}
}

// What OpenFL's policies of the same settings say.
func TestPolicies(t *testing.T) {
	type m = map[string]any
	for _, tt := range []struct {
		class     string
		settings  m
		done, all int
		expired   bool
		want      bool
	}{
		{"WaitForAllPolicy", nil, 2, 3, false, false},
		{"WaitForAllPolicy", nil, 3, 3, false, true},
		{"CutoffTimePolicy", m{"straggler_cutoff_time": 5}, 2, 3, false, false},
		{"CutoffTimePolicy", m{"straggler_cutoff_time": 5}, 1, 3, true, true},
		{"CutoffTimePolicy", m{"straggler_cutoff_time": 5}, 0, 3, true, false},
		{"CutoffTimePolicy", m{"straggler_cutoff_time": 0.5, "minimum_reporting": 2, "round_start_time": nil}, 1, 3, true, false},
		{"CutoffTimePolicy", m{"straggler_cutoff_time": 5, "minimum_reporting": 2}, 2, 3, true, true},
		{"CutoffTimePolicy", m{"straggler_cutoff_time": 5, "minimum_reporting": 4}, 3, 3, false, true},
		{"CutoffTimePolicy", m{"straggler_cutoff_time": math.Inf(1)}, 2, 3, false, false},
		{"PercentagePolicy", nil, 2, 3, false, false},
		{"PercentagePolicy", m{"percent_collaborators_needed": 0.5}, 1, 3, false, false},
		{"PercentagePolicy", m{"percent_collaborators_needed": 0.5}, 2, 3, false, true},
		{"PercentagePolicy", m{"percent_collaborators_needed": 0.67}, 2, 3, false, false},
		{"PercentagePolicy", m{"percent_collaborators_needed": 0}, 1, 3, false, true},
		{"PercentagePolicy", m{"percent_collaborators_needed": 0, "minimum_reporting": 2}, 1, 3, true, false},
		{"PercentagePolicy", m{"percent_collaborators_needed": 1, "minimum_reporting": 4}, 3, 3, false, false},
	} {
		p, err := New(schema.Component{Template: openfl + tt.class, Settings: tt.settings})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Closed(tt.done, tt.all, tt.expired); got != tt.want {
			t.Errorf("%s %v, %d of %d, time up %v: closed is %v, want %v", tt.class, tt.settings, tt.done, tt.all, tt.expired, got, tt.want)
		}
	}
}

func TestLimit(t *testing.T) {
	for seconds, want := range map[any]time.Duration{30: 30 * time.Second, 0.25: 250 * time.Millisecond, math.Inf(1): 0, 1e-12: 1} {
		p, err := New(schema.Component{Template: openfl + "CutoffTimePolicy", Settings: map[string]any{"straggler_cutoff_time": seconds}})
		if err != nil || p.Limit() != want {
			t.Errorf("%v: got %v, %v, want %v", seconds, p, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		c    schema.Component
		want string
	}{
		{schema.Component{Template: "src.policy.Mine"}, "is no straggler policy"},
		{schema.Component{Template: openfl + "CutoffTimePolicy", Settings: map[string]any{"straggler_cutoff_time": 0}}, "straggler_cutoff_time is 0; allowed is seconds, above 0"},
		{schema.Component{Template: openfl + "CutoffTimePolicy", Settings: map[string]any{"straggler_cutoff_time": -5}}, "straggler_cutoff_time is -5"},
		{schema.Component{Template: openfl + "CutoffTimePolicy", Settings: map[string]any{"round_start_time": 3}}, "round_start_time is 3; allowed is null"},
		{schema.Component{Template: openfl + "CutoffTimePolicy", Settings: map[string]any{"minimum_reporting": 0}}, "minimum_reporting is 0; allowed is an integer from 1"},
		{schema.Component{Template: openfl + "CutoffTimePolicy", Settings: map[string]any{"cutoff": 5}}, "has no setting \"cutoff\"; allowed: minimum_reporting, round_start_time, straggler_cutoff_time"},
		{schema.Component{Template: openfl + "PercentagePolicy", Settings: map[string]any{"percent_collaborators_needed": 80}}, "percent_collaborators_needed is 80; allowed is a share from 0 to 1"},
		{schema.Component{Template: openfl + "WaitForAllPolicy", Settings: map[string]any{"b": 1, "a": 2}}, "takes no settings, found a, b"},
	} {
		_, err := New(tt.c)
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want an ErrInvalid with %q", tt.c, err, tt.want)
		}
	}
}
