package python

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// str reads a string literal from its quote on.
func (l *lexer) str(prefix string) {
	quote := l.src[l.at]
	closing := string(quote)
	if strings.HasPrefix(l.src[l.at:], strings.Repeat(closing, 3)) {
		closing = strings.Repeat(closing, 3)
	}
	t := token{kind: tString, line: l.line, bytes: strings.Contains(prefix, "b")}
	l.at += len(closing)
	raw := strings.Contains(prefix, "r")
	if strings.ContainsAny(prefix, "ft") {
		t.parts = []part{}
	}
	var b strings.Builder
	for {
		if l.at >= len(l.src) {
			t.opened = true
			break
		}
		c := l.src[l.at]
		switch {
		case strings.HasPrefix(l.src[l.at:], closing):
			l.at += len(closing)
			l.flush(&t, &b)
			l.toks = append(l.toks, t)
			return
		case c == '\n' || c == '\r':
			if len(closing) == 1 {
				t.opened = true
				l.fault("a string is never closed")
				l.flush(&t, &b)
				l.toks = append(l.toks, t)
				return
			}
			b.WriteByte('\n')
			l.newline()
		case c == '\\' && raw:
			b.WriteByte(c)
			l.at++
			if n := l.peek(0); n == quote || n == '\\' {
				b.WriteByte(n)
				l.at++
			}
		case c == '\\':
			l.escape(&b, &t)
		case t.parts != nil && (c == '{' || c == '}') && l.peek(1) == c:
			b.WriteByte(c)
			l.at += 2
		case t.parts != nil && c == '{':
			if b.Len() > 0 {
				t.parts = append(t.parts, part{text: b.String()})
				b.Reset()
			}
			l.field(&t, closing)
		default:
			b.WriteByte(c)
			l.at++
		}
	}
	l.fault("a string is never closed")
	l.flush(&t, &b)
	l.toks = append(l.toks, t)
}

// flush ends a literal's text.
func (l *lexer) flush(t *token, b *strings.Builder) {
	if len(t.parts) == 0 {
		t.text, t.parts = b.String(), nil
		return
	}
	if b.Len() > 0 {
		t.parts = append(t.parts, part{text: b.String()})
	}
}

// field reads the expression of an f-string from its brace on. Since Python 3.12
// it may hold any quotes.
func (l *lexer) field(t *token, closing string) {
	l.at++
	from, line, depth := l.at, l.line, 1
	for l.at < len(l.src) && depth > 0 {
		switch c := l.src[l.at]; c {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			depth--
		case '\n', '\r':
			l.newline()
			continue
		case '"', '\'':
			if strings.HasPrefix(l.src[l.at:], closing) && !l.closesLater() {
				t.parts = append(t.parts, part{text: l.src[from:l.at], expr: true, line: line})
				return
			}
			l.skipNested(c)
			continue
		}
		l.at++
	}
	end := max(from, l.at-1)
	t.parts = append(t.parts, part{text: l.src[from:end], expr: true, line: line})
}

// closesLater tells a quote inside a field from one that ends a broken f-string:
// the field's brace still comes on this line.
func (l *lexer) closesLater() bool {
	rest := l.src[l.at:min(len(l.src), l.at+4096)]
	if i := strings.IndexAny(rest, "\r\n"); i >= 0 {
		rest = rest[:i]
	}
	return strings.Contains(rest, "}")
}

// skipNested skips a string inside an f-string's field.
func (l *lexer) skipNested(quote byte) {
	for l.at++; l.at < len(l.src); l.at++ {
		switch l.src[l.at] {
		case '\\':
			l.at++
		case quote:
			l.at++
			return
		case '\n', '\r':
			return
		}
	}
	l.at = len(l.src)
}

var simpleEscapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'a': 7, 'b': 8, 'f': 12, 'v': 11, '\\': '\\', '\'': '\'', '"': '"'}

// escape decodes what follows a backslash.
func (l *lexer) escape(b *strings.Builder, t *token) {
	c := l.peek(1)
	l.at += 2
	if l.at > len(l.src) {
		l.at = len(l.src)
		return
	}
	hex := func(digits int) {
		if v, err := strconv.ParseUint(l.src[l.at:min(len(l.src), l.at+digits)], 16, 32); err == nil {
			l.at += digits
			t.coded++
			l.put(b, t, rune(v))
		}
	}
	switch {
	case c == '\n' || c == '\r':
		l.at--
		l.newline()
	case c == 'x':
		hex(2)
	case c == 'u' && !t.bytes:
		hex(4)
	case c == 'U' && !t.bytes:
		hex(8)
	case c == 'N' && l.peek(0) == '{' && !t.bytes:
		if end := strings.IndexByte(l.src[l.at:], '}'); end > 0 && end < 100 {
			b.WriteRune(named(l.src[l.at+1 : l.at+end]))
			l.at += end + 1
			t.coded++
		}
	case c >= '0' && c <= '7':
		v := rune(c - '0')
		for n := 0; n < 2 && l.peek(0) >= '0' && l.peek(0) <= '7'; n++ {
			v = v*8 + rune(l.peek(0)-'0')
			l.at++
		}
		t.coded++
		l.put(b, t, v)
	default:
		if v, ok := simpleEscapes[c]; ok {
			b.WriteByte(v)
			return
		}
		b.WriteByte('\\')
		l.at-- // the character itself is ordinary text, of whatever length
	}
}

func (l *lexer) put(b *strings.Builder, t *token, r rune) {
	if t.bytes {
		b.WriteByte(byte(r))
		return
	}
	b.WriteRune(r)
}

// named is the character of a name such as LATIN SMALL LETTER A; others, which no
// identifier of ours needs, are replaced.
func named(name string) rune {
	for prefix, base := range map[string]rune{"LATIN SMALL LETTER ": 'a', "LATIN CAPITAL LETTER ": 'A'} {
		if rest, ok := strings.CutPrefix(strings.ToUpper(name), prefix); ok && len(rest) == 1 && rest[0] >= 'A' && rest[0] <= 'Z' {
			return base + rune(rest[0]-'A')
		}
	}
	if strings.EqualFold(name, "LOW LINE") {
		return '_'
	}
	return utf8.RuneError
}
