// Package textdiff compares two texts line by line, with the algorithm of Myers
// (An O(ND) Difference Algorithm and Its Variations, 1986), and prints what
// differs as `diff -u` does.
package textdiff

import (
	"fmt"
	"strings"
)

// Kind says on which side a line stands.
type Kind byte

// Kinds of a line.
const (
	Same    Kind = ' '
	Removed Kind = '-'
	Added   Kind = '+'
)

// Line is one line of a hunk, without its line ending.
type Line struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
	Old  int    `json:"old,omitempty"` // line number in the old text, from 1
	New  int    `json:"new,omitempty"` // line number in the new text, from 1
}

// MarshalText encodes a kind as its character.
func (k Kind) MarshalText() ([]byte, error) { return []byte{byte(k)}, nil }

// Hunk is a run of changes with the unchanged lines around them.
type Hunk struct {
	OldStart int    `json:"old_start"`
	OldLines int    `json:"old_lines"`
	NewStart int    `json:"new_start"`
	NewLines int    `json:"new_lines"`
	Lines    []Line `json:"lines"`
}

// Header is the line that begins a hunk in a unified diff.
func (h Hunk) Header() string {
	return fmt.Sprintf("@@ -%d,%d +%d,%d @@", h.OldStart, h.OldLines, h.NewStart, h.NewLines)
}

const (
	maxEdits = 1500 // beyond which two texts are shown one after the other
	noEnd    = `\ No newline at end of file`
)

// split cuts a text into lines; a last line without an ending is marked, since
// that differs too.
func split(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.Split(s, "\n")
	if lines[len(lines)-1] == "" {
		return lines[:len(lines)-1]
	}
	lines[len(lines)-1] += " " + noEnd
	return lines
}

// Compare returns what differs between two texts, with so many lines of context.
// No hunks: the texts are equal.
func Compare(old, now string, context int) []Hunk {
	return hunks(edits(split(old), split(now)), context)
}

// edits lists all lines of both texts in order.
func edits(a, b []string) []Line {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []Line
	for i := range head {
		out = append(out, Line{Same, a[i], i + 1, i + 1})
	}
	for _, l := range middle(a[head:len(a)-tail], b[head:len(b)-tail]) {
		if l.Old > 0 {
			l.Old += head
		}
		if l.New > 0 {
			l.New += head
		}
		out = append(out, l)
	}
	for i := tail; i > 0; i-- {
		out = append(out, Line{Same, a[len(a)-i], len(a) - i + 1, len(b) - i + 1})
	}
	return out
}

// middle compares what neither begins nor ends alike.
func middle(a, b []string) []Line {
	n, m := len(a), len(b)
	limit := min(n+m, maxEdits)
	v := make([]int, 2*limit+3)
	var trace [][]int
	for d := 0; d <= limit; d++ {
		trace = append(trace, append([]int{}, v[limit+1-d:limit+2+d]...)) // what step d starts from
		for k := -d; k <= d; k += 2 {
			var x int
			if k == -d || k != d && v[limit+1+k-1] < v[limit+1+k+1] {
				x = v[limit+1+k+1]
			} else {
				x = v[limit+1+k-1] + 1
			}
			for x < n && x-k < m && a[x] == b[x-k] {
				x++
			}
			v[limit+1+k] = x
			if x >= n && x-k >= m {
				return walkBack(a, b, trace, d)
			}
		}
	}
	return apart(a, b)
}

// apart shows two texts that have too little in common.
func apart(a, b []string) []Line {
	out := make([]Line, 0, len(a)+len(b))
	for i, s := range a {
		out = append(out, Line{Removed, s, i + 1, 0})
	}
	for i, s := range b {
		out = append(out, Line{Added, s, 0, i + 1})
	}
	return out
}

func walkBack(a, b []string, trace [][]int, d int) []Line {
	var rev []Line
	x, y := len(a), len(b)
	for ; d > 0; d-- {
		row := trace[d] // row[k+d] is the reach on diagonal k before step d
		at := func(k int) int {
			if k < -d || k > d {
				return -1
			}
			return row[k+d]
		}
		k := x - y
		down := k == -d || k != d && at(k-1) < at(k+1)
		prev := k - 1
		if down {
			prev = k + 1
		}
		px := at(prev)
		py := px - prev
		for x > px && y > py && (down && y > py+1 || !down && x > px+1) {
			rev = append(rev, Line{Same, a[x-1], x, y})
			x, y = x-1, y-1
		}
		if down {
			rev = append(rev, Line{Added, b[y-1], 0, y})
			y--
		} else {
			rev = append(rev, Line{Removed, a[x-1], x, 0})
			x--
		}
	}
	for ; x > 0 && y > 0; x, y = x-1, y-1 {
		rev = append(rev, Line{Same, a[x-1], x, y})
	}
	for i, j := 0, len(rev)-1; i < j; i, j = i+1, j-1 {
		rev[i], rev[j] = rev[j], rev[i]
	}
	return rev
}

// hunks keeps the changes and what stands near them.
func hunks(lines []Line, context int) []Hunk {
	var out []Hunk
	for i := 0; i < len(lines); i++ {
		if lines[i].Kind == Same {
			continue
		}
		from, to := max(0, i-context), i
		for quiet := 0; to < len(lines) && quiet <= 2*context; to++ {
			quiet++
			if lines[to].Kind != Same {
				quiet, i = 0, to
			}
		}
		to = min(len(lines), i+context+1)
		out = append(out, hunk(lines[from:to]))
		i = to - 1
	}
	return out
}

func hunk(lines []Line) Hunk {
	h := Hunk{Lines: lines}
	for _, l := range lines {
		if l.Old > 0 {
			if h.OldStart == 0 {
				h.OldStart = l.Old
			}
			h.OldLines++
		}
		if l.New > 0 {
			if h.NewStart == 0 {
				h.NewStart = l.New
			}
			h.NewLines++
		}
	}
	return h
}
