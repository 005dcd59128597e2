package schema

import (
	"embed"
	"path"
	"sort"
	"strings"
)

// The defaults files of OpenFL 1.9, by the path that plans name. OpenFL reads
// them from the installed package and never from the workspace, and so do we.
//
//go:embed defaults/*.yaml
var defaultFiles embed.FS

const defaultsPrefix = "openfl:"

func fromDefaults(file string) bool { return strings.HasPrefix(file, defaultsPrefix) }

// DefaultsFiles lists the paths that may stand after `defaults:`.
func DefaultsFiles() []string {
	entries, err := defaultFiles.ReadDir("defaults")
	if err != nil {
		return nil // the directory is embedded: cannot happen
	}
	var names []string
	for _, e := range entries {
		names = append(names, "plan/defaults/"+e.Name())
	}
	return names
}

// mergeDefaults changes root as OpenFL does before it hashes a plan: every
// section gets settings; then, in sorted order, each section that names a
// defaults file is replaced by that file with the section's settings and keys
// laid over it, one level deep.
func mergeDefaults(root *Node) error {
	if root.Kind != KindMap {
		f := root.finding("type", "", "a plan is a map of sections")
		f.Found, f.Allowed = root.Describe(), "aggregator:, collaborator:, network:, …"
		return Findings{f}
	}
	var fs Findings
	for _, p := range root.Pairs {
		name := p.Key.KeyText()
		switch {
		case p.Key.Kind != KindString:
			f := p.Key.finding("type", Child("", name), "a section name is a word")
			f.Found = p.Key.Describe()
			fs = append(fs, f)
		case p.Value.Kind != KindMap:
			f := p.Value.finding("type", Child("", name), "a section is a map")
			f.Found, f.Allowed, f.Hint = p.Value.Describe(), "template:, settings:, defaults:", YAMLHint(p.Value, "a map")
			fs = append(fs, f)
		default:
			if s := p.Value.Lookup("settings"); s == nil || s.Kind == KindNull {
				p.Value.set(p.Value.keyOr("settings", p.Key), &Node{Kind: KindMap, File: p.Key.File, Line: p.Key.Line, Column: p.Key.Column})
			}
		}
	}
	if len(fs) > 0 {
		return fs.Err()
	}
	names := make([]int, len(root.Pairs))
	for i := range names {
		names[i] = i
	}
	sort.Slice(names, func(i, j int) bool { return root.Pairs[names[i]].Key.Text < root.Pairs[names[j]].Key.Text })
	for _, i := range names {
		merged, f := mergeSection(root.Pairs[i].Key.Text, root.Pairs[i].Value)
		if f != nil {
			fs = append(fs, *f)
			continue
		}
		root.Pairs[i].Value = merged
	}
	return fs.Err()
}

// keyOr is the key node of that name, or a new one at the position of other.
func (n *Node) keyOr(name string, other *Node) *Node {
	if k := n.Key(name); k != nil {
		return k
	}
	return &Node{Kind: KindString, Text: name, File: other.File, Line: other.Line, Column: other.Column}
}

func mergeSection(name string, section *Node) (*Node, *Finding) {
	file := section.remove("defaults")
	if file == nil || file.Kind == KindNull {
		return section, nil
	}
	where := Child(name, "defaults")
	if file.Kind != KindString {
		f := file.finding("type", where, "defaults names a file")
		f.Found, f.Allowed = file.Describe(), "a path such as plan/defaults/network.yaml"
		return nil, &f
	}
	base, ok := readDefaults(file.Text)
	if !ok {
		f := file.finding("unknown-defaults", where, "there is no such defaults file")
		f.Found, f.Allowed = file.Describe(), "a file that OpenFL 1.9 ships: "+strings.Join(DefaultsFiles(), ", ")
		f.Hint = DidYouMean(file.Text, DefaultsFiles())
		if gone[file.Text] != "" {
			f.Hint = "OpenFL had it before 1.9: fxctl plan upgrade writes out what it said"
		}
		return nil, &f
	}
	own := section.Lookup("settings")
	if settings := base.Lookup("settings"); settings != nil {
		if own.Kind != KindMap {
			f := own.finding("type", Child(name, "settings"), "settings is a map")
			f.Found, f.Hint = own.Describe(), YAMLHint(own, "a map")
			return nil, &f
		}
		settings.update(own)
		section.set(section.Key("settings"), settings)
	}
	base.update(section)
	base.File, base.Line, base.Column = section.File, section.Line, section.Column
	return base, nil
}

func readDefaults(name string) (*Node, bool) {
	dir, file := path.Split(path.Clean(name))
	if dir != "plan/defaults/" {
		return nil, false
	}
	data, err := defaultFiles.ReadFile("defaults/" + file)
	if err != nil {
		return nil, false
	}
	root, fs := readYAML(defaultsPrefix+name, data, MaxPlanBytes)
	return root, len(fs) == 0
}
