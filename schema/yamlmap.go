package schema

import (
	"math"

	"go.yaml.in/yaml/v3"
)

// mapping fills out with the pairs of n: first those of merge keys, then its
// own, which win.
func (r *yamlReader) mapping(n *yaml.Node, out *Node, depth int) {
	own := map[string]*Node{}
	var pairs []Pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if isMerge(k) {
			r.merge(v, out, depth)
			continue
		}
		key := r.key(k, depth)
		value := r.convert(v, depth+1)
		if key == nil {
			continue
		}
		id := keyIdentity(key)
		if first, ok := own[id]; ok {
			f := key.finding("duplicate-key", "", "the key %q is already on line %d of this map", key.KeyText(), first.Line)
			f.Hint = "remove one of the two: PyYAML would silently use the last"
			if len(r.findings) < 100 {
				r.findings = append(r.findings, f)
			}
			continue
		}
		own[id] = key
		pairs = append(pairs, Pair{key, value})
	}
	if len(out.Pairs) == 0 {
		out.Pairs = pairs
		return
	}
	at := indexKeys(out)
	for _, p := range pairs {
		put(out, at, p)
	}
}

func isMerge(k *yaml.Node) bool {
	return k.Kind == yaml.ScalarNode && k.Value == "<<" &&
		k.Style&(yaml.TaggedStyle|yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

// merge adds the pairs that << names: a map, or a list of maps of which the
// first wins.
func (r *yamlReader) merge(v *yaml.Node, out *Node, depth int) {
	target := r.convert(v, depth+1)
	sources := []*Node{target}
	if target.Kind == KindList {
		sources = nil
		for i := len(target.Items) - 1; i >= 0; i-- {
			sources = append(sources, target.Items[i])
		}
	}
	at := indexKeys(out)
	for _, s := range sources {
		if s.Kind != KindMap {
			r.complain(v, "merge", "the merge key << needs a map or a list of maps")
			return
		}
		if r.merges += len(s.Pairs); r.merges > maxValues {
			r.complain(v, "too-large", "merge keys copy more than %d values", maxValues)
			return
		}
		for _, p := range s.Pairs {
			put(out, at, p)
		}
	}
}

func indexKeys(n *Node) map[string]int {
	at := make(map[string]int, len(n.Pairs))
	for i, p := range n.Pairs {
		at[keyIdentity(p.Key)] = i
	}
	return at
}

// put sets a key as a Python dict does: the first key object and its place stay.
func put(n *Node, at map[string]int, p Pair) {
	id := keyIdentity(p.Key)
	if i, ok := at[id]; ok {
		n.Pairs[i].Value = p.Value
		return
	}
	at[id] = len(n.Pairs)
	n.Pairs = append(n.Pairs, p)
}

// key converts a map key: any scalar but a date or NaN.
func (r *yamlReader) key(k *yaml.Node, depth int) *Node {
	plain := k.Style&(yaml.TaggedStyle|yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if k.Kind == yaml.ScalarNode && plain && k.Value == "=" {
		n := r.at(k)
		n.Kind, n.Text = KindString, "="
		return n
	}
	key := r.convert(k, depth+1)
	switch key.Kind {
	case KindMap, KindList, KindTime:
		r.complain(k, "key", "a key must be a word or a number, not %s", key.Describe())
		return nil
	case KindFloat:
		if math.IsNaN(key.Float) {
			r.complain(k, "key", "a key cannot be .nan")
			return nil
		}
	}
	return key
}

// expandedSize counts values with aliases expanded, stopping above maxValues.
func expandedSize(n *Node, known map[*Node]int) int {
	if size, ok := known[n]; ok {
		return size
	}
	size := 1
	for _, item := range n.Items {
		size = min(size+expandedSize(item, known), maxValues+1)
	}
	for _, p := range n.Pairs {
		size = min(size+1+expandedSize(p.Value, known), maxValues+1)
	}
	known[n] = size
	return size
}
