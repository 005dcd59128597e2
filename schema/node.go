package schema

import (
	"fmt"
	"math"
	"strconv"
)

// Kind is the type that PyYAML's safe loader gives to a YAML node.
type Kind uint8

// The kinds of a Node.
const (
	KindNull Kind = iota
	KindBool
	KindInt
	KindFloat
	KindString
	KindTime // a date or a point in time
	KindList
	KindMap
)

// Node is a value of a YAML document with its position. An alias in the source
// is the same *Node in two places, as it is the same object in Python.
type Node struct {
	Kind         Kind
	File         string
	Line, Column int // from 1; Column counts characters

	Bool  bool
	Int   int64
	Float float64
	Text  string // string; time in Python's isoformat
	Items []*Node
	Pairs []Pair // document order, keys unique
}

// Pair is one entry of a map.
type Pair struct{ Key, Value *Node }

// Lookup returns the value of a string key of a map, or nil.
func (n *Node) Lookup(key string) *Node {
	if n == nil || n.Kind != KindMap {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Kind == KindString && p.Key.Text == key {
			return p.Value
		}
	}
	return nil
}

// Key returns the key node of a string key of a map, or nil.
func (n *Node) Key(key string) *Node {
	if n == nil || n.Kind != KindMap {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Kind == KindString && p.Key.Text == key {
			return p.Key
		}
	}
	return nil
}

// Entries is the pairs of a map, and nothing of anything else.
func (n *Node) Entries() []Pair {
	if n == nil || n.Kind != KindMap {
		return nil
	}
	return n.Pairs
}

// At follows string keys from n and returns the node there, or nil.
func (n *Node) At(keys ...string) *Node {
	for _, k := range keys {
		n = n.Lookup(k)
	}
	return n
}

// set replaces the value of a key, or appends the pair. As in a Python dict the
// first key stays, except that a word takes the new position.
func (n *Node) set(key *Node, value *Node) {
	id := keyIdentity(key)
	for i := range n.Pairs {
		if keyIdentity(n.Pairs[i].Key) == id {
			n.Pairs[i].Value = value
			if key.Kind == KindString {
				n.Pairs[i].Key = key
			}
			return
		}
	}
	n.Pairs = append(n.Pairs, Pair{key, value})
}

// update sets every pair of other.
func (n *Node) update(other *Node) {
	at := indexKeys(n)
	for _, p := range other.Pairs {
		put(n, at, p)
		if i := at[keyIdentity(p.Key)]; p.Key.Kind == KindString {
			n.Pairs[i].Key = p.Key
		}
	}
}

// remove deletes a string key and returns its value, or nil.
func (n *Node) remove(key string) *Node {
	for i, p := range n.Pairs {
		if p.Key.Kind == KindString && p.Key.Text == key {
			n.Pairs = append(n.Pairs[:i:i], n.Pairs[i+1:]...)
			return p.Value
		}
	}
	return nil
}

// KeyText is the text of a key as it appears in a path and in a decoded map.
func (n *Node) KeyText() string {
	switch n.Kind {
	case KindString, KindTime:
		return n.Text
	default:
		text, _ := scalarText(n)
		return text
	}
}

// Any converts the node to Go values: nil, bool, int, float64, string, []any
// and map[string]any. Times become their text.
func (n *Node) Any() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case KindBool:
		return n.Bool
	case KindInt:
		return int(n.Int)
	case KindFloat:
		return n.Float
	case KindString, KindTime:
		return n.Text
	case KindList:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.Any()
		}
		return list
	case KindMap:
		m := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			m[p.Key.KeyText()] = p.Value.Any()
		}
		return m
	default:
		return nil
	}
}

// Describe says what the node is, for messages: `string "x"`, `integer 3`.
func (n *Node) Describe() string {
	if n == nil {
		return "nothing"
	}
	switch n.Kind {
	case KindNull:
		return "null"
	case KindBool:
		return strconv.FormatBool(n.Bool)
	case KindInt:
		return "integer " + strconv.FormatInt(n.Int, 10)
	case KindFloat:
		return "number " + floatText(n.Float)
	case KindString:
		return "string " + strconv.Quote(shorten(n.Text))
	case KindTime:
		return "date " + n.Text
	case KindList:
		return fmt.Sprintf("a list of %d", len(n.Items))
	default:
		return fmt.Sprintf("a map of %d", len(n.Pairs))
	}
}

// finding starts a finding at the node.
func (n *Node) finding(id, path, format string, a ...any) Finding {
	return Finding{
		ID: id, Severity: SeverityError, File: n.File, Line: n.Line, Column: n.Column,
		Path: path, Message: fmt.Sprintf(format, a...),
	}
}

// Finding starts a finding of severity error at the node.
func (n *Node) Finding(id, path, message string) Finding {
	return n.finding(id, path, "%s", message)
}

// number returns the numeric value of an int or float node.
func (n *Node) number() (float64, bool) {
	switch {
	case n == nil:
		return 0, false
	case n.Kind == KindInt:
		return float64(n.Int), true
	case n.Kind == KindFloat && !math.IsNaN(n.Float):
		return n.Float, true
	}
	return 0, false
}

// keyIdentity is equal for keys that are the same key of a Python dict: 1, 1.0
// and True are one key.
func keyIdentity(n *Node) string {
	switch n.Kind {
	case KindBool:
		if n.Bool {
			return "n1"
		}
		return "n0"
	case KindInt:
		return "n" + strconv.FormatInt(n.Int, 10)
	case KindFloat:
		if i := int64(n.Float); float64(i) == n.Float {
			return "n" + strconv.FormatInt(i, 10)
		}
		return "f" + floatText(n.Float)
	case KindString:
		return "s" + n.Text
	default:
		return "z"
	}
}

func shorten(s string) string {
	const limit = 60
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	return string(r[:limit]) + "…"
}

// Child is the path of a key below path: a.b, or a["b c"] when the key is not
// a plain word.
func Child(path, key string) string {
	for i, r := range key {
		letter := r == '_' || r == '-' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return path + "[" + strconv.Quote(key) + "]"
		}
	}
	switch {
	case key == "":
		return path + `[""]`
	case path == "":
		return key
	}
	return path + "." + key
}

// Index is the path of a list item below path: a[3].
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
