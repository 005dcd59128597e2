package command

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"

	"fx/cli/ui"
	"fx/schema"
)

// annotated is one line of YAML and the comment behind it.
type annotated struct{ text, comment string }

// writeAnnotated writes the sections of a plan as YAML in document order, with
// the note of each value as a comment.
func writeAnnotated(w io.Writer, plan *schema.Node, note func(*schema.Node) string) error {
	for _, section := range plan.Pairs {
		lines := annotatedPair(section, "", note)
		width := 0
		for _, l := range lines {
			if n := utf8.RuneCountInString(l.text); l.comment != "" && n <= 64 {
				width = max(width, n)
			}
		}
		var b strings.Builder
		b.WriteString("\n")
		for _, l := range lines {
			text := ui.Clean(l.text)
			if l.comment != "" {
				text += strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + "  # " + line(l.comment)
			}
			b.WriteString(text + "\n")
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func annotatedPair(p schema.Pair, indent string, note func(*schema.Node) string) []annotated {
	key := indent + inline(p.Key, true) + ":"
	switch v := p.Value; {
	case v.Kind == schema.KindMap && len(v.Pairs) > 0:
		lines := []annotated{{key, ""}}
		for _, child := range v.Pairs {
			lines = append(lines, annotatedPair(child, indent+"  ", note)...)
		}
		return lines
	case v.Kind == schema.KindList && !flat(v):
		return append([]annotated{{key, ""}}, annotatedItems(v, indent, note)...)
	default:
		return []annotated{{key + " " + inline(v, false), note(v)}}
	}
}

func annotatedItems(list *schema.Node, indent string, note func(*schema.Node) string) []annotated {
	var lines []annotated
	for _, item := range list.Items {
		var inside []annotated
		switch {
		case item.Kind == schema.KindMap && len(item.Pairs) > 0:
			for _, child := range item.Pairs {
				inside = append(inside, annotatedPair(child, indent+"  ", note)...)
			}
		case item.Kind == schema.KindList && !flat(item):
			inside = annotatedItems(item, indent+"  ", note)
		default:
			inside = []annotated{{indent + "  " + inline(item, false), note(item)}}
		}
		inside[0].text = indent + "- " + inside[0].text[len(indent)+2:]
		lines = append(lines, inside...)
	}
	return lines
}

// flat tells whether a list has only scalars, which fit on one line.
func flat(list *schema.Node) bool {
	for _, item := range list.Items {
		if len(item.Items) > 0 || len(item.Pairs) > 0 {
			return false
		}
	}
	return true
}

// inline is a value on one line: a scalar, a list of scalars, or an empty map.
// Inside a list, or as a key, a text with separators is quoted.
func inline(n *schema.Node, inside bool) string {
	switch n.Kind {
	case schema.KindMap:
		return "{}"
	case schema.KindList:
		items := make([]string, len(n.Items))
		for i, item := range n.Items {
			items[i] = inline(item, true)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	text := string(schema.Dump(&schema.Node{Kind: schema.KindList, Items: []*schema.Node{n}}))
	text = strings.TrimSuffix(strings.TrimPrefix(text, "- "), "\n")
	if n.Kind != schema.KindString || !strings.Contains(text, "\n") && !strings.HasPrefix(text, `"`) && (!inside || !strings.ContainsAny(text, ",[]{}")) {
		return text
	}
	return quoted(n.Text)
}

// quoted is a text in double quotes, as JSON and YAML both read it.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // a string can be encoded: cannot happen
	}
	return strings.TrimSuffix(b.String(), "\n")
}
