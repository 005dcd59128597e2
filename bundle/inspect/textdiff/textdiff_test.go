package textdiff

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func unified(hunks []Hunk) string {
	var b strings.Builder
	for _, h := range hunks {
		fmt.Fprintln(&b, h.Header())
		for _, l := range h.Lines {
			fmt.Fprintf(&b, "%c%s\n", l.Kind, l.Text)
		}
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	old := "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n"
	for _, c := range []struct{ name, now, want string }{
		{"equal", old, ""},
		{"one line", strings.Replace(old, "e", "E", 1), "@@ -4,3 +4,3 @@\n d\n-e\n+E\n f\n"},
		{"added at the end", old + "k\n", "@@ -10,1 +10,2 @@\n j\n+k\n"},
		{"removed at the start", old[2:], "@@ -1,2 +1,1 @@\n-a\n b\n"},
		{"two hunks", strings.NewReplacer("a", "A", "j", "J").Replace(old), "@@ -1,2 +1,2 @@\n-a\n+A\n b\n@@ -9,2 +9,2 @@\n i\n-j\n+J\n"},
		{"no newline", strings.TrimSuffix(old, "\n"), "@@ -9,2 +9,2 @@\n i\n-j\n+j \\ No newline at end of file\n"},
		{"from nothing", "", "@@ -1,10 +0,0 @@\n-a\n-b\n-c\n-d\n-e\n-f\n-g\n-h\n-i\n-j\n"},
	} {
		if got := unified(Compare(old, c.now, 1)); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestEditsRebuildBothTexts: whatever differs, the lines of a comparison are
// those of both texts, and there are no more changes than the texts have lines.
func TestEditsRebuildBothTexts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		text := func() []string {
			var s []string
			for range r.IntN(30) {
				s = append(s, string(rune('a'+r.IntN(4))))
			}
			return s
		}
		a, b := text(), text()
		var x, y []string
		for _, l := range edits(a, b) {
			if l.Kind != Added {
				x = append(x, l.Text)
				if l.Old != len(x) {
					t.Fatalf("line %d of the old text is numbered %d", len(x), l.Old)
				}
			}
			if l.Kind != Removed {
				y = append(y, l.Text)
				if l.New != len(y) {
					t.Fatalf("line %d of the new text is numbered %d", len(y), l.New)
				}
			}
		}
		if strings.Join(x, "") != strings.Join(a, "") || strings.Join(y, "") != strings.Join(b, "") {
			t.Fatalf("%v to %v gives %v and %v", a, b, x, y)
		}
	}
}

func TestTooDifferent(t *testing.T) {
	a, b := make([]string, 5000), make([]string, 5000)
	for i := range a {
		a[i], b[i] = fmt.Sprint("a", i), fmt.Sprint("b", i)
	}
	if got := len(edits(a, b)); got != 10000 {
		t.Errorf("%d lines, want all 10000", got)
	}
}
