package workspace

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds on following names through a workspace's code.
const (
	maxModules = 5000 // files read
	maxFollow  = 40   // imports, aliases and bases after each other
)

// pyTree is the Python code of a workspace. As in OpenFL, the top of the
// workspace is where imports begin.
type pyTree struct {
	root    fs.FS
	modules map[string]*pyModule // by dotted name; nil: there is none
	answers map[pyQuestion]pyFound
}

// pyQuestion is a look-up that was made, or is being made.
type pyQuestion struct {
	module *pyModule
	name   string
}

func newPyTree(root fs.FS) *pyTree {
	return &pyTree{root: root, modules: map[string]*pyModule{}, answers: map[pyQuestion]pyFound{}}
}

// module reads a module or a package of the workspace, nil if there is none.
func (t *pyTree) module(name string) *pyModule {
	if m, known := t.modules[name]; known {
		return m
	}
	if len(t.modules) >= maxModules {
		return nil
	}
	t.modules[name] = nil
	base := strings.ReplaceAll(name, ".", "/")
	for _, file := range []string{path.Join(base, "__init__.py"), base + ".py"} {
		if !fs.ValidPath(file) {
			break
		}
		data, err := readLimited(t.root, file, maxPython)
		if err != nil {
			continue
		}
		m := outlinePython(data)
		m.name, m.file, m.isInit = name, file, path.Base(file) == "__init__.py"
		t.modules[name] = m
		return m
	}
	return nil
}

// isFolder reports whether a dotted name is a folder of the workspace, with or
// without __init__.py.
func (t *pyTree) isFolder(name string) bool {
	dir := strings.ReplaceAll(name, ".", "/")
	if !fs.ValidPath(dir) {
		return false
	}
	info, err := fs.Stat(t.root, dir)
	return err == nil && info.IsDir()
}

// inside reports whether imports of a name are answered by the workspace.
func (t *pyTree) inside(name string) bool { return t.module(name) != nil || t.isFolder(name) }

// What a name turns out to be.
type pyAnswer uint8

const (
	pyMissing pyAnswer = iota
	pyUnknown          // there may be such a name: only running the code would show
	pyOutside          // a name of a package that is not in the workspace
	pyIsModule
	pyIsClass
)

// pyFound is the answer to a look-up.
type pyFound struct {
	answer pyAnswer
	class  *pyClass
	module *pyModule // where the class is
	name   string    // dotted: of what is outside, or of a module
}

// lookup finds what name means in a module of the workspace. Names that lead in
// a circle are unknown.
func (t *pyTree) lookup(m *pyModule, name string, depth int) pyFound {
	if depth > maxFollow {
		return pyFound{answer: pyUnknown}
	}
	q := pyQuestion{m, name}
	found, known := t.answers[q]
	if !known {
		t.answers[q] = pyFound{answer: pyUnknown}
		found = t.search(m, name, depth)
		t.answers[q] = found
	}
	return found
}

func (t *pyTree) search(m *pyModule, name string, depth int) pyFound {
	b, bound := m.names[name]
	switch {
	case bound && b.class != nil:
		return pyFound{answer: pyIsClass, class: b.class, module: m}
	case bound && b.from != nil:
		return t.imported(m, *b.from, depth+1)
	case bound && b.same != "" && firstPart(b.same) != name:
		return t.dotted(m, b.same, depth+1)
	case bound:
		return pyFound{answer: pyUnknown}
	}
	answer := pyFound{answer: pyMissing}
	if m.dynamic || m.problem != nil {
		answer.answer = pyUnknown
	}
	if sub := m.name + "." + name; m.isInit && t.inside(sub) {
		return pyFound{answer: pyIsModule, name: sub}
	}
	for _, star := range slices.Backward(m.stars) {
		from := t.absolute(m, star)
		other := t.module(from)
		if other == nil {
			if !t.inside(from) {
				answer = pyFound{answer: pyUnknown}
			}
			continue
		}
		if found := t.lookup(other, name, depth+1); found.answer != pyMissing {
			return found
		}
	}
	return answer
}

// absolute is the dotted name of the module that an import in m names.
func (t *pyTree) absolute(m *pyModule, i pyImport) string {
	if i.level == 0 {
		return i.module
	}
	parts := strings.Split(m.name, ".")
	up := i.level
	if m.isInit {
		up--
	}
	if up > len(parts) {
		return "."
	}
	parts = parts[:len(parts)-up]
	if i.module != "" {
		parts = append(parts, i.module)
	}
	return strings.Join(parts, ".")
}

// imported finds what an import brings in.
func (t *pyTree) imported(m *pyModule, i pyImport, depth int) pyFound {
	from := t.absolute(m, i)
	if i.name == "" {
		if t.inside(from) {
			return pyFound{answer: pyIsModule, name: from}
		}
		return pyFound{answer: pyOutside, name: from}
	}
	if other := t.module(from); other != nil {
		return t.lookup(other, i.name, depth)
	}
	switch sub := from + "." + i.name; {
	case t.inside(sub):
		return pyFound{answer: pyIsModule, name: sub}
	case t.inside(from):
		return pyFound{answer: pyMissing}
	default:
		return pyFound{answer: pyOutside, name: sub}
	}
}

// dotted finds a.b.c as code in m would.
func (t *pyTree) dotted(m *pyModule, name string, depth int) pyFound {
	first, rest, more := strings.Cut(name, ".")
	found := t.lookup(m, first, depth)
	for more && found.answer == pyIsModule {
		var part string
		part, rest, more = strings.Cut(rest, ".")
		sub := found.name + "." + part
		switch other := t.module(found.name); {
		case other != nil:
			found = t.lookup(other, part, depth+1)
		case t.inside(sub):
			found.name = sub
		default:
			found = pyFound{answer: pyMissing}
		}
	}
	switch {
	case !more:
		return found
	case found.answer == pyOutside:
		return pyFound{answer: pyOutside, name: found.name + "." + rest}
	default:
		return pyFound{answer: pyUnknown}
	}
}

// methods is what a class has, as far as the workspace shows.
type pyMethods struct {
	names   []string
	outside []string // bases that are not in the workspace
	unknown bool     // there may be more
}

// methods collects the members of a class and of its bases in the workspace.
func (t *pyTree) methods(found pyFound) pyMethods {
	var all pyMethods
	seen := map[*pyClass]bool{}
	var visit func(f pyFound, depth int)
	visit = func(f pyFound, depth int) {
		if seen[f.class] {
			return
		}
		seen[f.class] = true
		all.names = append(all.names, f.class.members...)
		all.unknown = all.unknown || f.class.opaque || depth > maxFollow || slices.Contains(f.class.members, "__getattr__")
		if depth > maxFollow {
			return
		}
		for _, base := range f.class.bases {
			b := t.dotted(f.module, base, 0)
			switch {
			case b.answer == pyIsClass:
				visit(b, depth+1)
			case b.answer == pyOutside:
				all.outside = append(all.outside, b.name)
			case b.answer == pyMissing && base == "object":
			default:
				all.unknown = true
			}
		}
	}
	visit(found, 0)
	return all
}
