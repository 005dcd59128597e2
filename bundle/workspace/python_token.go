package workspace

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPython is the largest Python file that is looked at, in bytes.
const maxPython = 1 << 20

// Kinds of a Python token.
type pyKind uint8

const (
	pyEnd     pyKind = iota
	pyNewline        // the end of a logical line
	pyIndent
	pyDedent
	pyName // a name or a keyword
	pyText // a string
	pyOther
)

// pyToken is one token of a Python file. Text is that of names and of operators,
// which are single characters except for `->`, `:=` and comparisons with `=`.
type pyToken struct {
	kind         pyKind
	text         string
	line, column int // from 1; column counts characters
}

// pyProblem is where a Python file stops being one.
type pyProblem struct {
	line, column int
	message      string
}

// tokenizePython splits Python source, of any version from 3.6 to 3.14, into
// tokens, as far as finding names at the top of files and classes needs it: that
// is, exactly where strings, brackets, lines and blocks end. Nothing is run.
func tokenizePython(source []byte) ([]pyToken, *pyProblem) {
	if !utf8.Valid(source) {
		return nil, &pyProblem{0, 0, "the file is not UTF-8 text"}
	}
	s := &pyScanner{src: strings.TrimPrefix(string(source), "\uFEFF"), line: 1, column: 1, indents: []int{0}}
	for s.problem == nil && s.next() {
	}
	return s.tokens, s.problem
}

type pyScanner struct {
	src          string
	at           int
	line, column int
	indents      []int
	brackets     []pyToken
	tokens       []pyToken
	inLine       bool // a token of the logical line was seen
	problem      *pyProblem
}

func (s *pyScanner) fail(line, column int, format string, a ...any) {
	if s.problem == nil {
		s.problem = &pyProblem{line, column, fmt.Sprintf(format, a...)}
	}
}

// peek is the character n bytes ahead, 0 at the end.
func (s *pyScanner) peek(n int) byte {
	if s.at+n < len(s.src) {
		return s.src[s.at+n]
	}
	return 0
}

// step consumes one character, and a line ending of any kind as one.
func (s *pyScanner) step() {
	r, size := utf8.DecodeRuneInString(s.src[s.at:])
	s.at += size
	s.column++
	if r == '\r' && s.peek(0) == '\n' {
		s.at++
	}
	if r == '\n' || r == '\r' {
		s.line++
		s.column = 1
	}
}

func (s *pyScanner) add(kind pyKind, text string, line, column int) {
	s.tokens = append(s.tokens, pyToken{kind, text, line, column})
}

// next reads one token, or skips what is none; false at the end of the file.
func (s *pyScanner) next() bool {
	if !s.inLine && len(s.brackets) == 0 && s.column == 1 && !s.indentation() {
		return s.problem == nil
	}
	if s.at >= len(s.src) {
		s.finish()
		return false
	}
	line, column := s.line, s.column
	r, _ := utf8.DecodeRuneInString(s.src[s.at:])
	switch r {
	case '\n', '\r':
		s.step()
		if len(s.brackets) == 0 && s.inLine {
			s.add(pyNewline, "", line, column)
			s.inLine = false
		}
		return true
	case ' ', '\t', '\f':
		s.step()
		return true
	case '#':
		s.comment()
		return true
	case '\\':
		s.step()
		if c := s.peek(0); c != '\n' && c != '\r' {
			s.fail(line, column, "there is something after the backslash that continues the line")
			return false
		}
		s.step()
		return true
	}
	s.inLine = true
	switch {
	case r == '"' || r == '\'':
		s.text("", 0)
	case r == '_' || unicode.IsLetter(r):
		s.word()
	case r >= '0' && r <= '9' || r == '.' && s.peek(1) >= '0' && s.peek(1) <= '9':
		for c := s.peek(0); c == '.' || c == '_' || c >= '0' && c <= '9' || c|32 >= 'a' && c|32 <= 'z'; c = s.peek(0) {
			s.step()
		}
		s.add(pyOther, "0", line, column)
	default:
		s.operator(r)
	}
	return s.problem == nil
}

// comment skips to the end of the line.
func (s *pyScanner) comment() {
	for s.at < len(s.src) && s.peek(0) != '\n' && s.peek(0) != '\r' {
		s.step()
	}
}

// indentation reads the space at the beginning of a line; false for a line that
// holds nothing but space and a comment.
func (s *pyScanner) indentation() bool {
	width := 0
	for s.at < len(s.src) {
		switch s.peek(0) {
		case ' ':
			width++
		case '\t':
			width += 8 - width%8
		case '\f':
			width = 0
		case '#':
			s.comment()
			continue
		case '\n', '\r':
			s.step()
			return false
		case '\\':
			if c := s.peek(1); c == '\n' || c == '\r' { // the next line goes on with this one
				s.step()
				s.step()
				continue
			}
			return s.indent(width)
		default:
			return s.indent(width)
		}
		s.step()
	}
	return true
}

func (s *pyScanner) indent(width int) bool {
	top := func() int { return s.indents[len(s.indents)-1] }
	opens := len(s.tokens) > 1 && s.tokens[len(s.tokens)-2].text == ":" && s.tokens[len(s.tokens)-1].kind == pyNewline
	switch {
	case opens && width <= top():
		s.fail(s.line, s.column, "there is no indented block after the colon")
		return false
	case width > top() && !opens:
		s.fail(s.line, s.column, "nothing above begins a block, but the line is indented")
		return false
	case width > top():
		if len(s.indents) == 100 {
			s.fail(s.line, s.column, "there are more than 100 levels of indentation")
			return false
		}
		s.indents = append(s.indents, width)
		s.add(pyIndent, "", s.line, s.column)
	case width < top():
		for width < top() {
			s.indents = s.indents[:len(s.indents)-1]
			s.add(pyDedent, "", s.line, s.column)
		}
		if width != top() {
			s.fail(s.line, s.column, "the indentation does not match that of any line above")
			return false
		}
	}
	return true
}

// word reads a name, or a string with a prefix such as rb or f.
func (s *pyScanner) word() {
	start, line, column := s.at, s.line, s.column
	for s.at < len(s.src) {
		r, _ := utf8.DecodeRuneInString(s.src[s.at:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			break
		}
		s.step()
	}
	word := s.src[start:s.at]
	if c := s.peek(0); (c == '"' || c == '\'') && len(word) <= 2 && strings.Trim(strings.ToLower(word), "rbuft") == "" {
		s.text(strings.ToLower(word), 0)
		return
	}
	s.add(pyName, word, line, column)
}

// operator reads brackets and everything else.
func (s *pyScanner) operator(r rune) {
	line, column, start := s.line, s.column, s.at
	switch r {
	case '(', '[', '{':
		if len(s.brackets) == 200 {
			s.fail(line, column, "there are more than 200 brackets inside each other")
			return
		}
		s.brackets = append(s.brackets, pyToken{pyOther, string(r), line, column})
	case ')', ']', '}':
		if len(s.brackets) == 0 {
			s.fail(line, column, "%q closes a bracket that was never opened", string(r))
			return
		}
		open := s.brackets[len(s.brackets)-1]
		if pair := open.text + string(r); pair != "()" && pair != "[]" && pair != "{}" {
			s.fail(line, column, "%q does not close the %q of line %d", string(r), open.text, open.line)
			return
		}
		s.brackets = s.brackets[:len(s.brackets)-1]
	case '$', '?', '`':
		s.fail(line, column, "%q has no meaning in Python", string(r))
		return
	default:
		if r >= utf8.RuneSelf || r < ' ' {
			s.fail(line, column, "%+q has no meaning in Python", string(r))
			return
		}
	}
	s.step()
	if next := s.peek(0); next == '=' && strings.ContainsRune("=!<>:", r) || r == '-' && next == '>' {
		s.step()
	}
	s.add(pyOther, s.src[start:s.at], line, column)
}

// finish ends the last line and closes all blocks.
func (s *pyScanner) finish() {
	if len(s.brackets) > 0 {
		open := s.brackets[len(s.brackets)-1]
		s.fail(open.line, open.column, "%q is never closed", open.text)
		return
	}
	if s.inLine {
		s.add(pyNewline, "", s.line, s.column)
	}
	for range s.indents[1:] {
		s.add(pyDedent, "", s.line, s.column)
	}
	s.add(pyEnd, "", s.line, s.column)
}
