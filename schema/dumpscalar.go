package schema

import (
	"fmt"
	"strings"
)

const bestWidth = 80

// analysis says in which styles a string may be written.
type analysis struct {
	multiline bool
	plain     bool
	single    bool
}

func isBreak(c rune) bool {
	return c == '\n' || c == 0x85 || c == 0x2028 || c == 0x2029
}

func isBlankOrBreak(c rune) bool {
	return c == 0 || c == ' ' || c == '\t' || c == '\r' || isBreak(c)
}

// analyze is PyYAML's analyze_scalar for block context without Unicode.
func analyze(s []rune) analysis {
	if len(s) == 0 {
		return analysis{plain: true, single: true}
	}
	indicators := strings.HasPrefix(string(s[:min(3, len(s))]), "---") || strings.HasPrefix(string(s[:min(3, len(s))]), "...")
	var breaks, special, edgeSpace, breakSpace, spaceBreak bool
	previousSpace, previousBreak := false, false
	afterSpace := true
	for i, c := range s {
		beforeSpace := i+1 >= len(s) || isBlankOrBreak(s[i+1])
		switch {
		case i == 0 && strings.ContainsRune("#,[]{}&*!|>'\"%@`", c),
			i == 0 && strings.ContainsRune("?:-", c) && beforeSpace,
			i > 0 && c == ':' && beforeSpace,
			i > 0 && c == '#' && afterSpace:
			indicators = true
		}
		if isBreak(c) {
			breaks = true
		}
		if c != '\n' && (c < 0x20 || c > 0x7e) {
			special = true
		}
		edge := i == 0 || i == len(s)-1
		switch {
		case c == ' ':
			edgeSpace = edgeSpace || edge
			breakSpace = breakSpace || previousBreak
			previousSpace, previousBreak = true, false
		case isBreak(c):
			edgeSpace = edgeSpace || edge
			spaceBreak = spaceBreak || previousSpace
			previousSpace, previousBreak = false, true
		default:
			previousSpace, previousBreak = false, false
		}
		afterSpace = isBlankOrBreak(c)
	}
	quoted := spaceBreak || special
	return analysis{
		multiline: breaks,
		plain:     !edgeSpace && !breakSpace && !quoted && !breaks && !indicators,
		single:    !breakSpace && !quoted,
	}
}

// plain writes an unquoted scalar, folding at single spaces past the width.
func (d *dumper) plain(s []rune, split bool) {
	if len(s) == 0 {
		return
	}
	if !d.whitespace {
		d.write(" ")
	}
	d.whitespace, d.indention = false, false
	spaces := false
	start := 0
	for end := 0; end <= len(s); end++ {
		last := end == len(s)
		if spaces {
			if last || s[end] != ' ' {
				if start+1 == end && d.column > bestWidth && split {
					d.startLine()
					d.whitespace, d.indention = false, false
				} else {
					d.write(string(s[start:end]))
				}
				start = end
			}
		} else if last || s[end] == ' ' {
			d.write(string(s[start:end]))
			start = end
		}
		spaces = !last && s[end] == ' '
	}
}

// single writes a single-quoted scalar: quotes and line breaks doubled, folding
// at single spaces past the width.
func (d *dumper) single(s []rune, split bool) {
	d.indicator("'", true, false, false)
	spaces, breaks := false, false
	start := 0
	for end := 0; end <= len(s); end++ {
		last := end == len(s)
		var c rune = -1
		if !last {
			c = s[end]
		}
		switch {
		case spaces:
			if c != ' ' {
				if start+1 == end && d.column > bestWidth && split && start != 0 && end != len(s) {
					d.startLine()
				} else {
					d.write(string(s[start:end]))
				}
				start = end
			}
		case breaks:
			if last || !isBreak(c) {
				if s[start] == '\n' {
					d.lineBreak()
				}
				for range s[start:end] {
					d.lineBreak()
				}
				d.startLine()
				start = end
			}
		case last || c == ' ' || c == '\'' || isBreak(c):
			if start < end {
				d.write(string(s[start:end]))
				start = end
			}
		}
		if c == '\'' {
			d.write("''")
			start = end + 1
		}
		spaces = c == ' '
		breaks = !last && isBreak(c)
	}
	d.indicator("'", false, false, false)
}

// escapes are the short escapes of a double-quoted scalar.
var escapes = map[rune]string{
	0: "0", 7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 27: "e",
	'"': `"`, '\\': `\`, 0x85: "N", 0xa0: "_", 0x2028: "L", 0x2029: "P",
}

// double writes a double-quoted scalar: everything but printable ASCII is
// escaped, lines are folded with a backslash.
func (d *dumper) double(s []rune, split bool) {
	d.indicator(`"`, true, false, false)
	start := 0
	for end := 0; end <= len(s); end++ {
		last := end == len(s)
		if last || s[end] == '"' || s[end] == '\\' || s[end] < 0x20 || s[end] > 0x7e {
			if start < end {
				d.write(string(s[start:end]))
				start = end
			}
			if !last {
				d.write(escape(s[end]))
				start = end + 1
			}
		}
		if 0 < end && end < len(s)-1 && (s[end] == ' ' || start >= end) && d.column+(end-start) > bestWidth && split {
			text := `\`
			if start < end {
				text = string(s[start:end]) + text
				start = end
			}
			d.write(text)
			d.startLine()
			d.whitespace, d.indention = false, false
			if s[start] == ' ' {
				d.write(`\`)
			}
		}
	}
	d.indicator(`"`, false, false, false)
}

func escape(c rune) string {
	if short, ok := escapes[c]; ok {
		return `\` + short
	}
	switch {
	case c <= 0xff:
		return fmt.Sprintf(`\x%02X`, c)
	case c <= 0xffff:
		return fmt.Sprintf(`\u%04X`, c)
	default:
		return fmt.Sprintf(`\U%08X`, c)
	}
}
