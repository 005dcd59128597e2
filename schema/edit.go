package schema

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// editor changes a YAML text at the positions of its nodes and leaves every
// other byte alone. What it cannot place exactly it does not do.
type editor struct {
	data  []byte
	lines []int // offset of each line
	edits []textEdit
}

// textEdit replaces the bytes from start to end.
type textEdit struct {
	start, end int
	text       string
}

func newEditor(data []byte) *editor {
	e := &editor{data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			e.lines = append(e.lines, i+1)
		}
	}
	return e
}

// offset is where a node begins, -1 if that is outside the text.
func (e *editor) offset(n *Node) int {
	if n.Line < 1 || n.Line > len(e.lines) {
		return -1
	}
	at := e.lines[n.Line-1]
	for range n.Column - 1 {
		if at >= len(e.data) || e.data[at] == '\n' {
			return -1
		}
		_, size := utf8.DecodeRune(e.data[at:])
		at += size
	}
	return at
}

// scalar is the extent of a scalar that stands in the text as word, plain or in
// quotes.
func (e *editor) scalar(n *Node, word string) (start, end int, ok bool) {
	start = e.offset(n)
	if start < 0 {
		return 0, 0, false
	}
	rest := e.data[start:]
	for _, form := range []string{word, "'" + word + "'", `"` + word + `"`} {
		if !bytes.HasPrefix(rest, []byte(form)) {
			continue
		}
		after := rest[len(form):]
		if len(after) == 0 || bytes.IndexByte([]byte(" \t\r\n:,]}#"), after[0]) >= 0 {
			return start, start + len(form), true
		}
	}
	return 0, 0, false
}

// replace writes text where the scalar stands as word. Quotes go.
func (e *editor) replace(n *Node, word, text string) bool {
	start, end, ok := e.scalar(n, word)
	if ok {
		e.edits = append(e.edits, textEdit{start, end, text})
	}
	return ok
}

// replaceBool writes a boolean where another stands in any of YAML's words.
func (e *editor) replaceBool(n *Node, text string) bool {
	for _, word := range []string{"true", "false", "yes", "no", "on", "off"} {
		for _, form := range []string{word, strings.ToUpper(word), strings.ToUpper(word[:1]) + word[1:]} {
			if e.replace(n, form, text) {
				return true
			}
		}
	}
	return false
}

// block tells whether a key is the first thing on its line, and where the line
// begins.
func (e *editor) block(key *Node) (lineStart int, ok bool) {
	at := e.offset(key)
	if at < 0 {
		return 0, false
	}
	lineStart = e.lines[key.Line-1]
	return lineStart, strings.Trim(string(e.data[lineStart:at]), " ") == ""
}

// remove takes out the lines of a pair of a block map. Comments and empty lines
// behind it stay.
func (e *editor) remove(key *Node) bool {
	start, ok := e.block(key)
	if !ok {
		return false
	}
	end := e.lineEnd(start)
	for last := end; last < len(e.data); {
		next := e.lineEnd(last)
		text := strings.TrimRight(string(e.data[last:next]), " \r\n")
		content := strings.TrimLeft(text, " ")
		switch {
		case content == "" || content[0] == '#':
		case len(text)-len(content) >= key.Column: // deeper than the key
			end = next
		default:
			next = len(e.data)
		}
		last = next
	}
	e.edits = append(e.edits, textEdit{start, end, ""})
	return true
}

func (e *editor) lineEnd(start int) int {
	if i := bytes.IndexByte(e.data[start:], '\n'); i >= 0 {
		return start + i + 1
	}
	return len(e.data)
}

// insert writes a map in block style before a key of a block map, at its
// indentation.
func (e *editor) insert(before *Node, m *Node) bool {
	start, ok := e.block(before)
	if !ok {
		return false
	}
	indent := strings.Repeat(" ", before.Column-1)
	newline := "\n"
	if bytes.Contains(e.data, []byte("\r\n")) {
		newline = "\r\n"
	}
	var b strings.Builder
	for line := range strings.Lines(string(Dump(m))) {
		b.WriteString(indent + strings.TrimSuffix(line, "\n") + newline)
	}
	e.edits = append(e.edits, textEdit{start, start, b.String()})
	return true
}

// apply returns the changed text, or false if two edits overlap.
func (e *editor) apply() ([]byte, bool) {
	slices.SortStableFunc(e.edits, func(a, b textEdit) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, edit := range e.edits {
		if edit.start < at {
			return nil, false
		}
		out = append(append(out, e.data[at:edit.start]...), edit.text...)
		at = edit.end
	}
	return append(out, e.data[at:]...), true
}
