package check

import (
	"slices"
	"strings"

	"fx/schema"
)

// Key is what the JSON Schema says about one key of a plan.
type Key struct {
	Name     string
	Type     string // in words: "an integer from 1"
	Default  any    // as JSON; meaningful only if Defaulted
	Meaning  string
	Since    string // first version: "1.6" for OpenFL 1.6 or earlier, …, "fx" for what only fx has
	Until    string // last version of OpenFL that knows it, "" if it still does
	Use      string // the name that the key has now, if it was renamed
	Negated  bool   // the new name has the opposite meaning
	Idle     bool   // no effect in fx
	Required bool

	Defaulted bool
}

// Settings lists the keys of a section's settings, sorted. template decides
// where the section has several; keys of a class that the schema does not know
// are not listed.
func Settings(section, template string) []Key {
	return keysIn(settingsOf(definition(section), template))
}

// Arguments lists the keys of the kwargs of a task's function, sorted, under the
// task runner of that template; of a task runner that is Python, those that
// OpenFL gives a meaning.
func Arguments(taskRunner, function string) []Key {
	for _, branch := range branches(schemaDocument()) {
		if !slices.Contains(stringsOf(object(branch, "if", "properties", "task_runner", "properties", "template")["enum"]), taskRunner) {
			continue
		}
		task := resolve(object(branch, "then", "properties", "tasks", "additionalProperties"))
		for _, f := range branches(task) {
			if object(f, "if", "properties", "function")["const"] == function {
				return keysIn(object(f, "then", "properties", "kwargs"))
			}
		}
	}
	if !strings.Contains(function, "valid") {
		return nil // only validation has a choice of models
	}
	return keysIn(object(definition("task"), "properties", "kwargs"))
}

// settingsOf is the object that describes the settings of a template in a
// section or in an aggregation type, nil if they are free.
func settingsOf(section map[string]any, template string) map[string]any {
	for _, branch := range branches(section) {
		if slices.Contains(stringsOf(object(branch, "if", "properties", "template")["enum"]), template) {
			return resolve(object(branch, "then", "properties", "settings"))
		}
	}
	return resolve(object(section, "properties", "settings"))
}

func keysIn(def map[string]any) []Key {
	properties := object(def, "properties")
	required := stringsOf(def["required"])
	var keys []Key
	for _, name := range keysOf(any(properties)) {
		p := object(properties, name)
		k := keyOf(name, p)
		k.Required = slices.Contains(required, name)
		keys = append(keys, k)
	}
	return keys
}

func keyOf(name string, p map[string]any) Key {
	whole := resolve(p)
	text := func(key string) string {
		if s, ok := p[key].(string); ok {
			return s
		}
		s, _ := whole[key].(string)
		return s
	}
	k := Key{Name: name, Type: typeOf(whole), Meaning: text("description"), Since: text("x-since"), Until: text("x-until"), Use: text("x-use")}
	k.Negated, _ = p["x-negated"].(bool)
	k.Idle, _ = p["x-idle"].(bool)
	k.Default, k.Defaulted = p["default"]
	return k
}

// typeOf says in words what a value may be.
func typeOf(p map[string]any) string {
	for _, keyword := range []string{"enum", "anyOf"} {
		if words := wordsOf(keyword, p); len(words) > 1 {
			if keyword == "anyOf" {
				words = append(words, "src.…")
			}
			return strings.Join(classes(words), ", ")
		}
	}
	for _, keyword := range []string{"enum", "const"} {
		if _, ok := p[keyword]; ok {
			return describe(keyword, p)
		}
	}
	if title, ok := p["title"].(string); ok && p["anyOf"] != nil {
		return title
	}
	var parts []string
	for _, t := range append(stringsOf(p["type"]), stringsOf([]any{p["type"]})...) {
		words := typeWords(t)
		switch t {
		case "integer", "number":
			words += " " + strings.TrimSuffix(bounds(p), " to 2147483647")
		case "array":
			words += itemsOf(resolve(object(p, "items")))
		}
		parts = append(parts, strings.TrimSpace(words))
	}
	return strings.Join(parts, " or ")
}

// itemsOf is " of strings" and the like, for a list of what items describes.
func itemsOf(items map[string]any) string {
	of := typeOf(items)
	if of == "" {
		return ""
	}
	for _, kind := range []string{"string", "number", "integer", "map", "list"} {
		for _, article := range []string{"a ", "an "} {
			if rest, ok := strings.CutPrefix(of, article+kind); ok {
				return " of " + kind + "s" + rest
			}
		}
	}
	return " of " + of
}

func schemaDocument() map[string]any { return loadSchema().document.(map[string]any) }

func definition(name string) map[string]any { return object(schemaDocument(), "$defs", name) }

// resolve follows a reference to a definition.
func resolve(p map[string]any) map[string]any {
	if ref, ok := p["$ref"].(string); ok {
		return definition(strings.TrimPrefix(ref, "#/$defs/"))
	}
	return p
}

// object follows keys through objects; what is not there is an empty object.
func object(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		m, _ = m[k].(map[string]any)
	}
	return m
}

// branches lists what stands under allOf.
func branches(m map[string]any) []map[string]any {
	items, _ := m["allOf"].([]any)
	var out []map[string]any
	for _, item := range items {
		if o, ok := item.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

// templateOf is the template of a section that names none, "" if it must.
func templateOf(section string) string {
	t, _ := object(definition(section), "properties", "template")["default"].(string)
	return t
}

// hasSection tells whether a section may stand in a plan.
func hasSection(name string) bool { return slices.Contains(schema.Sections(), name) }
