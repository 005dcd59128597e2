package schema

import "unicode"

const maxListBytes = 1 << 20 // cols.yaml and data.yaml: some ten thousand names

// ParseCols reads plan/cols.yaml: the names of the collaborators, in document
// order, each once. A document without the key, or with nothing at all, is an
// empty list. Whether a name is a good one is for ca/identity to say.
func ParseCols(name string, data []byte) ([]string, error) {
	nodes, err := ReadCols(name, data)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Text
	}
	return names, nil
}

// ReadCols is ParseCols with the position of each name.
func ReadCols(name string, data []byte) ([]*Node, error) {
	root, fs := readYAML(name, data, maxListBytes)
	if len(fs) == 1 && fs[0].ID == "empty" {
		return nil, nil
	}
	if len(fs) > 0 {
		return nil, fs.Err()
	}
	if root.Kind == KindNull {
		return nil, nil
	}
	if root.Kind != KindMap {
		f := root.finding("type", "", "the list of collaborators is a map with one key")
		f.Found, f.Allowed = root.Describe(), "collaborators:"
		return nil, Findings{f}
	}
	out := Findings{}
	top := newFields(root, root, "", &out)
	list := top.take("collaborators")
	top.done()
	if list == nil || list.Kind == KindNull {
		return nil, out.Err()
	}
	if list.Kind != KindList {
		top.mistyped(list, "collaborators", "a list of names")
		return nil, out.Err()
	}
	seen := map[string]*Node{}
	for i, n := range list.Items {
		path := Index("collaborators", i)
		switch first := seen[n.Text]; {
		case n.Kind != KindString:
			f := n.finding("type", path, "a name is a string")
			f.Found, f.Allowed, f.Hint = n.Describe(), "a string", YAMLHint(n, "a string")
			out = append(out, f)
		case n.Text == "" || hasSpace(n.Text):
			f := n.finding("name", path, "this cannot be the name of a collaborator")
			f.Found, f.Allowed = n.Describe(), "a word without spaces"
			out = append(out, f)
		case first != nil:
			out = append(out, n.finding("duplicate-name", path, "the name %q is already on line %d", n.Text, first.Line))
		default:
			seen[n.Text] = n
		}
	}
	if err := out.Err(); err != nil {
		return nil, err
	}
	return list.Items, nil
}

func hasSpace(s string) bool {
	for _, c := range s {
		if unicode.IsSpace(c) || unicode.IsControl(c) {
			return true
		}
	}
	return false
}
