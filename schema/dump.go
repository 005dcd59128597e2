package schema

import (
	"fmt"
	"sort"
	"strings"
)

// Dump is PyYAML's yaml.dump of the same object, byte for byte: block style,
// sorted keys, 80 columns, ASCII. OpenFL hashes this text, so the ids of a
// federation depend on every byte of it. The root must be a map or a list.
func Dump(root *Node) []byte {
	d := &dumper{anchors: map[*Node]int{}, order: map[*Node][]Pair{}, indent: -1, whitespace: true, indention: true}
	d.findShared(root)
	d.node(root, context{root: true})
	if d.column > 0 {
		d.lineBreak()
	}
	return []byte(d.out.String())
}

// dumper is PyYAML's Emitter reduced to what block style needs; the fields have
// the meaning they have there.
type dumper struct {
	out        strings.Builder
	anchors    map[*Node]int // 0: seen once; n: shared, anchor id00n
	last       int
	order      map[*Node][]Pair
	written    map[*Node]bool
	indent     int // -1: none yet
	column     int
	whitespace bool
	indention  bool
}

type context struct{ root, mapping, simpleKey bool }

// findShared numbers the containers (and times: they are objects in Python)
// that occur more than once, in the order in which the second is met.
func (d *dumper) findShared(n *Node) {
	if n.Kind != KindMap && n.Kind != KindList && n.Kind != KindTime {
		return
	}
	if id, seen := d.anchors[n]; seen {
		if id == 0 {
			d.last++
			d.anchors[n] = d.last
		}
		return
	}
	d.anchors[n] = 0
	for _, item := range n.Items {
		d.findShared(item)
	}
	if n.Kind == KindMap {
		d.order[n] = sortedPairs(n.Pairs)
		for _, p := range d.order[n] {
			d.findShared(p.Value)
		}
	}
}

// sortedPairs sorts as Python's sorted does, and leaves keys alone that Python
// cannot compare with each other.
func sortedPairs(pairs []Pair) []Pair {
	out := append([]Pair(nil), pairs...)
	if len(out) < 2 {
		return out
	}
	texts := out[0].Key.Kind == KindString
	for _, p := range out {
		if p.Key.Kind == KindNull || (p.Key.Kind == KindString) != texts {
			return out
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].Key, out[j].Key
		if texts {
			return a.Text < b.Text
		}
		return lessNumber(a, b)
	})
	return out
}

func lessNumber(a, b *Node) bool {
	if a.Kind != KindFloat && b.Kind != KindFloat {
		return keyInt(a) < keyInt(b)
	}
	return keyFloat(a) < keyFloat(b)
}

func keyInt(n *Node) int64 {
	if n.Kind == KindBool && n.Bool {
		return 1
	}
	return n.Int
}

func keyFloat(n *Node) float64 {
	if n.Kind == KindFloat {
		return n.Float
	}
	return float64(keyInt(n))
}

func (d *dumper) node(n *Node, c context) {
	if id := d.anchors[n]; id > 0 {
		anchor := fmt.Sprintf("id%03d", id)
		if d.written[n] {
			d.indicator("*"+anchor, true, false, false)
			return
		}
		if d.written == nil {
			d.written = map[*Node]bool{}
		}
		d.written[n] = true
		d.indicator("&"+anchor, true, false, false)
	}
	switch {
	case n.Kind == KindList && len(n.Items) == 0:
		d.indicator("[", true, true, false)
		d.indicator("]", false, false, false)
	case n.Kind == KindMap && len(n.Pairs) == 0:
		d.indicator("{", true, true, false)
		d.indicator("}", false, false, false)
	case n.Kind == KindList:
		d.list(n, c)
	case n.Kind == KindMap:
		d.mapping(n)
	default:
		d.scalar(n, c.simpleKey)
	}
}

func (d *dumper) list(n *Node, c context) {
	old := d.indent
	switch {
	case d.indent < 0:
		d.indent = 0
	case !c.mapping || d.indention: // a list under a key is not indented
		d.indent += 2
	}
	for _, item := range n.Items {
		d.startLine()
		d.indicator("-", true, false, true)
		d.node(item, context{})
	}
	d.indent = old
}

func (d *dumper) mapping(n *Node) {
	old := d.indent
	if d.indent < 0 {
		d.indent = 0
	} else {
		d.indent += 2
	}
	for _, p := range d.order[n] {
		d.startLine()
		if isSimpleKey(p.Key) {
			d.node(p.Key, context{mapping: true, simpleKey: true})
			d.indicator(":", false, false, false)
		} else {
			d.indicator("?", true, false, true)
			d.node(p.Key, context{mapping: true})
			d.startLine()
			d.indicator(":", true, false, true)
		}
		d.node(p.Value, context{mapping: true})
	}
	d.indent = old
}

// isSimpleKey tells whether a key fits before its colon: with its tag it must be
// shorter than 128 characters, on one line, and not empty.
func isSimpleKey(n *Node) bool {
	text, tag := scalarText(n)
	a := analyze([]rune(text))
	return len([]rune(text))+len(tag) < 128 && text != "" && !a.multiline
}

func (d *dumper) scalar(n *Node, simpleKey bool) {
	old := d.indent
	if d.indent < 0 {
		d.indent = 2
	} else {
		d.indent += 2
	}
	text, tag := scalarText(n)
	runes := []rune(text)
	a := analyze(runes)
	split := !simpleKey
	switch {
	case implicitTag(text) == tag && a.plain:
		d.plain(runes, split)
	case a.single:
		d.single(runes, split)
	default:
		d.double(runes, split)
	}
	d.indent = old
}

func (d *dumper) write(s string) {
	d.out.WriteString(s)
	d.column += len(s)
}

func (d *dumper) indicator(s string, needSpace, whitespace, indention bool) {
	if needSpace && !d.whitespace {
		s = " " + s
	}
	d.whitespace = whitespace
	d.indention = d.indention && indention
	d.write(s)
}

// startLine is PyYAML's write_indent: go to the current indentation, on a new
// line unless this one has nothing but indentation and indicators.
func (d *dumper) startLine() {
	indent := max(d.indent, 0)
	if !d.indention || d.column > indent || d.column == indent && !d.whitespace {
		d.lineBreak()
	}
	if d.column < indent {
		d.whitespace = true
		d.write(strings.Repeat(" ", indent-d.column))
	}
}

func (d *dumper) lineBreak() {
	d.whitespace, d.indention = true, true
	d.out.WriteByte('\n')
	d.column = 0
}
