package schema

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are the documents of testdata, the defaults files, and small oddities.
func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/vectors/*.yaml")
	more, err2 := filepath.Glob("*/*.yaml")
	if err != nil || err2 != nil || len(files) == 0 || len(more) == 0 {
		f.Fatalf("no seeds: %v, %v", err, err2)
	}
	for _, name := range append(files, more...) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"", "a", "{}", "[]", "a: b: c", "a: &x [*x]", "a: &x 1\nb: *x\n", "<<: {a: 1}\nb: 2\n", "? [a]\n: b\n", "a:\tb", "\xff", "%YAML 1.1\n---\na: 1\n",
		"a: |\n  x\n   y\n", "a: >-\n  x\n  y\n", "a: !!int 3\n", "- a\n- - b\n", "{a: 1, a: 2}", "a: 1:30:00.5\n", "'a': \"\\x00\"\n", "#", "--- a\n...\n", "a: 'b\n\n  c'\n",
		"network: {settings: {agg_addr: x, agg_port: auto}}", "collaborators: [a, b]", "one,a/b\n# x\ntwo,c\n",
	} {
		f.Add([]byte(text))
	}
}

// positioned fails unless err is findings that say what and where.
func positioned(t *testing.T, err error) {
	t.Helper()
	var fs Findings
	if !errors.Is(err, ErrInvalid) || !errors.As(err, &fs) || len(fs) == 0 {
		t.Fatalf("%T is not findings: %v", err, err)
	}
	for _, f := range fs {
		if f.ID == "" || f.Severity == "" || f.Message == "" || f.Line < 0 || f.Column < 0 {
			t.Fatalf("incomplete finding %+v", f)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePlan("plan.yaml", data)
		if err != nil {
			positioned(t, err)
			return
		}
		if _, err := p.Resolve(ResolveOptions{FQDN: "host.example.org"}); err != nil {
			t.Fatalf("a valid plan does not resolve: %v", err)
		}
	})
}

func FuzzParseCols(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := ParseCols("cols.yaml", data)
		if err != nil {
			positioned(t, err)
			return
		}
		seen := map[string]bool{}
		for _, n := range names {
			if n == "" || seen[n] || strings.ContainsAny(n, " \n") {
				t.Fatalf("bad name %q in %q", n, names)
			}
			seen[n] = true
		}
	})
}

func FuzzParseData(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		paths, err := ParseData("data.yaml", data)
		if err != nil {
			positioned(t, err)
			return
		}
		var lines []string
		for _, p := range paths {
			lines = append(lines, p.Name+","+p.Path)
		}
		again, err := ParseData("data.yaml", []byte(strings.Join(lines, "\n")))
		if err != nil || len(again) != len(paths) {
			t.Fatalf("%q does not read back: %v", lines, err)
		}
		for i := range again {
			if again[i] != paths[i] {
				t.Fatalf("got %v, want %v", again[i], paths[i])
			}
		}
	})
}

// What is dumped reads back as the same document, and dumps to the same bytes.
func FuzzDump(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := ReadYAML("x.yaml", data, 1<<16)
		if err != nil {
			positioned(t, err)
			return
		}
		if root.Kind != KindMap && root.Kind != KindList {
			return
		}
		text := Dump(root)
		for _, c := range text {
			if c != '\n' && (c < 0x20 || c > 0x7e) {
				t.Fatalf("byte %#x in the dump %q", c, text)
			}
		}
		again, err := ReadYAML("x.yaml", text, 1<<20)
		if err != nil {
			t.Fatalf("the dump does not parse: %v\n%s", err, text)
		}
		if got := Dump(again); !bytes.Equal(got, text) {
			t.Fatalf("dump of %q changes:\n%s\nthen:\n%s", data, text, got)
		}
		if !same(root, again, map[[2]*Node]bool{}) {
			t.Fatalf("%q and its dump differ:\n%s", data, text)
		}
	})
}

// same compares values; maps without regard to order.
func same(a, b *Node, done map[[2]*Node]bool) bool {
	if done[[2]*Node{a, b}] {
		return true
	}
	done[[2]*Node{a, b}] = true
	if a.Kind != b.Kind || len(a.Items) != len(b.Items) || len(a.Pairs) != len(b.Pairs) {
		return false
	}
	x, _ := scalarText(a)
	y, _ := scalarText(b)
	if a.Kind < KindList && x != y {
		return false
	}
	for i := range a.Items {
		if !same(a.Items[i], b.Items[i], done) {
			return false
		}
	}
	values := map[string]*Node{}
	for _, p := range a.Pairs {
		values[keyIdentity(p.Key)] = p.Value
	}
	for _, p := range b.Pairs {
		if v := values[keyIdentity(p.Key)]; v == nil || !same(v, p.Value, done) {
			return false
		}
	}
	return true
}
