package schema

import (
	"encoding/json"
	"math"
)

// Origin is where a value of a plan comes from.
type Origin string

// The origins of a value.
const (
	FromPlan     Origin = "plan"     // the plan's own text
	FromDefaults Origin = "defaults" // a file that the section names in `defaults:`
	FromBuiltIn  Origin = "built-in" // nothing says it: what the code does then
)

const builtInFile = "built-in:"

// Origin tells where a value comes from; file is the plan's name, the path of
// the defaults file, or "".
func (n *Node) Origin() (origin Origin, file string) {
	switch {
	case n.File == builtInFile:
		return FromBuiltIn, ""
	case fromDefaults(n.File):
		return FromDefaults, n.File[len(defaultsPrefix):]
	}
	return FromPlan, n.File
}

// BuiltIn is the node of a value that neither a plan nor a defaults file holds.
// v is what encoding/json makes of a document: numbers without a fraction become
// integers, and the keys of maps are sorted where it matters.
func BuiltIn(v any) *Node {
	n := &Node{File: builtInFile}
	switch v := v.(type) {
	case bool:
		n.Kind, n.Bool = KindBool, v
	case string:
		n.Kind, n.Text = KindString, v
	case float64:
		n.Kind, n.Float = KindFloat, v
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			n.Kind, n.Int, n.Float = KindInt, int64(v), 0
		}
	case json.Number:
		f, _ := v.Float64() // a number of JSON has one
		return BuiltIn(f)
	case []any:
		n.Kind = KindList
		for _, item := range v {
			n.Items = append(n.Items, BuiltIn(item))
		}
	case map[string]any:
		n.Kind = KindMap
		for key, value := range v {
			n.Pairs = append(n.Pairs, Pair{BuiltIn(key), BuiltIn(value)})
		}
		n.Pairs = sortedPairs(n.Pairs)
	}
	return n
}

// Hash is the SHA-384, in hex, of the canonical dump with `auto` still in it: the
// first 8 digits are in the federation id.
func (p *Plan) Hash() string { return hash(p.config) }
