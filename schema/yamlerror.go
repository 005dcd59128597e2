package schema

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

var (
	yamlErrorLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// explainSyntax turns an error of the YAML parser into a finding. The parser
// names the line where it gave up, which is often not the line of the mistake;
// for the usual mistakes (a tab, a quote or bracket that is never closed, a
// second colon) the text itself is looked at.
func explainSyntax(file string, data []byte, err error) Finding {
	f := Finding{ID: "yaml-syntax", Severity: SeverityError, File: file, Line: 1, Column: 1}
	f.Message = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlErrorLine.FindStringSubmatch(err.Error()); m != nil {
		f.Message = m[2]
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			f.Line = n
		}
	}
	lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if m := unknownAnchor.FindStringSubmatch(f.Message); m != nil {
		if i := bytes.Index(data, []byte("*"+m[1])); i >= 0 {
			f.Line = 1 + bytes.Count(data[:i], []byte("\n"))
			f.Column = i - bytes.LastIndexByte(data[:i], '\n')
		}
		f.Hint = "write &" + m[1] + " before the value that *" + m[1] + " repeats, and above it"
		return f
	}
	scan := scanLines(lines)
	switch {
	case scan.tab.line > 0:
		f.Line, f.Column, f.Message = scan.tab.line, scan.tab.column, "a tab indents this line"
		f.Hint = "indent with spaces only"
	case scan.quote.line > 0:
		f.Line, f.Column, f.Message = scan.quote.line, scan.quote.column, "the quote that opens here is never closed"
		f.Hint = "close the quote"
	case scan.bracket.line > 0:
		f.Line, f.Column, f.Message = scan.bracket.line, scan.bracket.column, "the bracket that opens here is never closed"
		f.Hint = "close the bracket"
	case strings.Contains(f.Message, "mapping values are not allowed") && scan.colon.line == 0:
		f.place(lines, place{})
		f.Hint = "check the indentation: this line is deeper than the one above, which has a value of its own; or a quote further up is not closed"
	case strings.Contains(f.Message, "mapping values are not allowed"):
		f.place(lines, scan.colon)
		f.Hint = "a value that contains \": \" must be quoted, and a nested key must start its own line"
	case strings.Contains(f.Message, "cannot start any token"):
		f.place(lines, place{})
		f.Hint = "a value that begins with @, ` or % must be quoted"
	case strings.Contains(f.Message, "did not find expected key"), strings.Contains(f.Message, "did not find expected '-'"),
		strings.Contains(f.Message, "could not find expected ':'"):
		f.place(lines, scan.odd)
		f.Hint = "check the indentation here: keys of one map start in the same column, and each has a colon followed by a space"
	}
	return f
}

type place struct{ line, column int }

// place moves the finding to p if p is known, else to the first character of
// its line.
func (f *Finding) place(lines []string, p place) {
	switch {
	case p.line > 0:
		f.Line, f.Column = p.line, p.column
	case f.Line >= 1 && f.Line <= len(lines):
		line := lines[f.Line-1]
		f.Column = len(line) - len(strings.TrimLeft(line, " ")) + 1
	}
}

// lineScan is what a look at the bare text finds: positions of likely mistakes.
type lineScan struct{ tab, quote, bracket, colon, odd place }

// scanLines walks the text with the least knowledge of YAML that tells quotes,
// comments and brackets apart; block scalars are not followed.
func scanLines(lines []string) lineScan {
	var s lineScan
	var quote rune
	var quoteAt place
	var brackets []place
	indents := []int{0}
	for i, text := range lines {
		line := []rune(text)
		start := 0
		for start < len(line) && line[start] == ' ' {
			start++
		}
		if quote == 0 && len(brackets) == 0 && start < len(line) && line[start] != '#' {
			if line[start] == '\t' && strings.TrimSpace(text) != "" && s.tab.line == 0 {
				s.tab = place{i + 1, start + 1}
			}
			indents = s.noteIndent(indents, line, start, i+1)
		}
		colons := 0
		for j := start; j < len(line); j++ {
			c := line[j]
			before := j == start || strings.ContainsRune(" [{,:-", line[j-1])
			switch {
			case quote == '"' && c == '\\':
				j++
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case (c == '"' || c == '\'') && before:
				quote, quoteAt = c, place{i + 1, j + 1}
			case c == '#' && (j == 0 || line[j-1] == ' '):
				j = len(line)
			case (c == '[' || c == '{') && (before || len(brackets) > 0):
				brackets = append(brackets, place{i + 1, j + 1})
			case (c == ']' || c == '}') && len(brackets) > 0:
				brackets = brackets[:len(brackets)-1]
			case c == ':' && len(brackets) == 0 && (j+1 == len(line) || line[j+1] == ' '):
				if colons++; colons == 2 && s.colon.line == 0 {
					s.colon = place{i + 1, j + 1}
				}
			}
		}
	}
	if quote != 0 {
		s.quote = quoteAt
	}
	if len(brackets) > 0 {
		s.bracket = brackets[len(brackets)-1]
	}
	return s
}

// noteIndent keeps the stack of open indentations and notes the first line that
// goes back to a column where nothing began.
func (s *lineScan) noteIndent(indents []int, line []rune, start, number int) []int {
	for len(indents) > 1 && start < indents[len(indents)-1] {
		indents = indents[:len(indents)-1]
		if start > indents[len(indents)-1] && s.odd.line == 0 {
			s.odd = place{number, start + 1}
		}
	}
	if start > indents[len(indents)-1] {
		indents = append(indents, start)
	}
	for j := start; j+1 < len(line) && line[j] == '-' && line[j+1] == ' '; {
		for j++; j < len(line) && line[j] == ' '; j++ {
		}
		if j < len(line) && j > indents[len(indents)-1] {
			indents = append(indents, j)
		}
	}
	return indents
}
