package check

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"fx/schema"
)

// describe says in words what a keyword allows.
func describe(keyword string, fragment map[string]any) string {
	value := fragment[keyword]
	switch keyword {
	case "type":
		return typeWords(value)
	case "const":
		return jsonText(value)
	case "enum":
		if words := wordsOf(keyword, fragment); len(words) > 3 && strings.Contains(words[0], ".") {
			return strings.Join(classes(words), ", ")
		}
		return joinJSON(value)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return bounds(fragment)
	case "minLength":
		return "a string that is not empty"
	case "minItems":
		return "at least " + jsonText(value) + " in the list"
	case "maxItems":
		return "at most " + jsonText(value) + " in the list"
	case "maxLength":
		return "at most " + jsonText(value) + " characters"
	case "pattern":
		if d, ok := fragment["description"].(string); ok {
			return d
		}
		return "text that matches " + jsonText(value)
	case "anyOf", "oneOf":
		if words := wordsOf(keyword, fragment); len(words) > 1 {
			return strings.Join(append(classes(words), "src.…"), ", ")
		}
		if title, ok := fragment["title"].(string); ok {
			return title
		}
	}
	return ""
}

func typeWords(value any) string {
	names := map[string]string{
		"object": "a map", "array": "a list", "string": "a string", "integer": "an integer",
		"number": "a number", "boolean": "true or false", "null": "null",
	}
	var words []string
	for _, t := range append(stringsOf(value), stringsOf([]any{value})...) {
		words = append(words, names[t])
	}
	return strings.Join(words, " or ")
}

func bounds(fragment map[string]any) string {
	var words []string
	for _, b := range []struct{ key, word string }{{"minimum", "from "}, {"exclusiveMinimum", "above "}, {"maximum", "to "}, {"exclusiveMaximum", "below "}} {
		if v, ok := fragment[b.key]; ok {
			words = append(words, b.word+jsonText(v))
		}
	}
	return strings.Join(words, " ")
}

// wordsOf lists the strings that an enum, or the enums of an anyOf, allow.
func wordsOf(keyword string, fragment map[string]any) []string {
	switch keyword {
	case "enum":
		return stringsOf(fragment["enum"])
	case "const":
		return stringsOf([]any{fragment["const"]})
	case "anyOf", "oneOf":
		var words []string
		list, _ := fragment[keyword].([]any)
		for _, item := range list {
			if m, ok := item.(map[string]any); ok {
				words = append(words, wordsOf("enum", m)...)
				if _, ok := m["const"]; ok {
					words = append(words, wordsOf("const", m)...)
				}
			}
		}
		return words
	}
	return nil
}

// classes leaves one spelling of each class.
func classes(words []string) []string {
	var out []string
	for _, w := range words {
		if c := schema.CanonicalTemplate(w); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func stringsOf(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func keysOf(v any) []string {
	m, _ := v.(map[string]any)
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func jsonText(v any) string {
	if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatInt(int64(f), 10)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

func joinJSON(v any) string {
	list, _ := v.([]any)
	words := make([]string, len(list))
	for i, item := range list {
		if s, ok := item.(string); ok && s != "" {
			words[i] = s
		} else {
			words[i] = jsonText(item)
		}
	}
	return strings.Join(words, ", ")
}
