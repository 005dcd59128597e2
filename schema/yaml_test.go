package schema

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Hostile documents are refused quickly and without much memory.
func TestBounds(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		ref := fmt.Sprintf("*a%d", i)
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(ref+", ", 10), ", "))
	}
	keys := make([]string, 2000)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%d: 1", i)
	}
	mergeBomb := "base: &b {" + strings.Join(keys, ", ") + "}\nm:\n  <<: [" + strings.TrimSuffix(strings.Repeat("*b, ", 50000), ", ") + "]\n"
	tests := []struct{ name, text, id string }{
		{"aliases", bomb, "too-large"},
		{"merge keys", mergeBomb, "too-large"},
		{"size", strings.Repeat("#", MaxPlanBytes+1), "too-large"},
		{"values", "[" + strings.Repeat("a,", 500_000) + "]", "too-large"},
		{"flow depth", strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "too-deep"},
		{"block depth", strings.Repeat("- ", 5000) + "x", "too-deep"},
		{"unclosed flow", strings.Repeat("[", 50_000), "yaml-syntax"},
		{"cycle", "a: &a [*a]", "alias-cycle"},
		{"cycle in a merge", "a: &a\n  <<: *a\n", "alias-cycle"},
		{"anchor twice", "a: &a 1\nb: &a 2\n", "duplicate-anchor"},
		{"bytes", "a: \xff", "not-text"},
		{"control character", "a: \x01", "not-text"},
		{"nothing", "", "empty"},
		{"comment only", "# x\n", "empty"},
		{"two documents", "a: 1\n---\nb: 2\n", "several-documents"},
		{"tab before a value", "a:\tb", "tab"},
		{"python tag", "a: !!python/object:os.system x", "value"},
		{"binary", "a: !!binary aGk=", "value"},
		{"set", "a: !!set {b}", "tag"},
		{"huge integer", "a: 99999999999999999999", "value"},
		{"no date", "a: 2001-02-30", "value"},
		{"lone equals sign", "a: =", "value"},
		{"list as a key", "? [a]\n: b\n", "key"},
		{"same number twice", "1: a\n1.0: b\n", "duplicate-key"},
		{"true and 1", "true: a\n1: b\n", "duplicate-key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := ReadYAML("x.yaml", []byte(test.text), MaxPlanBytes)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			var fs Findings
			if !errors.As(err, &fs) || fs[0].ID != test.id {
				t.Fatalf("got %v, want %s", err, test.id)
			}
			if took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
				t.Errorf("allocated %d MiB", used>>20)
			}
		})
	}
}

// Types and positions, as PyYAML has them.
func TestReadYAML(t *testing.T) {
	const text = "a: yes\nb:\n  - 1e-3\n  - 1.0e-3\n  - 0x10\n  - 1_000\n  - 1:30\n  - 07\n  - 2001-01-01\n  - ~\n  - '5'\nc: &x {d: e}\nf: *x\n"
	root, err := ReadYAML("x.yaml", []byte(text), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := root.At("a").Describe(); got != "true" {
		t.Errorf("a is %s", got)
	}
	want := []string{`string "1e-3"`, "number 0.001", "integer 16", "integer 1000", "integer 90", "integer 7", "date 2001-01-01", "null", `string "5"`}
	for i, item := range root.At("b").Items {
		if got := item.Describe(); got != want[i] {
			t.Errorf("b[%d] is %s, want %s", i, got, want[i])
		}
		if item.Line != i+3 || item.Column != 5 {
			t.Errorf("b[%d] is at %d:%d, want %d:5", i, item.Line, item.Column, i+3)
		}
	}
	if root.At("c") != root.At("f") {
		t.Error("the alias is another object than its anchor")
	}
	if k := root.Key("f"); k.Line != 13 || k.Column != 1 {
		t.Errorf("f is at %d:%d", k.Line, k.Column)
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"round_to_train": "rounds_to_train", "tmeplate": "template", "RESTE": "", "openfl.Median": "", "x": "", "": "",
		"openfl.component.aggregator.Aggregatr": "", "wrong.path.template_of_all": "some.other.template_of_all",
	} {
		if got := Nearest(word, []string{"rounds_to_train", "template", "settings", "some.other.template_of_all"}); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
