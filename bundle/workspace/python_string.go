package workspace

import "strings"

// text reads a string from its opening quote on. depth counts the strings that
// are inside the braces of other strings.
func (s *pyScanner) text(prefix string, depth int) {
	line, column := s.line, s.column
	if depth > 20 {
		s.fail(line, column, "there are more than 20 strings inside each other")
		return
	}
	quote := s.src[s.at : s.at+1]
	if strings.HasPrefix(s.src[s.at:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	for range quote {
		s.step()
	}
	format := strings.ContainsAny(prefix, "ft")
	for s.problem == nil {
		c := s.peek(0)
		switch {
		case s.at >= len(s.src):
			s.fail(line, column, "the string is never closed")
		case strings.HasPrefix(s.src[s.at:], quote):
			for range quote {
				s.step()
			}
			if depth == 0 {
				s.add(pyText, "", line, column)
			}
			return
		case c == '\\':
			s.step()
			if s.at < len(s.src) && (!format || s.peek(0) != '{') {
				s.step()
			}
		case (c == '\n' || c == '\r') && len(quote) == 1:
			s.fail(line, column, "the string is not closed on its line")
		case format && c == '{' && s.peek(1) == '{':
			s.step()
			s.step()
		case format && c == '{':
			s.step()
			s.replacement(quote, depth)
		default:
			s.step()
		}
	}
}

// replacement reads the expression in the braces of a formatted string. Since
// Python 3.12 it may hold any string, even with the same quotes; before, the same
// quote could not occur, so that reading both alike does no harm.
func (s *pyScanner) replacement(quote string, depth int) {
	line, column := s.line, s.column
	for open, previous := 1, byte(0); s.problem == nil; {
		c := s.peek(0)
		switch {
		case s.at >= len(s.src), (c == '\n' || c == '\r') && len(quote) == 1 && !s.closes(open):
			s.fail(line, column, "the brace in the string is never closed")
			return
		case c == '{' || c == '(' || c == '[':
			open++
		case c == '}' || c == ')' || c == ']':
			if open--; open == 0 {
				s.step()
				return
			}
		case c == '#' && len(quote) == 3 && previous == ' ':
			s.comment()
			continue
		case c == ':' && open == 1 && s.peek(1) != '=':
			s.step()
			s.formatSpec(quote, depth)
			return
		case c == '"' || c == '\'':
			prefix := ""
			if previous|32 == 'f' || previous|32 == 't' {
				prefix = "f"
			}
			s.text(prefix, depth+1)
			previous = 0
			continue
		}
		previous = c
		s.step()
	}
}

// closes reports whether a brace closes later on: since Python 3.12 an
// expression may go on over lines.
func (s *pyScanner) closes(open int) bool {
	for i := s.at; i < len(s.src) && i < s.at+1000; i++ {
		switch s.src[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return true
			}
		}
	}
	return false
}

// formatSpec reads what follows the colon up to the closing brace: text in which
// there may be braces again.
func (s *pyScanner) formatSpec(quote string, depth int) {
	line, column := s.line, s.column
	if depth > 20 {
		s.fail(line, column, "there are more than 20 strings inside each other")
		return
	}
	for s.problem == nil {
		c := s.peek(0)
		switch {
		case s.at >= len(s.src), len(quote) == 1 && (c == '\n' || c == '\r'), strings.HasPrefix(s.src[s.at:], quote):
			s.fail(line, column, "the brace in the string is never closed")
		case c == '}':
			s.step()
			return
		case c == '{':
			s.step()
			s.replacement(quote, depth+1)
		default:
			s.step()
		}
	}
}
