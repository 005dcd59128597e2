package schema

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Where a mistake is reported: not where the parser gives up, but where it was
// made.
func TestSyntaxErrors(t *testing.T) {
	tests := []struct{ name, text, at, says string }{
		{"first entry too deep", "a:\n     b: 1\n    c: 2\nd:\n    e: 1\n    f: 2\n", "2:6", "line 3 in column 5"},
		{"first entry not deep enough", "a:\n   b: 1\n    c: 2\nd:\n    e: 1\n    f: 2\n", "2:4", "line 3 in column 5"},
		{"last entry too deep", "a:\n    b: 1\n     c: 2\nd:\n    e: 1\n", "3:6", "indentation"},
		{"last entry not deep enough", "a:\n    b: 1\n   c: 2\nd:\n    e: 1\n", "3:4", "indentation"},
		{"key of a list not deep enough", "a:\n  b:\n   c:\n    - x\n    d: 1\ne:\n  f:\n    - x\n", "3:4", "indentation"},
		{"first section too deep", " a:\n  b: 1\nc:\n  d: 1\ne: 1\n", "1:2", "indentation"},
		{"map too deep", "a:\n   b:\n    x: 1\n  c: 2\nd:\n  e: 1\nf:\n  g: 1\n", "2:4", "indentation"},
		{"map not deep enough", "a:\n b:\n    x: 1\n  c: 2\nd:\n  e:\n    x: 1\nf:\n  g: 1\n", "2:2", "indentation"},
		{"no colon, first", "a:\n  b 1\n  c: 2\n", "2:3", "colon followed by a space"},
		{"no colon, middle", "a:\n  b: 1\n  c 2\n  d: 3\n", "3:3", "colon followed by a space"},
		{"no colon, last", "a:\n  b: 1\n  c 2\nd: 3\n", "3:3", "colon followed by a space"},
		{"no colon before a map", "a:\n  b\n    c: 2\n  d: 3\n", "2:3", "colon followed by a space"},
		{"no space after the colon", "a:\n  b:1\n  c: 2\n", "2:3", "colon followed by a space"},
		{"two colons", "a: b: c\n", "1:5", "must be quoted"},
		{"double quote", "a:\n  b: \"x\n  c: \"y\"\n", "2:6", "close the quote"},
		{"single quote", "a:\n  b: 'x\n# it's\n", "2:6", "close the quote"},
		{"quote at the end", "a: \"x\n", "1:4", "close the quote"},
		{"quote in a list", "a: [x, 'y]\nb: 1\n", "1:8", "close the quote"},
		{"quoted key", "\"a\": 1\n'b': 'x\nc: 1\n", "2:6", "close the quote"},
		{"closed twice", "a: \"x\"\"\n", "1:7", "closed before it"},
		{"text after a quote", "a: 'x' y\n", "1:8", "closed before it"},
		{"bracket", "a: [x, y\nb: 1\n", "1:4", "close the bracket"},
		{"bracket in a nested map", "a:\n  b: [x\n  c: 1\n", "2:6", "close the bracket"},
		{"brace", "a: {x: 1\nb: 1\n", "1:4", "close the bracket"},
		{"inner bracket", "a: [x, [y]\nb: 1\n", "1:4", "close the bracket"},
		{"other bracket", "a: [x}\n", "1:6", "close the bracket with ]"},
		{"text after a bracket", "a: [x] y\n", "1:8", "remove what follows"},
		{"tab", "a:\n\tb: 1\n", "2:1", "spaces only"},
		{"reserved character", "a: @x\n", "1:4", "in quotes"},
		{"list item without a dash", "a:\n- b\nc\n", "3:1", "colon"},
		{"dash in a map", "a: 1\n- b\n", "2:1", "list item"},
		{"alias to nothing", "a: 1\nb: *x\n", "2:4", "&x"},
		{"after a block of text", "a: |\n  b: [\n  \"\nc: d: e\n", "4:5", "must be quoted"},
		{"after a quote of two lines", "a: \"x\n  y\"\nc: d: e\n", "3:5", "must be quoted"},
		{"after a list of two lines", "a: [x,\n  y]\nc: d: e\n", "3:5", "must be quoted"},
		{"after a list that is not indented", "a:\n- b: 1\n  c: 2\n- d\ne: f: g\n", "5:5", "must be quoted"},
		{"after lists in lists", "- - a\n  - b\n- c: 1\n  d: e: f\n", "4:7", "must be quoted"},
		{"after an anchor", "a: &x\n  b: 1\nc: &y [1]\nd: !!str e: f\n", "4:11", "must be quoted"},
		{"after text of two lines", "a: b\n  c\nd: e: f\n", "3:5", "must be quoted"},
		{"dash too deep", "a:\n- b\n - c\n", "3:2", "dashes of one list"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadYAML("x.yaml", []byte(test.text), MaxPlanBytes)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), "x.yaml:"+test.at+": ") || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %s and %q", err, test.at, test.says)
			}
		})
	}
}

// Text that was folded at a dash by a program is text.
func TestFoldedDash(t *testing.T) {
	long := strings.Repeat("x", 90)
	for _, text := range []string{"a: " + long + "\n  - y\n", "a: 'b\n  - y'\n", "a: b - c\n", "a: >\n  b\n  - y\n"} {
		if _, err := ReadYAML("x.yaml", []byte(text), MaxPlanBytes); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Looking for the mistake in a large document takes as long as reading it.
func TestSyntaxErrorsInLargeDocuments(t *testing.T) {
	deeper := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.Repeat(" ", i) + "a:\n")
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"keys":          strings.Repeat("a: 1\n", 60_000) + "x: [",
		"dashes":        strings.Repeat("- ", 50_000) + "x: y: z",
		"deeper":        deeper(1500) + "x: [",
		"quotes":        strings.Repeat("- 'a\n  b'\n", 40_000) + "- '",
		"one long line": "a: " + strings.Repeat("x ", 1_000_000) + ": y",
		"brackets":      strings.Repeat("- [a,\n  b]\n", 30_000) + "- [",
		"text":          "a:\n" + strings.Repeat("  b c\n", 60_000) + "x: [",
		"spaces":        "a: [" + strings.Repeat("x - y, ", 8) + "\n" + strings.Repeat(" ", 3_000_000) + "- z",
	} {
		start := time.Now()
		_, err := ReadYAML("x.yaml", []byte(text), MaxPlanBytes)
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}
