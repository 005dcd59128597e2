// Package python reads Python source as a reviewer does who trusts nothing: it
// tokenizes, follows names through imports, aliases and constant text, and says
// what the code reaches. It runs nothing, and it goes on behind mistakes, because
// what a strict reader refuses to look at is where things are hidden.
package python

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

type kind uint8

const (
	tEnd kind = iota
	tNewline
	tIndent
	tDedent
	tName
	tNumber
	tString
	tOp
)

// token is one token. Text is a name (in the form that Python compares, NFKC), a
// number, an operator, or a string's value.
type token struct {
	kind   kind
	text   string
	line   int
	bytes  bool   // a bytes literal
	parts  []part // of an f-string, nil otherwise
	coded  int    // characters that were written as \x, \u, \N or octal
	opened bool   // the string never ends
}

// part is a piece of an f-string: text, or an expression's source.
type part struct {
	text string
	expr bool
	line int
}

type lexer struct {
	src     string
	at      int
	line    int
	indents []int
	depth   int    // open brackets; one more inside an expression of an f-string
	open    []byte // which they are
	start   bool
	toks    []token
	problem string // the first thing that is not Python
	where   int
}

const maxIndents = 200

// lex splits source into tokens and says what first kept it from being Python.
func lex(src string, line int, isExpr bool) *lexer {
	l := &lexer{src: src, line: line, indents: []int{0}, start: !isExpr}
	if isExpr {
		l.depth = 1 // line ends mean nothing
	}
	for l.at < len(l.src) {
		if l.start && l.depth == 0 {
			l.indentation()
			continue
		}
		l.next()
	}
	if l.depth > 0 && !isExpr {
		l.fault("a bracket is never closed")
	}
	l.add(tNewline, "")
	for range l.indents[1:] {
		l.add(tDedent, "")
	}
	l.add(tEnd, "")
	return l
}

func (l *lexer) fault(why string) {
	if l.problem == "" {
		l.problem, l.where = why, l.line
	}
}

func (l *lexer) add(k kind, text string) {
	l.toks = append(l.toks, token{kind: k, text: text, line: l.line})
}

func (l *lexer) peek(n int) byte {
	if l.at+n < len(l.src) {
		return l.src[l.at+n]
	}
	return 0
}

// newline consumes any line ending as one.
func (l *lexer) newline() {
	if l.src[l.at] == '\r' && l.peek(1) == '\n' {
		l.at++
	}
	l.at++
	l.line++
}

func (l *lexer) comment() {
	for l.at < len(l.src) && l.src[l.at] != '\n' && l.src[l.at] != '\r' {
		l.at++
	}
}

func (l *lexer) indentation() {
	width := 0
	for l.at < len(l.src) {
		switch l.src[l.at] {
		case ' ':
			width++
		case '\t':
			width += 8 - width%8
		case '\f':
			width = 0
		case '#':
			l.comment()
			continue
		case '\n', '\r':
			l.newline()
			return
		default:
			l.start = false
			l.indent(width)
			return
		}
		l.at++
	}
}

func (l *lexer) indent(width int) {
	top := l.indents[len(l.indents)-1]
	if width > top && len(l.indents) < maxIndents {
		l.indents = append(l.indents, width)
		l.add(tIndent, "")
		return
	}
	for width < l.indents[len(l.indents)-1] {
		l.indents = l.indents[:len(l.indents)-1]
		l.add(tDedent, "")
	}
	if width > l.indents[len(l.indents)-1] {
		l.fault("the indentation matches no line above")
	}
}

func (l *lexer) next() {
	c := l.src[l.at]
	switch {
	case c == '\n' || c == '\r':
		if l.depth == 0 {
			l.add(tNewline, "")
			l.start = true
		}
		l.newline()
	case c == ' ' || c == '\t' || c == '\f':
		l.at++
	case c == '#':
		l.comment()
	case c == '\\':
		l.at++
		if n := l.peek(0); n == '\n' || n == '\r' {
			l.newline()
		} else {
			l.fault("something follows a backslash")
		}
	case c == '"' || c == '\'':
		l.str("")
	case c >= '0' && c <= '9' || c == '.' && l.peek(1) >= '0' && l.peek(1) <= '9':
		from := l.at
		for n := l.peek(0); n == '.' || n == '_' || n >= '0' && n <= '9' || n|32 >= 'a' && n|32 <= 'z'; n = l.peek(0) {
			l.at++
		}
		l.add(tNumber, strings.ReplaceAll(l.src[from:l.at], "_", ""))
	default:
		r, size := utf8.DecodeRuneInString(l.src[l.at:])
		if r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r) || unicode.Is(unicode.Other_ID_Start, r) {
			l.word()
			return
		}
		l.operator(r, size)
	}
}

func (l *lexer) word() {
	from := l.at
	for l.at < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[l.at:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !unicode.Is(unicode.Nl, r) && !unicode.Is(unicode.Pc, r) {
			break
		}
		l.at += size
	}
	word := l.src[from:l.at]
	if c := l.peek(0); (c == '"' || c == '\'') && len(word) <= 2 && strings.Trim(strings.ToLower(word), "rbuft") == "" {
		l.str(strings.ToLower(word))
		return
	}
	l.add(tName, norm.NFKC.String(word))
}

var longOps = []string{"**=", "//=", ">>=", "<<=", "...", ":=", "->", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", "**", "//", "<<", ">>"}

func (l *lexer) operator(r rune, size int) {
	switch r {
	case '(', '[', '{':
		l.depth++
		l.open = append(l.open, byte(r))
	case ')', ']', '}':
		if n := len(l.open); n == 0 {
			l.fault("a bracket is closed that was never opened")
			l.depth = max(0, l.depth-1)
		} else {
			if pair := string(l.open[n-1]) + string(r); pair != "()" && pair != "[]" && pair != "{}" {
				l.fault("a bracket is closed by another kind")
			}
			l.open, l.depth = l.open[:n-1], l.depth-1
		}
	case '$', '?', '!', '`':
		if r != '!' || l.peek(1) != '=' {
			l.fault("a character has no meaning in Python")
		}
	default:
		if r >= utf8.RuneSelf || r < ' ' {
			l.fault("a character has no meaning in Python")
			l.at += size
			return
		}
	}
	for _, op := range longOps {
		if strings.HasPrefix(l.src[l.at:], op) {
			l.add(tOp, op)
			l.at += len(op)
			return
		}
	}
	l.add(tOp, string(r))
	l.at += size
}
