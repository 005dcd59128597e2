package straggler

import (
	"errors"
	"strings"
	"testing"

	"fx/schema"
)

// Every policy must close when all are done, never before anyone is, and stay
// closed when more are done.
func TestContract(t *testing.T) {
	made := 0
	for template, build := range policies {
		if build == nil {
			continue
		}
		made++
		t.Run(template, func(t *testing.T) {
			p, err := New(schema.Component{Template: template})
			if err != nil {
				t.Fatal(err)
			}
			for all := 1; all <= 20; all++ {
				if p.Closed(0, all) {
					t.Errorf("closed with 0 of %d", all)
				}
				if !p.Closed(all, all) {
					t.Errorf("open with %d of %d", all, all)
				}
				for done := 1; done < all; done++ {
					if p.Closed(done, all) && !p.Closed(done+1, all) {
						t.Errorf("closed with %d of %d, but not with %d", done, all, done+1)
					}
				}
			}
			if p.Closed(0, 0) {
				t.Error("closed without any collaborator")
			}
		})
	}
	if made == 0 {
		t.Error("no policy was tested")
	}
}

func TestWaitForAll(t *testing.T) {
	for _, tt := range []struct {
		done, all int
		want      bool
	}{{0, 3, false}, {2, 3, false}, {3, 3, true}} {
		if got := (WaitForAll{}).Closed(tt.done, tt.all); got != tt.want {
			t.Errorf("%d of %d: closed is %v, want %v", tt.done, tt.all, got, tt.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		c    schema.Component
		want string
	}{
		{schema.Component{Template: "src.policy.Mine"}, "is no straggler policy"},
		{schema.Component{Template: openfl + "CutoffTimePolicy"}, "is not supported; allowed: " + openfl + "WaitForAllPolicy"},
		{schema.Component{Template: openfl + "WaitForAllPolicy", Settings: map[string]any{"b": 1, "a": 2}}, "takes no settings, found a, b"},
	} {
		_, err := New(tt.c)
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want an ErrInvalid with %q", tt.c, err, tt.want)
		}
	}
}
