package finding

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRules: ids are in order, since they are searched for, and every rule says
// what it means and what it does not.
func TestRules(t *testing.T) {
	list := Rules()
	for i, r := range list {
		if i > 0 && list[i-1].ID >= r.ID {
			t.Errorf("rule %s stands behind %s", r.ID, list[i-1].ID)
		}
		if r.Severity.Rank() < 0 || r.Means == "" || r.Not == "" {
			t.Errorf("rule %+v is not complete", r)
		}
		if found, ok := Lookup(r.ID); !ok || found != r {
			t.Errorf("rule %s is not found", r.ID)
		}
	}
	if _, ok := Lookup("B000"); ok {
		t.Error("a rule is found that does not exist")
	}
}

// TestReviewerTable: docs/reviewer.md has the table of rules as it is.
// FX_UPDATE_DOCS=1 writes it there.
func TestReviewerTable(t *testing.T) {
	const file = "../../../docs/reviewer.md"
	const from, to = "<!-- rules: begin -->\n", "<!-- rules: end -->"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	begin, end := strings.Index(text, from), strings.Index(text, to)
	if begin < 0 || end < begin {
		t.Fatal("docs/reviewer.md has no place for the table")
	}
	list := Rules()
	slices.SortStableFunc(list, func(a, b Rule) int { return a.Severity.Rank() - b.Severity.Rank() })
	var b strings.Builder
	fmt.Fprintln(&b, "| rule | severity | means | does not mean |\n| --- | --- | --- | --- |")
	for _, r := range list {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.ID, r.Severity, r.Means, r.Not)
	}
	want := text[:begin+len(from)] + b.String() + text[end:]
	if want == text {
		return
	}
	if os.Getenv("FX_UPDATE_DOCS") == "" {
		t.Fatal("docs/reviewer.md does not have the table of rules as it is; FX_UPDATE_DOCS=1 go test ./bundle/inspect/finding writes it")
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"  x = 1\r\n", "  x = 1"},
		{"a\x1b[2Kb\u202ec", `a\x1b[2Kb\u202ec`},
		{"x" + strings.Repeat(" ", 150) + "evil()", "x [150 spaces] evil()"},
		{"\xff\xfe", `\ufffd`},
		{"\tx", "    x"},
	} {
		if got := Line(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	if got := Line(strings.Repeat("é", 100000)); len([]rune(got)) > 170 || !strings.HasSuffix(got, "…") {
		t.Errorf("a long line has %d characters", len([]rune(got)))
	}
}

func TestSeal(t *testing.T) {
	f := func(line int, code string) Finding { return New("B102", "m.py", line, code, "exec") }
	a := Seal([]Finding{f(9, "exec(x)"), f(3, "exec(x)"), f(3, "exec(x)"), f(5, "exec(y)")})
	if len(a) != 3 || a[0].Line != 3 || a[2].Line != 9 {
		t.Fatalf("sealed: %+v", a)
	}
	if a[0].Fingerprint == a[2].Fingerprint || a[0].Fingerprint == a[1].Fingerprint || !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(a[0].Fingerprint) {
		t.Errorf("fingerprints: %+v", a)
	}
	b := Seal([]Finding{f(30, "    exec(x)"), f(90, "exec(x)"), f(50, "exec(y)")})
	for i := range a {
		if a[i].Fingerprint != b[i].Fingerprint {
			t.Errorf("fingerprint %d moved with its line", i)
		}
	}
}
