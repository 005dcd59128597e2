package transport

import (
	"os"
	"strings"
	"testing"
)

// Every cause has its row in the table that operators read, with whether a
// collaborator waits, and nothing else has one.
func TestCausesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "| cause | what it means | waits | what to do |\n| --- | --- | --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	seen := map[Cause]bool{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		if len(cells) != 4 {
			t.Fatalf("a row has %d cells, want 4: %s", len(cells), row)
		}
		cause := Cause(strings.Trim(cells[0], "| `"))
		r, ok := remedies[cause]
		if !ok || seen[cause] {
			t.Errorf("%q is no cause, or has two rows", cause)
		}
		seen[cause] = true
		if waits := strings.HasPrefix(cells[2], "yes"); waits != r.retry {
			t.Errorf("%s: the table says that it waits: %v, the code %v", cause, waits, r.retry)
		}
	}
	for cause := range remedies {
		if !seen[cause] {
			t.Errorf("%s has no row in docs/operations.md", cause)
		}
	}
}
