package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"fx/schema"
)

const schemaURL = "urn:fx:plan"

// compiled is the schema twice: for the validator, and as a document in which to
// look up what a keyword allows.
type compiled struct {
	validator *jsonschema.Schema
	document  any
}

var loadSchema = sync.OnceValue(func() compiled {
	c := compiled{validator: jsonschema.MustCompileString(schemaURL, schema.PlanSchema())}
	if err := json.Unmarshal([]byte(schema.PlanSchema()), &c.document); err != nil {
		panic(err) // the schema is embedded: a bug
	}
	return c
})

// againstSchema validates the merged plan and translates each error into a
// finding.
func againstSchema(config *schema.Node) schema.Findings {
	c := loadSchema()
	err := c.validator.Validate(instance(config))
	if err == nil {
		return nil
	}
	failure, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return schema.Findings{config.Finding("document", "", err.Error())}
	}
	t := translator{document: c.document, config: config}
	t.walk(failure)
	return t.out
}

// instance converts a node for the validator, which knows no infinity and no
// NaN: the first becomes the largest number, the second null.
func instance(n *schema.Node) any {
	switch n.Kind {
	case schema.KindFloat:
		switch {
		case math.IsInf(n.Float, 1):
			return math.MaxFloat64
		case math.IsInf(n.Float, -1):
			return -math.MaxFloat64
		case math.IsNaN(n.Float):
			return nil
		}
		return n.Float
	case schema.KindInt:
		return json.Number(strconv.FormatInt(n.Int, 10))
	case schema.KindList:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = instance(item)
		}
		return list
	case schema.KindMap:
		m := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			m[p.Key.KeyText()] = instance(p.Value)
		}
		return m
	default:
		return n.Any()
	}
}

// translator turns the validator's tree of errors into findings.
type translator struct {
	document any
	config   *schema.Node
	out      schema.Findings
}

func (t *translator) walk(e *jsonschema.ValidationError) {
	keyword, fragment := t.fragment(e.AbsoluteKeywordLocation)
	if keyword == "anyOf" || keyword == "oneOf" {
		t.report(e, keyword, fragment)
		return
	}
	for _, cause := range e.Causes {
		t.walk(cause)
	}
	if len(e.Causes) == 0 {
		t.report(e, keyword, fragment)
	}
}

// fragment is the schema object that holds the keyword of a location.
func (t *translator) fragment(location string) (keyword string, object map[string]any) {
	_, pointer, _ := strings.Cut(location, "#")
	steps := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	at := t.document
	for _, step := range steps[:len(steps)-1] {
		switch v := at.(type) {
		case map[string]any:
			at = v[unescape(step)]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return "", nil
			}
			at = v[i]
		}
	}
	object, _ = at.(map[string]any)
	return steps[len(steps)-1], object
}

func unescape(step string) string {
	if s, err := url.PathUnescape(step); err == nil {
		step = s
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
}

// locate follows an instance location; where is the key of the last map entry
// on the way, for complaints about what a map lacks.
func (t *translator) locate(location string) (node, where *schema.Node, path string) {
	node, where = t.config, t.config
	for _, step := range strings.Split(strings.TrimPrefix(location, "/"), "/") {
		step = unescape(step)
		switch {
		case location == "":
		case node.Kind == schema.KindList:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Items) {
				node, path = node.Items[i], schema.Index(path, i)
				where = node
			}
		default:
			for _, p := range node.Pairs {
				if p.Key.KeyText() == step {
					node, where, path = p.Value, p.Key, schema.Child(path, step)
					break
				}
			}
		}
	}
	return node, where, path
}

func (t *translator) report(e *jsonschema.ValidationError, keyword string, fragment map[string]any) {
	node, where, path := t.locate(e.InstanceLocation)
	allowed := describe(keyword, fragment)
	switch keyword {
	case "required":
		for _, name := range stringsOf(fragment["required"]) {
			if node.Lookup(name) == nil {
				word := "key"
				if path == "" {
					word = "section"
				}
				f := where.Finding("missing-key", path, fmt.Sprintf("the %s %q is missing", word, name))
				t.out = append(t.out, f)
			}
		}
	case "additionalProperties":
		known := keysOf(fragment["properties"])
		for _, p := range node.Pairs {
			name := p.Key.KeyText()
			if slices.Contains(known, name) {
				continue
			}
			f := p.Key.Finding("unknown-key", schema.Child(path, name), "there is no such key")
			f.Found, f.Allowed = p.Key.Describe(), strings.Join(known, ", ")
			if len(known) == 0 {
				f.Allowed = "no key at all"
			}
			f.Hint = schema.DidYouMean(name, known)
			t.out = append(t.out, f)
		}
	default:
		id, message := "value", "the value is not allowed"
		switch keyword {
		case "type":
			id, message = "type", "wrong type"
		case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
			id, message = "out-of-range", "the value is out of range"
		case "minLength", "minItems":
			id, message = "empty-value", "there is too little here"
		}
		words := wordsOf(keyword, fragment)
		if strings.HasSuffix(path, ".template") {
			id, message = "unknown-template", "there is no such template"
		}
		f := node.Finding(id, path, message)
		f.Found, f.Allowed = node.Describe(), allowed
		if node.Kind == schema.KindString {
			f.Hint = schema.DidYouMean(node.Text, words)
		}
		if f.Hint == "" {
			f.Hint = schema.YAMLHint(node, allowed)
		}
		t.out = append(t.out, f)
	}
}
