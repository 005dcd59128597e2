package check

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"fx/schema"
)

// rules is the JSON Schema of a plan: as a document, and ready to be applied.
type rules struct {
	document any
	root     *fragment
}

var loadSchema = sync.OnceValue(readSchema)

func readSchema() rules {
	var r rules
	if err := json.Unmarshal([]byte(schema.PlanSchema()), &r.document); err != nil {
		panic(err) // the schema is embedded: a bug
	}
	c := compiler{document: r.document, done: map[string]*fragment{}}
	r.root = c.fragment(r.document)
	return r
}

// againstSchema validates the merged plan and says what is wrong.
func againstSchema(config *schema.Node) schema.Findings {
	var e evaluation
	e.valid(loadSchema().root, spot{config, config, ""}, true)
	return e.out
}

// spot is a value, the node to complain at about what it lacks (its key), and
// its path.
type spot struct {
	node, where *schema.Node
	path        string
}

// complain turns the failure of a keyword into findings.
func (e *evaluation) complain(at spot, keyword string, fragment map[string]any) {
	node, where, path := at.node, at.where, at.path
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
				e.out = append(e.out, f)
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
			e.out = append(e.out, f)
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
		e.out = append(e.out, f)
	}
}
