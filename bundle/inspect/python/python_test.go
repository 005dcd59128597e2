package python

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func rules(text string) []string {
	var out []string
	for _, f := range Analyse("m.py", []byte(text)).Findings {
		out = append(out, f.Rule)
	}
	slices.Sort(out)
	return out
}

func TestLines(t *testing.T) {
	text := "import os\n\ndef f():\n    x = '''a\nb'''\n    os.system(x)\n\n\nos.system(\n  'id')\n"
	var lines []int
	for _, f := range Analyse("m.py", []byte(text)).Findings {
		if f.Rule == "B605" {
			lines = append(lines, f.Line)
		}
	}
	if !slices.Equal(lines, []int{6, 9}) {
		t.Errorf("B605 at lines %v, want 6 and 9", lines)
	}
}

func TestScopes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "x = 1\n", ""},
		{"shadowed by a parameter", "import os\ndef f(os): os.system('x')\n", ""},
		{"shadowed by a definition", "def exec(x): pass\nexec('x')\n", ""},
		{"only inside the function", "def f():\n    import os as o\n    o.system('x')\n", "B605"},
		{"a class of its own", "class os:\n    pass\nos.system('x')\n", ""},
		{"on import", "import os\nos.system('x')\n", "B605 import-time"},
		{"guarded", "import os\nif __name__ == '__main__':\n    os.system('x')\n", "B605"},
		{"after the guard", "import os\nif __name__ == '__main__':\n    pass\nos.system('x')\n", "B605 import-time"},
		{"in a comprehension", "import os\ndef f(): return [os.system(c) for c in 'ab']\n", "B605"},
		{"in a match", "import os\ndef f(x):\n    match x:\n        case 1:\n            os.system('x')\n", "B605"},
		{"after a match variable", "import os\nmatch = 1\ndef f(): os.system('x')\n", "B605"},
		{"a type annotation", "def f(x: int = 3, *, y: str) -> None:\n    return eval(x)\n", "B307"},
		{"nested f-strings", "import os\ndef f(): return f\"{f'{os.system(1)}'}\"\n", "B605"},
		{"behind a broken line", "import os\ndef g(:\n    ]\ndef f():\n    os.system('x')\n", "B605 python-syntax"},
	} {
		if got := strings.Join(rules(c.text), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestBounds: source that is made to be costly is still answered soon.
func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":       strings.Repeat("(", 20000),
		"sums":           "x = " + strings.Repeat("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' + ", 8000) + "''\n",
		"doubled":        "x = 'a'\n" + strings.Repeat("x = x + x\n", 1000),
		"comprehensions": strings.Repeat("[chr(c) for c in [1,2,3,4,5,6,7,8,9,10]] + ", 1000) + "x\n",
		"nested lists":   "x = [1]\n" + strings.Repeat("x = [x, x, x, x]\n", 500),
		"f-strings":      "f'" + strings.Repeat("{f\"", 1000),
		"attributes":     "x" + strings.Repeat(".a", 20000) + "\n",
		"indents": func() string {
			var b strings.Builder
			for i := range 500 {
				b.WriteString(strings.Repeat(" ", i) + "if x:\n")
			}
			return b.String()
		}(),
	} {
		start := time.Now()
		Analyse("m.py", []byte(text))
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func FuzzAnalyse(f *testing.F) {
	for _, s := range []string{
		"import os\nos.system('id')\n", "from a import (b as c,\n d)\n", "f'{x!r:>{w}}' f\"{'}'}\"", "x = [chr(c) for c in [1, 2]]\n",
		"def f(a, *, b: int = 1, **k) -> None: return lambda x, y=2: x\n", "class A(B, metaclass=C):\n  x: int = 1\n", "match x:\n  case [1, *_]: pass\n",
		"\xff\xfe", "'''", "a = b = c, d = 1", "@x.y(1)\nasync def f(): await g()\n", "x[1:2, ::3]\n", "# coding: rot13\n", "\\\n", "try:\n x\nexcept (A, B) as e:\n y\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		lines := strings.Count(string(src), "\n") + strings.Count(string(src), "\r") + 1
		for _, x := range Analyse("m.py", src).Findings {
			if x.Line < 0 || x.Line > lines {
				t.Errorf("finding at line %d of %d: %+v", x.Line, lines, x)
			}
		}
	})
}

// TestManyStarImports is about time: each unknown name is looked up in every
// module of which all is imported.
func TestManyStarImports(t *testing.T) {
	var src strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&src, "from m%d import *\nfrom a import *\n", i)
	}
	src.WriteString(strings.Repeat("x()\n", 20000) + "from os import *\n")
	seen := map[string]bool{}
	for _, f := range Analyse("x.py", []byte(src.String())).Findings {
		seen[f.Rule] = true
	}
	if !seen["not-analysed"] {
		t.Errorf("got %v, want to be told that not all was followed", seen)
	}
}
