package taskrunner

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"fx/schema"
)

// settings reads a map of a plan strictly: what is not asked for is an error.
// The first error wins and is answered by done.
type settings struct {
	where string // for messages, such as "tasks.train.kwargs"
	m     map[string]any
	asked []string
	err   error
}

func (s *settings) fail(format string, a ...any) {
	if s.err == nil {
		s.err = invalidf(s.where, format, a...)
	}
}

// whole reads a whole number in [low, high].
func (s *settings) whole(key string, byDefault, low, high int) int {
	s.asked = append(s.asked, key)
	v, there := s.m[key]
	if !there {
		return byDefault
	}
	n, ok := v.(int)
	if !ok || n < low || n > high {
		s.fail("%s is %s; a whole number from %d to %d was expected", key, show(v), low, high)
		return byDefault
	}
	return n
}

// required reads a whole number from 1 to maxCount that has no default.
func (s *settings) required(key string) int {
	if _, there := s.m[key]; !there {
		s.fail("%s is missing; a whole number from 1 to %d is needed", key, maxCount)
	}
	return s.whole(key, 1, 1, maxCount)
}

// positive reads a finite number above zero.
func (s *settings) positive(key string, byDefault float64) float64 {
	s.asked = append(s.asked, key)
	v, there := s.m[key]
	if !there {
		return byDefault
	}
	n := math.NaN()
	switch x := v.(type) {
	case int:
		n = float64(x)
	case float64:
		n = x
	}
	if !(n > 0) || math.IsInf(n, 0) {
		s.fail("%s is %s; a number above 0 was expected", key, show(v))
		return byDefault
	}
	return n
}

// choices reads a list of distinct words out of allowed.
func (s *settings) choices(key string, allowed []string) []string {
	s.asked = append(s.asked, key)
	v, there := s.m[key]
	if !there || v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		s.fail("%s is %s; a list was expected", key, show(v))
		return nil
	}
	var out []string
	for _, item := range list {
		word, ok := item.(string)
		switch {
		case !ok || !slices.Contains(allowed, word):
			s.fail("%s has %s; known are %s%s", key, show(item), strings.Join(allowed, ", "), didYouMean(word, allowed))
			return nil
		case slices.Contains(out, word):
			s.fail("%s has %q twice", key, word)
			return nil
		}
		out = append(out, word)
	}
	return out
}

// oneOf checks that a word, if it is there, is one of allowed.
func (s *settings) oneOf(key string, allowed []string) {
	s.asked = append(s.asked, key)
	v, there := s.m[key]
	word, ok := v.(string)
	if there && (!ok || !slices.Contains(allowed, word)) {
		s.fail("%s is %s; allowed: %s%s", key, show(v), strings.Join(allowed, ", "), didYouMean(word, allowed))
	}
}

// done reports the first error, or the first key that nobody asked for.
func (s *settings) done() error {
	for _, key := range slices.Sorted(maps.Keys(s.m)) {
		if slices.Contains(s.asked, key) {
			continue
		}
		allowed := "it takes none"
		if len(s.asked) > 0 {
			allowed = "allowed: " + strings.Join(s.asked, ", ")
		}
		return invalidf(s.where, "unknown key %q; %s%s", key, allowed, didYouMean(key, s.asked))
	}
	return s.err
}

func didYouMean(word string, allowed []string) string {
	if hint := schema.DidYouMean(word, allowed); hint != "" {
		return "; " + hint
	}
	return ""
}

// show is a value as a message shows it, short.
func show(v any) string {
	switch x := v.(type) {
	case nil:
		return "empty"
	case string:
		if strings.ContainsAny(x, "eE") && strings.Trim(x, "0123456789.eE+-") == "" {
			return fmt.Sprintf("the text %.40q (write the exponent with a point and a sign, as in 1.0e-3)", x)
		}
		return fmt.Sprintf("the text %.40q", x)
	case []any:
		return fmt.Sprintf("a list of %d", len(x))
	case map[string]any:
		return fmt.Sprintf("a map of %d keys", len(x))
	}
	return fmt.Sprint(v)
}
