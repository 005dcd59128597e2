package schema

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// fields reads the keys of one map, collects what is wrong with them, and knows
// which keys nobody asked for.
type fields struct {
	node  *Node
	where *Node // where to complain about what is missing
	path  string
	known []string
	out   *Findings
}

func newFields(node, where *Node, path string, out *Findings) *fields {
	return &fields{node: node, where: where, path: path, out: out}
}

func (f *fields) add(finding Finding) { *f.out = append(*f.out, finding) }

func (f *fields) take(key string) *Node {
	f.known = append(f.known, key)
	return f.node.Lookup(key)
}

func (f *fields) mistyped(n *Node, key, allowed string) {
	finding := n.finding("type", Child(f.path, key), "wrong type")
	finding.Found, finding.Allowed, finding.Hint = n.Describe(), allowed, YAMLHint(n, allowed)
	f.add(finding)
}

func (f *fields) missing(key, allowed string) {
	finding := f.where.finding("missing-key", f.path, "the key %q is missing", key)
	finding.Allowed = allowed
	f.add(finding)
}

// text reads a string; "" if there is none.
func (f *fields) text(key string, required bool) string {
	n := f.take(key)
	switch {
	case n == nil && required:
		f.missing(key, "a string")
	case n == nil:
	case n.Kind != KindString:
		f.mistyped(n, key, "a string")
	case n.Text == "":
		finding := n.finding("empty-value", Child(f.path, key), "the value is empty")
		finding.Allowed = "a string that is not empty"
		f.add(finding)
	default:
		return n.Text
	}
	return ""
}

// file reads a path that must stay inside the workspace; "" if there is none.
func (f *fields) file(key string, required bool) string {
	name := f.text(key, required)
	if name == "" || filepath.IsLocal(name) && !strings.ContainsRune(name, '\\') {
		return name
	}
	n := f.node.Lookup(key)
	finding := n.finding("path-outside", Child(f.path, key), "the path leaves the workspace")
	finding.Found, finding.Allowed = n.Describe(), "a relative path with / and without .., such as save/init.pbuf"
	f.add(finding)
	return ""
}

// model reads the path of a model, whose format every command tells by its
// ending.
func (f *fields) model(key string) string {
	name := f.file(key, true)
	if name == "" || strings.HasSuffix(name, ".pbuf") {
		return name
	}
	n := f.node.Lookup(key)
	finding := n.finding("value", Child(f.path, key), "the name of a model's file ends in .pbuf")
	finding.Found, finding.Allowed = n.Describe(), "a path such as save/init.pbuf"
	f.add(finding)
	return ""
}

// word reads one of a set of strings.
func (f *fields) word(key, fallback string, allowed ...string) string {
	n := f.take(key)
	if n == nil {
		return fallback
	}
	for _, a := range allowed {
		if n.Kind == KindString && n.Text == a {
			return a
		}
	}
	finding := n.finding("value", Child(f.path, key), "the value is not one of the allowed words")
	finding.Found, finding.Allowed = n.Describe(), strings.Join(allowed, ", ")
	finding.Hint = DidYouMean(n.Text, allowed)
	f.add(finding)
	return fallback
}

// flag reads a boolean.
func (f *fields) flag(key string, fallback bool) bool {
	n := f.take(key)
	switch {
	case n == nil:
	case n.Kind != KindBool:
		f.mistyped(n, key, "true or false")
	default:
		return n.Bool
	}
	return fallback
}

// integer reads an integer of at least least.
func (f *fields) integer(key string, required bool, fallback, least int) int {
	n := f.take(key)
	switch {
	case n == nil && required:
		f.missing(key, "an integer")
	case n == nil:
	case n.Kind != KindInt:
		f.mistyped(n, key, "an integer")
	case n.Int < int64(least) || n.Int > math.MaxInt32:
		f.outOfRange(n, key, "from "+itoa(least)+" to 2147483647")
	default:
		return int(n.Int)
	}
	return fallback
}

// number reads a number above zero.
func (f *fields) number(key string, fallback float64) float64 {
	n := f.take(key)
	if n == nil {
		return fallback
	}
	v, ok := n.number()
	switch {
	case !ok:
		f.mistyped(n, key, "a number")
	case v <= 0 || v > 1e9:
		f.outOfRange(n, key, "a number above 0")
	default:
		return v
	}
	return fallback
}

func (f *fields) outOfRange(n *Node, key, allowed string) {
	finding := n.finding("out-of-range", Child(f.path, key), "the value is out of range")
	finding.Found, finding.Allowed = n.Describe(), allowed
	f.add(finding)
}

// renamed refuses a plan that has both the old and the new spelling of a key:
// OpenFL 1.9 would ignore the old one. meaning says how to write it anew.
func (f *fields) renamed(old, current, meaning string) {
	n, other := f.node.Key(old), f.node.Lookup(current)
	if n == nil || other == nil {
		return
	}
	finding := n.finding("duplicate-key", Child(f.path, old), "%q is the name that OpenFL 1.6 gave to %q, and both are set", old, current)
	finding.Hint = "keep " + current
	if fromDefaults(other.File) {
		finding.Message = "\"" + old + "\" is the name that OpenFL 1.6 gave to \"" + current + "\", which the defaults file sets"
		finding.Hint = "write " + current + meaning
	}
	f.add(finding)
}

// unsupported refuses a setting that would change what the federation means.
func (f *fields) unsupported(key, why, hint string) {
	if n := f.node.Lookup(key); n != nil {
		finding := n.finding("unsupported", Child(f.path, key), "%s", why)
		finding.Hint = hint
		f.add(finding)
	}
}

// ignore accepts keys that have no effect here.
func (f *fields) ignore(keys ...string) { f.known = append(f.known, keys...) }

// done complains about keys that nobody took.
func (f *fields) done() {
	for _, p := range f.node.Pairs {
		name := p.Key.KeyText()
		if p.Key.Kind == KindString && slices.Contains(f.known, name) {
			continue
		}
		finding := p.Key.finding("unknown-key", Child(f.path, name), "there is no such key")
		finding.Found = p.Key.Describe()
		finding.Allowed = strings.Join(slices.Sorted(slices.Values(f.known)), ", ")
		finding.Hint = DidYouMean(name, f.known)
		f.add(finding)
	}
}

// YAMLHint explains the usual surprises of YAML 1.1 when a value has another
// type than its writer thought.
func YAMLHint(n *Node, allowed string) string {
	wantsText := strings.Contains(allowed, "string")
	switch {
	case wantsText && n.Kind == KindBool:
		return "YAML 1.1 reads yes, no, on and off as booleans: put the word in quotes"
	case wantsText && (n.Kind == KindInt || n.Kind == KindFloat || n.Kind == KindTime):
		return "put the value in quotes to make it a string"
	case n.Kind == KindString && strings.Contains(allowed, "number") && exponentOnly(n.Text):
		return "YAML 1.1 reads an exponent as a number only after a dot and with a sign: write " + withDot(n.Text)
	case n.Kind == KindString && strings.Contains(allowed, "number") && strings.Count(n.Text, ",") == 1 && implicitTag(strings.Replace(n.Text, ",", ".", 1)) == "!!float":
		return "a number has a dot: write " + strings.Replace(n.Text, ",", ".", 1)
	case n.Kind == KindString && strings.Contains(allowed, "map") && strings.ContainsAny(n.Text, ":= "):
		return hintColon
	case n.Kind == KindString && (strings.Contains(allowed, "number") || strings.Contains(allowed, "integer")) && implicitTag(n.Text) != "!!str",
		n.Kind == KindString && strings.Contains(allowed, "true") && implicitTag(n.Text) == "!!bool":
		return "remove the quotes"
	}
	return ""
}

// exponentOnly recognizes 1e-3 and 1.5e3, which YAML 1.1 takes for text.
func exponentOnly(s string) bool {
	mantissa, exponent, ok := strings.Cut(strings.ToLower(s), "e")
	isInt := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	whole, fraction, _ := strings.Cut(mantissa, ".")
	return ok && isInt(strings.TrimLeft(whole, "+-")) && (fraction == "" || isInt(fraction)) && isInt(strings.TrimLeft(exponent, "+-"))
}

func withDot(s string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	if !strings.HasPrefix(exponent, "-") && !strings.HasPrefix(exponent, "+") {
		exponent = "+" + exponent
	}
	return mantissa + "e" + exponent
}
