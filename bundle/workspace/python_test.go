package workspace

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Each source stops being Python at line:column, or never.
func TestPythonProblems(t *testing.T) {
	for _, tt := range []struct{ name, source, want string }{
		{"nothing", "", ""},
		{"comment without an end of line", "x = 1\n# end", ""},
		{"no newline at the end", "class A:\n  def f(self): pass", ""},
		{"old line endings", "if x:\r\n  y = 1\r\nz = 2\r\n", ""},
		{"form feed", "\fx = 1\n\f\ndef f():\n\treturn 1\n", ""},
		{"byte order mark", "\uFEFFx = 1\n", ""},
		{"continued line", "x = 1 + \\\n    2\n", ""},
		{"continued before the indentation", "if x:\n  y = (1,\n2)\n", ""},
		{"strings", `x = 'a\'b' "c" r'\' rb"\"" u'' Rb'''a'b''' """a"b\"""" ` + "\n", ""},
		{"quotes in a formatted string", `x = f"{d["a"]:>{w["b"]}} {{ {f'{y!r}'}"` + "\n", ""},
		{"formatted string over lines", "x = f\"{\n  y\n}\"\nz = 1\n", ""},
		{"formatted string with a walrus and a slice", `x = f"{(y:=1)} {a[1:2]} {b:%H:%M}"` + "\n", ""},
		{"named character", `x = f"\N{EM DASH} {y}"` + "\n", ""},
		{"numbers", "x = 1_000.5e-3 + 0xfFj + .5 + 1.\n", ""},
		{"operators", "x @= y -> z != a := b // c ** d <= e >> f; w = ~x\n", ""},
		{"letters", "größe = 1\n", ""},
		{"open bracket", "x = (1,\ny = 2\n", "1:5"},
		{"wrong bracket", "x = (1]\n", "1:7"},
		{"extra bracket", "x = 1)\n", "1:6"},
		{"open string", "x = 'abc\ny = 1\n", "1:5"},
		{"open long string", "x = 1\ny = '''abc\n'\n", "2:5"},
		{"open brace in a string", "x = f\"{y\"\n", "1:9"},
		{"dedent to nowhere", "if x:\n    y = 1\n  z = 2\n", "3:3"},
		{"indented for no reason", "x = 1\n  y = 2\n", "2:3"},
		{"no block", "if x:\ny = 2\n", "2:1"},
		{"text after a backslash", "x = 1 + \\ \n 2\n", "1:9"},
		{"shell", "x = $HOME\n", "1:5"},
		{"smart quotes", "x = “a”\n", "1:5"},
		{"control character", "x = \x01\n", "1:5"},
		{"not UTF-8", "x = '\xff'\n", "0:0"},
		{"deep", strings.Repeat("(", 300), "1:201"},
		{"deep blocks", blocks(120), "101:101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problem := tokenizePython([]byte(tt.source))
			got := ""
			if problem != nil {
				got = fmt.Sprintf("%d:%d", problem.line, problem.column)
			}
			if got != tt.want {
				t.Errorf("got a problem at %q (%v), want %q", got, problem, tt.want)
			}
		})
	}
}

func blocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "if x:\n")
	}
	return b.String()
}

func TestPythonOutline(t *testing.T) {
	m := outlinePython([]byte(`
"""class NotThis:"""
from __future__ import annotations
import numpy as np, os.path
from .nets import (Net as Base,  # comment
                   Other,)
from openfl.federated import PyTorchTaskRunner; x = 1
try:
    from a import Fast
except ImportError:
    class Fast: pass
if x: y = 2
a, b = 1, 2
(c, d) = e = f = 3
Alias = Base
annotated: int = 3

@decorator(class_=1)
class Runner(Base, Generic[T], nn.Module, metaclass=Meta(x)):
    """def not_this(self): ..."""
    steps: int = 3
    if x:
        def sometimes(self): return lambda: 1
    def train_task(
        self, x={"a": [1, 2]},
    ) -> "dict[str, int]":
        def inner(): pass
        class Inner: pass
    async def validate_task(self): pass
    other = train_task
    class Nested:
        def hidden(self): pass
class Made(make(1), Base): pass
match = 3
match(x)
def function(): class_ = 1
for i in range(3):
    class InLoop(object): ...
`))
	if m.problem != nil {
		t.Fatal(*m.problem)
	}
	if want := []string{"Fast", "Runner", "Made", "InLoop"}; !slices.Equal(m.classes, want) {
		t.Errorf("classes %q, want %q", m.classes, want)
	}
	for _, name := range []string{"np", "os", "Base", "Other", "PyTorchTaskRunner", "x", "y", "a", "b", "c", "d", "e", "f", "Alias", "annotated", "match", "function", "annotations"} {
		if _, there := m.names[name]; !there {
			t.Errorf("there is no name %q", name)
		}
	}
	for _, name := range []string{"NotThis", "not_this", "inner", "hidden", "class_", "Inner", "Nested"} {
		if _, there := m.names[name]; there {
			t.Errorf("there is a name %q", name)
		}
	}
	runner, made := m.names["Runner"].class, m.names["Made"].class
	if want := []string{"Base", "Generic", "nn.Module"}; !slices.Equal(runner.bases, want) || runner.opaque {
		t.Errorf("bases %q, opaque %v, want %q", runner.bases, runner.opaque, want)
	}
	if want := []string{"steps", "sometimes", "train_task", "validate_task", "other", "Nested"}; !slices.Equal(runner.members, want) {
		t.Errorf("members %q, want %q", runner.members, want)
	}
	if !made.opaque || !slices.Equal(made.bases, []string{"Base"}) {
		t.Errorf("a base that is a call: %+v", *made)
	}
	if from := m.names["Base"].from; from == nil || *from != (pyImport{1, "nets", "Net"}) {
		t.Errorf("Base comes from %+v", from)
	}
}

func TestPythonLookup(t *testing.T) {
	tree := newPyTree(fstest.MapFS{
		"src/__init__.py":         pyFile("from .runners import *\nfrom . import loop\n"),
		"src/runners/__init__.py": pyFile("from .fast import Fast as Quick\nfrom src.runners.slow import Slow\nimport torch.nn as nn\n"),
		"src/runners/fast.py":     pyFile("from ..base import Base\nimport src.base\nclass Fast(Base): pass\nclass Far(src.base.Base, object): pass\nTwin = Fast\n"),
		"src/runners/slow.py":     pyFile("from openfl.federated import KerasTaskRunner\nclass Slow(KerasTaskRunner):\n    def own(self): pass\n"),
		"src/base.py":             pyFile("class Base:\n    def task(self): pass\n"),
		"src/loop.py":             pyFile("from .loop import X\nfrom .pool import Y\nZ = Z\nclass L(L): pass\nclass M(N): pass\nclass N(M): pass\n"),
		"src/pool.py":             pyFile("from .loop import Y\n"),
		"src/star.py":             pyFile("from torch import *\n"),
		"src/lazy.py":             pyFile("def __getattr__(name): ...\n"),
		"src/broken.py":           pyFile("class A(:\n"),
		"src/plain/deep/mod.py":   pyFile("from ....nowhere import X\nclass A: pass\n"),
		"top.py":                  pyFile("class T: pass\n"),
	})
	for _, tt := range []struct {
		module, name string
		want         pyAnswer
		methods      string
	}{
		{"src.runners.fast", "Fast", pyIsClass, "task"},
		{"src.runners.fast", "Far", pyIsClass, "task"},
		{"src.runners.fast", "Twin", pyIsClass, "task"},
		{"src.runners", "Quick", pyIsClass, "task"},
		{"src.runners", "Slow", pyIsClass, "own; openfl.federated.KerasTaskRunner"},
		{"src.runners", "Fast", pyMissing, ""},
		{"src.runners", "nn", pyOutside, ""},
		{"src.runners", "fast", pyIsModule, ""},
		{"src", "Quick", pyIsClass, "task"},
		{"src", "Nothing", pyMissing, ""},
		{"src.loop", "X", pyUnknown, ""},
		{"src.loop", "Y", pyUnknown, ""},
		{"src.loop", "Z", pyUnknown, ""},
		{"src.loop", "L", pyIsClass, ""},
		{"src.loop", "M", pyIsClass, ""},
		{"src.star", "Module", pyUnknown, ""},
		{"src.lazy", "Anything", pyUnknown, ""},
		{"src.broken", "B", pyUnknown, ""},
		{"src.plain.deep.mod", "A", pyIsClass, ""},
		{"src.plain.deep.mod", "X", pyOutside, ""},
		{"top", "T", pyIsClass, ""},
	} {
		m := tree.module(tt.module)
		if m == nil {
			t.Errorf("there is no module %q", tt.module)
			continue
		}
		found := tree.lookup(m, tt.name, 0)
		if found.answer != tt.want {
			t.Errorf("%s.%s: got %d, want %d", tt.module, tt.name, found.answer, tt.want)
		}
		if found.answer == pyIsClass {
			methods := tree.methods(found)
			got := strings.Join(methods.names, " ")
			if len(methods.outside) > 0 {
				got += "; " + strings.Join(methods.outside, " ")
			}
			if got != tt.methods {
				t.Errorf("%s.%s has %q, want %q", tt.module, tt.name, got, tt.methods)
			}
		}
	}
	twice := fstest.MapFS{}
	for i := range 60 {
		twice[fmt.Sprintf("src/m%d.py", i)] = pyFile(fmt.Sprintf("from .m%d import *\nfrom .m%d import *\nfrom .m%d import *\n", i+1, i+2, i))
	}
	wide := newPyTree(twice) // would take 2^60 steps without a memory
	if found := wide.lookup(wide.module("src.m0"), "X", 0); found.answer == pyIsClass {
		t.Errorf("found %+v", found)
	}
	for _, none := range []string{"src.nothing", "src.plain", "", "..", "src..base", "src/base"} {
		if m := tree.module(none); m != nil && none != "src/base" {
			t.Errorf("there is a module %q: %s", none, m.file)
		}
	}
}

func pyFile(source string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(source), Mode: 0o644} }

func FuzzPython(f *testing.F) {
	for _, seed := range []string{
		"", "class A(B, c.D[e], m=1):\n  def f(self): pass\n", "from .a import (b as c, d)\nimport e.f as g\n", "f\"{x[\"y\"]:{z}}\"\n",
		"if x: y = 1; import z\nelse:\n\tpass\n", "match x:\n  case [1, *y]: z = 1\n", "'''\n'''\\\n(\n)\n", "class", "from", "import", "@", "a = b = ", "class A[T", "\f\\\n", "async",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		m := outlinePython(source)
		for _, name := range m.classes {
			if name == "" {
				t.Fatal("a class without a name")
			}
		}
		if p := m.problem; p != nil && (p.message == "" || p.line < 0 || p.column < 0 || p.line > len(source)+1) {
			t.Fatalf("bad problem %+v", *p)
		}
		tree := newPyTree(fstest.MapFS{"src/m.py": {Data: source, Mode: 0o644}})
		if m := tree.module("src.m"); m != nil {
			for name := range m.names {
				if found := tree.lookup(m, name, 0); found.answer == pyIsClass {
					tree.methods(found)
				}
			}
		}
	})
}
