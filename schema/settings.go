package schema

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Settings reads the settings of a component, key by key. The first value that
// will not do is remembered, and so is every key that was asked for: what is
// left over in the end is unknown. [Build] makes one and ends it.
type Settings struct {
	values  map[string]any
	known   []string
	problem string
}

func (s *Settings) take(key string) (any, bool) {
	s.known = append(s.known, key)
	v, ok := s.values[key]
	return v, ok
}

func (s *Settings) refuse(key, allowed string) {
	if s.problem == "" {
		s.problem = fmt.Sprintf("%s is %s; allowed is %s", key, shorten(fmt.Sprintf("%#v", s.values[key])), allowed)
	}
}

// Number reads a number that ok accepts; allowed says in words which those are.
func (s *Settings) Number(key string, fallback float64, ok func(float64) bool, allowed string) float64 {
	v, set := s.take(key)
	if !set {
		return fallback
	}
	n, isNumber := settingNumber(v)
	if !isNumber || math.IsNaN(n) || !ok(n) {
		s.refuse(key, allowed)
		return fallback
	}
	return n
}

func settingNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Integer reads an integer from least to most.
func (s *Settings) Integer(key string, fallback, least, most int) int {
	v, set := s.take(key)
	if !set {
		return fallback
	}
	n, isInt := v.(int)
	if !isInt || n < least || n > most {
		s.refuse(key, fmt.Sprintf("an integer from %d to %d", least, most))
		return fallback
	}
	return n
}

// Numbers reads a list of as many numbers as fallback has, each of which ok
// accepts.
func (s *Settings) Numbers(key string, fallback []float64, ok func(float64) bool, allowed string) []float64 {
	v, set := s.take(key)
	if !set {
		return fallback
	}
	list, isList := v.([]any)
	if !isList || len(list) != len(fallback) {
		s.refuse(key, allowed)
		return fallback
	}
	out := make([]float64, len(list))
	for i, item := range list {
		n, isNumber := settingNumber(item)
		if !isNumber || math.IsNaN(n) || !ok(n) {
			s.refuse(key, allowed)
			return fallback
		}
		out[i] = n
	}
	return out
}

// Null accepts keys only without a value: in OpenFL they hold what YAML cannot
// say.
func (s *Settings) Null(keys ...string) {
	for _, key := range keys {
		if v, _ := s.take(key); v != nil {
			s.refuse(key, "null, or to leave the key out: only Python code can set it")
		}
	}
}

// Component reads a component inside a component: a map with a template and,
// perhaps, settings.
func (s *Settings) Component(key string) Component {
	v, set := s.take(key)
	m, isMap := v.(map[string]any)
	inner := Component{Settings: map[string]any{}}
	template, isText := m["template"].(string)
	settings, isSettings := m["settings"].(map[string]any)
	if m["settings"] == nil {
		isSettings = true
	}
	extra := slices.DeleteFunc(sortedKeys(m), func(k string) bool { return k == "template" || k == "settings" })
	switch {
	case !set && s.problem == "":
		s.problem = key + " is missing; it is a map with a template and its settings"
	case !isMap || !isText || template == "" || !isSettings || len(extra) > 0:
		s.refuse(key, "a map with a template and its settings")
	default:
		inner.Template = CanonicalTemplate(template)
		if settings != nil {
			inner.Settings = settings
		}
	}
	return inner
}

// Refuse says that the settings do not go together, or do not do for another
// reason than the range of one value.
func (s *Settings) Refuse(problem string) {
	if s.problem == "" {
		s.problem = problem
	}
}

// end is what is wrong with the settings of a component of that name, or "".
func (s *Settings) end(name string) string {
	unknown := slices.DeleteFunc(sortedKeys(s.values), func(k string) bool { return slices.Contains(s.known, k) })
	switch {
	case len(unknown) > 0 && len(s.known) == 0:
		return fmt.Sprintf("%s takes no settings, found %s", name, strings.Join(unknown, ", "))
	case len(unknown) > 0:
		slices.Sort(s.known)
		text := fmt.Sprintf("%s has no setting %q; allowed: %s", name, unknown[0], strings.Join(slices.Compact(s.known), ", "))
		if hint := DidYouMean(unknown[0], s.known); hint != "" {
			text += "; " + hint
		}
		return text
	case s.problem != "":
		return name + ": " + s.problem
	}
	return ""
}
