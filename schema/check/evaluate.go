package check

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"fx/schema"
)

// evaluation applies the schema to the nodes of a plan: the keywords of draft
// 2020-12 that the schema uses, and no others (TestSchemaKeywords). A library for
// all schemas takes longer to start than all the rest; that both agree is tested.
type evaluation struct{ out schema.Findings }

// annotations are keywords that say nothing about what is valid.
var annotations = []string{"$schema", "$id", "$defs", "title", "description", "default", "examples"}

// keywords are those that evaluation knows, in the order in which it reports.
var keywords = []string{
	"$ref", "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern",
	"minItems", "maxItems", "uniqueItems", "maxProperties", "required", "additionalProperties", "properties", "items", "allOf", "anyOf", "if",
}

// fragment is a part of the schema that says what one value must be.
type fragment struct {
	source map[string]any // nil for a schema that is true or false
	always bool
	checks []check
}

// check is one keyword.
type check struct {
	keyword string
	value   any                  // as it stands in the schema
	parts   []*fragment          // of $ref, items, additionalProperties, allOf, anyOf, and if: then and else may be nil
	named   map[string]*fragment // of properties, also for additionalProperties
	pattern *regexp.Regexp
}

// compiler makes fragments of a schema. What is wrong with it is a bug: it is
// embedded.
type compiler struct {
	document any
	done     map[string]*fragment // by $ref
}

func (c *compiler) fragment(v any) *fragment {
	source, ok := v.(map[string]any)
	if !ok {
		return &fragment{always: v.(bool)}
	}
	f := &fragment{source: source}
	for _, keyword := range keywords {
		value, ok := source[keyword]
		if !ok {
			continue
		}
		k := check{keyword: keyword, value: value}
		switch keyword {
		case "$ref":
			k.parts = []*fragment{c.definition(value.(string))}
		case "pattern":
			k.pattern = regexp.MustCompile(value.(string))
		case "items":
			k.parts = []*fragment{c.fragment(value)}
		case "properties":
			k.named = c.properties(source)
		case "additionalProperties":
			k.parts, k.named = []*fragment{c.fragment(value)}, c.properties(source)
		case "allOf", "anyOf":
			for _, part := range value.([]any) {
				k.parts = append(k.parts, c.fragment(part))
			}
		case "if":
			k.parts = []*fragment{c.fragment(value), nil, nil}
			for i, branch := range []string{"then", "else"} {
				if part, ok := source[branch]; ok {
					k.parts[i+1] = c.fragment(part)
				}
			}
		}
		f.checks = append(f.checks, k)
	}
	return f
}

func (c *compiler) properties(source map[string]any) map[string]*fragment {
	properties, _ := source["properties"].(map[string]any)
	out := make(map[string]*fragment, len(properties))
	for name, v := range properties {
		out[name] = c.fragment(v)
	}
	return out
}

// definition follows a reference inside the schema.
func (c *compiler) definition(ref string) *fragment {
	if f, ok := c.done[ref]; ok {
		return f
	}
	at := c.document
	for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(map[string]any)[step]
	}
	f := new(fragment)
	c.done[ref] = f // before its content, which may refer to it
	*f = *c.fragment(at)
	return f
}

// valid tells whether the value at a spot fits a fragment, and says why not, if
// report is set.
func (e *evaluation) valid(f *fragment, at spot, report bool) bool {
	if f.source == nil {
		return f.always
	}
	fits := true
	for i := range f.checks {
		k := &f.checks[i]
		holds, nested := e.holds(k, at, report)
		if !holds && !nested && report {
			e.complain(at, k.keyword, f.source)
		}
		if fits = fits && holds; !fits && !report {
			return false
		}
	}
	return fits
}

// holds tells whether one keyword holds; nested tells that it has been said why
// not.
func (e *evaluation) holds(k *check, at spot, report bool) (holds, nested bool) {
	n := at.node
	switch k.keyword {
	case "type":
		return hasType(n, k.value), false
	case "enum":
		return slices.ContainsFunc(k.value.([]any), func(v any) bool { return equal(n, v) }), false
	case "const":
		return equal(n, k.value), false
	case "pattern":
		return !isText(n) || k.pattern.MatchString(n.Text), false
	case "required":
		return n.Kind != schema.KindMap || !slices.ContainsFunc(k.value.([]any), func(v any) bool { return entry(n, v.(string)) == nil }), false
	case "properties", "items", "additionalProperties":
		return e.children(k, at, report)
	case "$ref", "allOf":
		holds = true
		for _, part := range k.parts {
			holds = e.valid(part, at, report) && holds
		}
		return holds, true
	case "anyOf":
		return slices.ContainsFunc(k.parts, func(part *fragment) bool { return e.valid(part, at, false) }), false
	case "if":
		branch := k.parts[2]
		if e.valid(k.parts[0], at, false) {
			branch = k.parts[1]
		}
		return branch == nil || e.valid(branch, at, report), true
	default:
		return withinBounds(k.keyword, k.value, n), false
	}
}

// children applies the schemas of what is inside a map or a list.
func (e *evaluation) children(k *check, at spot, report bool) (holds, nested bool) {
	n := at.node
	holds = true
	if k.keyword == "items" {
		for i, item := range n.Items {
			holds = e.valid(k.parts[0], spot{item, item, schema.Index(at.path, i)}, report) && holds
		}
		return holds, true
	}
	for _, p := range n.Entries() {
		name := p.Key.KeyText()
		f, known := k.named[name]
		if k.keyword == "additionalProperties" {
			if known {
				continue
			}
			if f = k.parts[0]; f.source == nil && !f.always {
				return false, false
			}
		} else if !known {
			continue
		}
		path := ""
		if report {
			path = schema.Child(at.path, name)
		}
		holds = e.valid(f, spot{p.Value, p.Key, path}, report) && holds
	}
	return holds, true
}

// entry is the value of a key as a path spells it, or nil.
func entry(n *schema.Node, name string) *schema.Node {
	for _, p := range n.Entries() {
		if p.Key.KeyText() == name {
			return p.Value
		}
	}
	return nil
}

// isText tells whether a value is a string to JSON; a date is its text.
func isText(n *schema.Node) bool { return n.Kind == schema.KindString || n.Kind == schema.KindTime }

// asNumber is the number that a value is to JSON, which has no infinity and no
// NaN: the first is the largest number, the second is null.
func asNumber(n *schema.Node) (float64, bool) {
	switch {
	case n.Kind == schema.KindInt:
		return float64(n.Int), true
	case n.Kind == schema.KindFloat && !math.IsNaN(n.Float):
		return max(-math.MaxFloat64, min(math.MaxFloat64, n.Float)), true
	}
	return 0, false
}

func hasType(n *schema.Node, value any) bool {
	names, ok := value.([]any)
	if !ok {
		names = []any{value}
	}
	number, isNumber := asNumber(n)
	return slices.ContainsFunc(names, func(name any) bool {
		switch name {
		case "object":
			return n.Kind == schema.KindMap
		case "array":
			return n.Kind == schema.KindList
		case "string":
			return isText(n)
		case "boolean":
			return n.Kind == schema.KindBool
		case "null":
			return n.Kind == schema.KindNull || n.Kind == schema.KindFloat && !isNumber
		case "integer":
			return isNumber && number == math.Trunc(number)
		}
		return isNumber // "number"
	})
}

// equal compares a value with one of the schema.
func equal(n *schema.Node, value any) bool {
	switch v := value.(type) {
	case nil:
		return hasType(n, "null")
	case bool:
		return n.Kind == schema.KindBool && n.Bool == v
	case float64:
		number, ok := asNumber(n)
		return ok && number == v
	case string:
		return isText(n) && n.Text == v
	case []any:
		return n.Kind == schema.KindList && slices.EqualFunc(n.Items, v, equal)
	case map[string]any:
		if n.Kind != schema.KindMap || len(n.Pairs) != len(v) {
			return false
		}
		for key, want := range v {
			if got := entry(n, key); got == nil || !equal(got, want) {
				return false
			}
		}
		return true
	}
	return false
}

// withinBounds checks the keywords that have a number, and uniqueItems.
func withinBounds(keyword string, value any, n *schema.Node) bool {
	limit, _ := value.(float64)
	number, isNumber := asNumber(n)
	length := float64(utf8.RuneCountInString(n.Text))
	switch keyword {
	case "minimum":
		return !isNumber || number >= limit
	case "maximum":
		return !isNumber || number <= limit
	case "exclusiveMinimum":
		return !isNumber || number > limit
	case "exclusiveMaximum":
		return !isNumber || number < limit
	case "minLength":
		return !isText(n) || length >= limit
	case "maxLength":
		return !isText(n) || length <= limit
	case "minItems":
		return n.Kind != schema.KindList || float64(len(n.Items)) >= limit
	case "maxItems":
		return n.Kind != schema.KindList || float64(len(n.Items)) <= limit
	case "maxProperties":
		return n.Kind != schema.KindMap || float64(len(n.Pairs)) <= limit
	case "uniqueItems":
		return value == false || n.Kind != schema.KindList || unique(n.Items)
	}
	panic("the schema has the keyword " + keyword) // the schema is embedded: a bug
}

// unique tells whether no two items are equal. Items are compared by their
// canonical text.
func unique(items []*schema.Node) bool {
	seen := make(map[string]bool, len(items))
	for _, n := range items {
		text := string(schema.Dump(n))
		if seen[text] {
			return false
		}
		seen[text] = true
	}
	return true
}
