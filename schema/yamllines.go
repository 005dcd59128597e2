package schema

import (
	"fmt"
	"strings"
)

// suspicion is where the mistake in a document with an error of syntax probably
// is, and what to do.
type suspicion struct {
	line, column  int
	message, hint string
}

const (
	hintIndent = "check the indentation: keys of one map start in the same column, and what is nested starts further right"
	hintColon  = "a key and its value need a colon followed by a space between them"
	hintQuoted = "a value that contains \": \" must be quoted, and a nested key must start its own line"
)

// suspect walks the lines of a document that the YAML parser has refused and
// returns the first one that does not fit to those above. It knows the part of
// YAML that people write in plans; the parser, which sees more, gives up where
// things stop making sense, often far below the mistake.
func suspect(lines []string) *suspicion {
	w := &lineWalk{lines: make([][]rune, len(lines)), columns: map[int]int{}}
	for i, text := range lines {
		w.lines[i] = []rune(text)
		if start, ok := w.content(i); ok {
			w.columns[start]++
		}
	}
	for w.next < len(w.lines) && w.found == nil {
		i := w.next
		w.next++
		if start, ok := w.content(i); ok {
			w.line(i, start)
		}
	}
	return w.found
}

// level is a block map, a block list, or text on lines of its own, that is open.
type level struct {
	indent  int
	line    int // index of the line where it began
	last    int // index of the line of its latest entry
	list    bool
	text    bool // neither map nor list
	pending bool // the latest entry has no value yet
}

type lineWalk struct {
	lines   [][]rune
	columns map[int]int // how many lines begin there
	next    int         // index of the line to look at next
	open    []level
	found   *suspicion
}

func (w *lineWalk) suspect(i, column int, message, hint string) {
	if w.found == nil {
		w.found = &suspicion{i + 1, column + 1, message, hint}
	}
}

// content is the index of the first character of a line that is not a space; ok
// is false for empty lines and comments.
func (w *lineWalk) content(i int) (start int, ok bool) {
	line := w.lines[i]
	for start < len(line) && line[start] == ' ' {
		start++
	}
	return start, start < len(line) && line[start] != '#' && strings.TrimSpace(string(line[start:])) != ""
}

func (w *lineWalk) line(i, start int) {
	line := w.lines[i]
	if line[start] == '\t' {
		w.suspect(i, start, "a tab indents this line", "indent with spaces only")
		return
	}
	if text := string(line); start == 0 && (strings.HasPrefix(text, "---") || strings.HasPrefix(text, "...") || text[0] == '%') {
		w.open = nil
		return
	}
	for at := start; w.found == nil; {
		dash := line[at] == '-' && blankAt(line, at+1)
		colon := -1
		if !dash {
			colon = keyEnd(line, at)
		}
		w.enter(i, at, dash, colon >= 0)
		if w.found != nil || len(w.open) == 0 {
			return
		}
		top := &w.open[len(w.open)-1]
		switch {
		case dash:
			top.pending, top.last = true, i
			if at = skipSpaces(line, at+1); at == len(line) || line[at] == '#' {
				return
			}
			continue
		case colon >= 0:
			top.last = i
			value := skipProperties(line, skipSpaces(line, colon+1))
			top.pending = value == len(line) || line[value] == '#'
			if !top.pending {
				w.value(i, value, at)
			}
		default:
			w.value(i, skipProperties(line, at), at)
		}
		return
	}
}

// enter finds the level that something in a column belongs to, or opens it.
func (w *lineWalk) enter(i, column int, dash, key bool) {
	var left *level
	for len(w.open) > 0 && column < w.open[len(w.open)-1].indent {
		left = &level{}
		*left = w.open[len(w.open)-1]
		w.open = w.open[:len(w.open)-1]
	}
	if left != nil && (len(w.open) == 0 || column > w.open[len(w.open)-1].indent) {
		w.disagree(i, column, left.line, left.indent)
		return
	}
	if n := len(w.open); n > 1 && !dash && w.open[n-1].list && w.open[n-1].indent == column && w.open[n-2].indent == column {
		w.open = w.open[:n-1] // the end of a list that was not indented
	}
	if len(w.open) == 0 {
		w.push(i, column, dash, key)
		return
	}
	switch top := &w.open[len(w.open)-1]; {
	case column > top.indent && top.pending, column == top.indent && dash && !top.list && top.pending:
		top.pending = false
		w.push(i, column, dash, key)
	case column > top.indent && key && top.text:
		w.suspect(top.line, top.indent, "this line has no value, and what follows is nested below it", hintColon)
	case column > top.indent && key:
		w.disagree(i, column, top.last, top.indent)
	case column > top.indent: // the text above goes on
	case dash == top.list && (dash || key) && !top.text:
	case top.text && key:
		w.suspect(top.line, top.indent, "this line is neither a key nor a list item", hintColon)
	case top.text:
	case dash:
		w.suspect(i, column, "a list item where a key was expected", hintIndent)
	case top.list && key && len(w.open) > 1 && w.columns[w.open[len(w.open)-2].indent] < w.columns[column]:
		above := w.open[len(w.open)-2]
		w.disagree(i, column, above.last, above.indent)
	case top.list:
		w.suspect(i, column, "a list item begins with a dash and a space", "write - before it, or check the indentation")
	default:
		w.suspect(i, column, "this line is neither a key nor a list item", hintColon)
	}
}

func (w *lineWalk) push(i, column int, dash, key bool) {
	w.open = append(w.open, level{indent: column, line: i, last: i, list: dash, text: !dash && !key})
}

// disagree blames one of the lines that do not begin in the same column though
// they should: the current one, the one that it was compared with, or the latest
// entry of the level around both. It is the one whose column is rarest in the
// document.
func (w *lineWalk) disagree(i, column, other, otherColumn int) {
	line, at, against, againstColumn := i, column, other, otherColumn
	blame := func(candidate, candidateColumn int) {
		if start, _ := w.content(candidate); start == candidateColumn && w.columns[candidateColumn] < w.columns[at] {
			line, at, against, againstColumn = candidate, candidateColumn, i, column
		}
	}
	blame(other, otherColumn)
	if n := len(w.open); n > 0 {
		blame(w.open[n-1].last, w.open[n-1].indent)
	}
	w.suspect(line, at, fmt.Sprintf("this line begins in column %d, and line %d in column %d", at+1, against+1, againstColumn+1), hintIndent)
}

// value looks at a value that begins at a column; parent is where its key does.
func (w *lineWalk) value(i, at, parent int) {
	line := w.lines[i]
	if at == len(line) {
		return
	}
	switch line[at] {
	case '"', '\'':
		w.quoted(i, at)
	case '[', '{':
		w.flow(i, at, parent)
	case '|', '>':
		for w.next < len(w.lines) {
			if start, ok := w.content(w.next); ok && start <= parent {
				return
			}
			w.next++
		}
	case '@', '`', '%':
		w.suspect(i, at, "a value cannot begin with "+string(line[at]), "put the value in quotes")
	case '*':
	default:
		if colon := keyEnd(line, at); colon >= 0 {
			w.suspect(i, colon, "a second colon on this line", hintQuoted)
		}
	}
}

// quoted follows a quoted value, which should end on its line.
func (w *lineWalk) quoted(i, at int) {
	const message, hint = "the quote that opens here is never closed", "close the quote"
	end := quoteEnd(w.lines[i], at)
	if end >= 0 {
		w.after(i, end, "the quote", "close the quote once; inside it write "+map[rune]string{'"': `\"`, '\'': "''"}[w.lines[i][at]])
		return
	}
	for ; w.next < len(w.lines); w.next++ {
		line := w.lines[w.next]
		start, ok := w.content(w.next)
		if ok && (keyEnd(line, start) >= 0 || line[start] == '-' && blankAt(line, start+1)) || start < len(line) && line[start] == '#' {
			break
		}
		if end := quoteEnd(append([]rune{w.lines[i][at]}, line...), 0); end >= 0 {
			w.next++
			w.after(w.next-1, end-1, "the quote", hint)
			return
		}
	}
	w.suspect(i, at, message, hint)
}

// flow follows a value in brackets to the bracket that closes it.
func (w *lineWalk) flow(i, at, parent int) {
	type bracket struct {
		char         rune
		line, column int
	}
	var open []bracket
	line, number := w.lines[i], i
	for j := at; ; j++ {
		for j >= len(line) {
			number, j = number+1, 0
			start, content := 0, false
			if number < len(w.lines) {
				line = w.lines[number]
				start, content = w.content(number)
			}
			if number == len(w.lines) || content && start <= parent && keyEnd(line, start) >= 0 {
				last := open[len(open)-1]
				w.suspect(last.line, last.column, "the bracket that opens here is never closed", "close the bracket")
				return
			}
		}
		switch c := line[j]; c {
		case '"', '\'':
			if j == 0 || strings.ContainsRune(" ,:[{", line[j-1]) {
				end := quoteEnd(line, j)
				if end < 0 {
					w.suspect(number, j, "the quote that opens here is never closed", "close the quote")
					return
				}
				j = end - 1
			}
		case '#':
			if j == 0 || line[j-1] == ' ' {
				j = len(line)
			}
		case '[', '{':
			open = append(open, bracket{c, number, j})
		case ']', '}':
			want := map[rune]rune{'[': ']', '{': '}'}[open[len(open)-1].char]
			if c != want {
				w.suspect(number, j, "the bracket "+string(open[len(open)-1].char)+" is closed by "+string(c), "close the bracket with "+string(want))
				return
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				w.next = number + 1
				w.after(number, j+1, "the bracket", "remove what follows the bracket")
				return
			}
		}
	}
}

// after complains about what follows a value that is complete.
func (w *lineWalk) after(i, at int, what, hint string) {
	line := w.lines[i]
	if at = skipSpaces(line, at); at < len(line) && line[at] != '#' {
		w.suspect(i, at, "something follows "+what+" that is closed before it", hint)
	}
}

func blankAt(line []rune, i int) bool { return i >= len(line) || line[i] == ' ' || line[i] == '\t' }

func skipSpaces(line []rune, i int) int {
	for i < len(line) && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r') {
		i++
	}
	return i
}

// skipProperties skips anchors and tags before a value.
func skipProperties(line []rune, i int) int {
	for i < len(line) && (line[i] == '&' || line[i] == '!') {
		for i < len(line) && !blankAt(line, i) {
			i++
		}
		i = skipSpaces(line, i)
	}
	return i
}

// quoteEnd is the index after the quote that closes the one at i, or -1.
func quoteEnd(line []rune, i int) int {
	quote := line[i]
	for j := i + 1; j < len(line); j++ {
		switch {
		case quote == '"' && line[j] == '\\':
			j++
		case line[j] != quote:
		case quote == '\'' && j+1 < len(line) && line[j+1] == quote:
			j++
		default:
			return j + 1
		}
	}
	return -1
}

// keyEnd is the index of the colon that ends the key at i, or -1.
func keyEnd(line []rune, i int) int {
	switch line[i] {
	case '"', '\'':
		end := quoteEnd(line, i)
		if end < 0 {
			return -1
		}
		if end = skipSpaces(line, end); end < len(line) && line[end] == ':' && blankAt(line, end+1) {
			return end
		}
		return -1
	case '[', '{':
		return -1
	}
	for ; i < len(line); i++ {
		switch {
		case line[i] == '#' && i > 0 && line[i-1] == ' ':
			return -1
		case line[i] == ':' && blankAt(line, i+1):
			return i
		}
	}
	return -1
}
