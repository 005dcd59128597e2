package check_test

import (
	"slices"
	"strings"

	"fx/schema"
)

var mutantKinds = slices.Concat(contentKinds, syntaxKinds)

// scalars emits mutants of every scalar in block style.
func scalars(change func(s *subject, p spot) (with, says string)) func(*subject, func(mutant)) {
	return func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if !s.scalar(p) || strings.ContainsAny(string([]rune(s.lines[p.value.Line-1])[:p.value.Column-1]), "[{") {
				continue
			}
			if with, says := change(s, p); with != "" {
				emit(mutant{s.replaced(p.value, with), []int{p.value.Line}, says})
			}
		}
	}
}

// lines emits mutants that change one line, or put one before it.
func lines(change func(line string) []string, says string) func(*subject, func(mutant)) {
	return func(s *subject, emit func(mutant)) {
		for _, n := range s.content() {
			if with := change(s.lines[n-1]); with != nil {
				emit(mutant{s.line(n, strings.Join(with, "\n")), []int{n}, says})
			}
		}
	}
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// syntaxKinds are the mistakes in how a plan is written.
var syntaxKinds = []kind{
	{"indentation: one too many", ids("yaml-syntax", "dash"), shifted(1)},
	{"indentation: one too few", ids("yaml-syntax", "dash"), shifted(-1)},
	{"indentation: a tab", ids("yaml-syntax", "tab"), lines(func(line string) []string {
		if indent(line) == 0 {
			return nil
		}
		return []string{"\t" + strings.TrimLeft(line, " ")}
	}, "spaces")},
	{"tab after the colon", ids("tab", "yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		if p.key == nil {
			return "", ""
		}
		return "\t" + s.source(p.value), "space"
	})},
	{"quote not closed", ids("yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		source := s.source(p.value)
		if q := source[0]; q == '"' || q == '\'' {
			return source[:len(source)-1], "close the quote"
		}
		return `"` + source, "close the quote"
	})},
	{"single quote not closed", ids("yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		if source := s.source(p.value); source[0] != '"' && source[0] != '\'' {
			return "'" + source, "close the quote"
		}
		return "", ""
	})},
	{"quote closed twice", ids("yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		source := s.source(p.value)
		if q := source[0]; q == '"' {
			return source + `"`, ""
		}
		return `"` + strings.Trim(source, "'") + `""`, ""
	})},
	{"bracket not closed", ids("yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		return "[" + s.source(p.value), "close the bracket"
	})},
	{"brace not closed", ids("yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		return "{a: " + s.source(p.value), "close the bracket"
	})},
	{"bracket closed with a brace", ids("yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		return "[" + s.source(p.value) + "}", ""
	})},
	{"colon missing", ids("yaml-syntax", "type"), colons(func(before, after string) string { return before + " " + strings.TrimLeft(after, " ") })},
	{"space after the colon missing", ids("yaml-syntax", "type"), colons(func(before, after string) string { return before + ":" + strings.TrimLeft(after, " ") })},
	{"equals sign for the colon", ids("yaml-syntax", "type"), colons(func(before, after string) string { return before + " =" + after })},
	{"colon in a value", ids("yaml-syntax"), scalars(func(s *subject, p spot) (string, string) {
		if source := s.source(p.value); p.key != nil && source[0] != '"' && source[0] != '\'' {
			return source + ": more", "must be quoted"
		}
		return "", ""
	})},
	{"alias to nothing", ids("yaml-syntax"), scalars(func(*subject, spot) (string, string) { return "*nowhere", "write &nowhere" })},
	{"anchor twice", ids("duplicate-anchor"), func(s *subject, emit func(mutant)) {
		var first *schema.Node
		for _, p := range s.spots() {
			if !s.scalar(p) || p.key == nil {
				continue
			}
			if first == nil {
				first = p.value
				continue
			}
			lines := slices.Clone(s.lines)
			for _, n := range []*schema.Node{first, p.value} {
				line := []rune(lines[n.Line-1])
				lines[n.Line-1] = string(line[:n.Column-1]) + "&x " + string(line[n.Column-1:])
			}
			emit(mutant{strings.Join(lines, "\n"), []int{p.value.Line}, "already on line"})
		}
	}},
	{"merge of no map", ids("merge"), func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if first, _, ok := s.blockOf(p); ok && s.scalar(p) {
				pad := s.lines[first-1][:p.key.Column-1]
				emit(mutant{s.cut(first, first-1, pad+"<<: 5"), []int{first}, "needs a map"})
			}
		}
	}},
	{"tag", ids("value", "tag"), scalars(func(s *subject, p spot) (string, string) {
		return "!!python/object/apply:os.system " + s.source(p.value), "not allowed"
	})},
	{"second document", ids("several-documents"), func(s *subject, emit func(mutant)) {
		for _, n := range s.content()[1:] {
			if indent(s.lines[n-1]) == 0 && s.lines[n-1][0] != '-' {
				emit(mutant{s.cut(n, n-1, "---"), []int{n}, "remove the line ---"})
			}
		}
	}},
	{"not UTF-8", ids("not-text"), lines(func(line string) []string { return []string{line + " # caf\xe9"} }, "UTF-8")},
	{"control character", ids("not-text"), lines(func(line string) []string { return []string{line + "\x00"} }, "0x00")},
	{"key that is a list", ids("key"), func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if first, _, ok := s.blockOf(p); ok {
				pad := s.lines[first-1][:p.key.Column-1]
				emit(mutant{s.cut(first, first-1, pad+"[a, b]: c"), []int{first}, "a key must be a word"})
			}
		}
	}},
	{"alias to what is around it", ids("alias-cycle"), func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if p.key == nil || p.value.Kind != schema.KindMap || p.value.Line == p.key.Line || strings.HasPrefix(strings.TrimSpace(s.lines[p.value.Line-1]), "{") {
				continue
			}
			line := strings.TrimRight(s.lines[p.key.Line-1], " ")
			if !strings.HasSuffix(line, ":") {
				continue
			}
			pad := strings.Repeat(" ", p.value.Column-1)
			emit(mutant{s.cut(p.key.Line, p.key.Line, line+" &around", pad+"again: *around"), []int{p.key.Line + 1}, "inside the value"})
		}
	}},
	{"document with nothing", ids("empty"), func(s *subject, emit func(mutant)) {
		var kept []string
		for _, line := range s.lines {
			kept = append(kept, "# "+line)
		}
		emit(mutant{strings.Join(kept, "\n"), []int{0}, "empty"})
	}},
}

// blockOf is block for the entry at a spot.
func (s *subject) blockOf(p spot) (first, last int, ok bool) {
	if p.key == nil {
		return 0, 0, false
	}
	return s.block(p.key)
}

// shifted emits mutants with one line moved by a column. Which of two lines is
// the wrong one cannot be known where they disagree: the one that is moved, or
// the next one.
func shifted(by int) func(*subject, func(mutant)) {
	return func(s *subject, emit func(mutant)) {
		content := s.content()
		for i, n := range content {
			line := s.lines[n-1]
			if by < 0 {
				if indent(line) == 0 {
					continue
				}
				line = line[1:]
			} else {
				line = " " + line
			}
			at := []int{n}
			if i+1 < len(content) {
				at = append(at, content[i+1])
			}
			if i > 0 && by > 0 {
				at = append(at, content[i-1])
			}
			emit(mutant{s.line(n, line), at, "indentation"})
		}
	}
}

// colons emits mutants of entries with a scalar on the line: before is the text
// up to the colon, after what follows it.
func colons(change func(before, after string) string) func(*subject, func(mutant)) {
	return func(s *subject, emit func(mutant)) {
		for _, p := range s.spots() {
			if _, _, ok := s.blockOf(p); !ok || !s.scalar(p) {
				continue
			}
			before, after, _ := strings.Cut(s.lines[p.key.Line-1], ":")
			emit(mutant{s.line(p.key.Line, change(strings.TrimRight(before, " "), after)), []int{p.key.Line}, "colon"})
		}
	}
}
