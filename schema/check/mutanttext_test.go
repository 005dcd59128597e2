package check_test

import (
	"slices"
	"strings"
	"testing"

	"fx/schema"
	"fx/schema/check"
)

// subject is a plan to which mistakes are applied: its text, and what is known
// about it before.
type subject struct {
	name, text string
	lines      []string
	root       *schema.Node // as written: defaults not merged
	canonical  string       // merged, or "" if it cannot be
	base       map[string]bool
	builtin    bool // its task runner is ours: arguments of tasks are known
	tasks      bool // it has tasks
}

func newSubject(t *testing.T, name, text string) *subject {
	t.Helper()
	root, err := schema.ReadYAML("plan.yaml", []byte(text), schema.MaxPlanBytes)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s := &subject{name: name, text: text, lines: strings.Split(text, "\n"), root: root, base: map[string]bool{}}
	for _, f := range check.Plan("plan.yaml", []byte(text), nil) {
		s.base[signature(f)] = true
	}
	s.canonical = canonicalOf(text)
	if p, err := schema.ReadPlan("plan.yaml", []byte(text)); err == nil {
		s.tasks = len(p.Draft().Tasks) > 0
	}
	template := root.At("task_runner", "template")
	s.builtin = template != nil && strings.HasPrefix(template.Text, "fx.builtin.")
	return s
}

// signature is what a finding says, without where.
func signature(f schema.Finding) string { return f.ID + "|" + f.Path + "|" + f.Message + "|" + f.Found }

func canonicalOf(text string) string {
	p, err := schema.ReadPlan("plan.yaml", []byte(text))
	if err != nil {
		return ""
	}
	return string(schema.Dump(p.Config()))
}

// spot is an entry of a map, or an item of a list (key is nil), of a subject.
type spot struct {
	path                   string // task names are *, indexes []
	key, value, parent, in *schema.Node
}

func (s *subject) spots() []spot {
	var out []spot
	var walk func(n, key *schema.Node, path string)
	walk = func(n, key *schema.Node, path string) {
		for _, p := range n.Entries() {
			name := p.Key.KeyText()
			if path == "tasks" && name != "settings" && name != "defaults" {
				name = "*"
			}
			child := strings.TrimPrefix(path+"."+name, ".")
			out = append(out, spot{child, p.Key, p.Value, n, key})
			walk(p.Value, p.Key, child)
		}
		for _, item := range n.Items {
			out = append(out, spot{path + "[]", nil, item, n, key})
			walk(item, key, path+"[]")
		}
	}
	walk(s.root, nil, "")
	return out
}

// scalar tells whether the spot's value is a scalar that is written on one line.
func (s *subject) scalar(p spot) bool {
	return p.value.Kind < schema.KindList && p.value.Line > 0 && (p.key == nil || p.key.Line == p.value.Line) && s.end(p.value) > p.value.Column-1
}

// end is the index of the character after the scalar n on its line.
func (s *subject) end(n *schema.Node) int {
	line := []rune(s.lines[n.Line-1])
	start := n.Column - 1
	if start >= len(line) {
		return start
	}
	if q := line[start]; q == '\'' || q == '"' {
		for i := start + 1; i < len(line); i++ {
			if line[i] == q {
				return i + 1
			}
		}
		return start
	}
	end := start
	inFlow := strings.ContainsAny(string(line[:start]), "[{")
	for i := start; i < len(line) && (line[i] != '#' || line[i-1] != ' ') && (!inFlow || !strings.ContainsRune(",]}", line[i])); i++ {
		if line[i] != ' ' {
			end = i + 1
		}
	}
	return end
}

// replaced is the text with the scalar n replaced.
func (s *subject) replaced(n *schema.Node, with string) string {
	line := []rune(s.lines[n.Line-1])
	return s.line(n.Line, string(line[:n.Column-1])+with+string(line[s.end(n):]))
}

// source is the scalar n as it is written.
func (s *subject) source(n *schema.Node) string {
	return string([]rune(s.lines[n.Line-1])[n.Column-1 : s.end(n)])
}

// line is the text with one line replaced.
func (s *subject) line(number int, with string) string {
	lines := slices.Clone(s.lines)
	lines[number-1] = with
	return strings.Join(lines, "\n")
}

// inserted is the text with lines added after a line.
func (s *subject) inserted(after int, lines ...string) string {
	return strings.Join(slices.Insert(slices.Clone(s.lines), after, lines...), "\n")
}

// renamed is the text with another key.
func (s *subject) renamed(key *schema.Node, name string) string {
	line := []rune(s.lines[key.Line-1])
	rest := line[key.Column-1:]
	end := slices.Index(rest, ':')
	for end > 0 && rest[end-1] == ' ' {
		end--
	}
	return s.line(key.Line, string(line[:key.Column-1])+name+string(rest[end:]))
}

// block is the first and last line of an entry in block style; ok is false in
// flow style and for entries that begin a list item.
func (s *subject) block(key *schema.Node) (first, last int, ok bool) {
	indent := key.Column - 1
	if strings.TrimSpace(string([]rune(s.lines[key.Line-1])[:indent])) != "" {
		return 0, 0, false
	}
	first, last = key.Line, key.Line
	for i := first; i < len(s.lines); i++ {
		line := strings.TrimLeft(s.lines[i], " ")
		depth := len(s.lines[i]) - len(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if depth < indent || depth == indent && !strings.HasPrefix(line, "- ") {
			break
		}
		last = i + 1
	}
	return first, last, true
}

// cut is the text with the lines from first to last replaced.
func (s *subject) cut(first, last int, with ...string) string {
	return strings.Join(slices.Replace(slices.Clone(s.lines), first-1, last, with...), "\n")
}

// content lists the numbers of the lines that hold something.
func (s *subject) content() []int {
	var out []int
	for i, line := range s.lines {
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' {
			out = append(out, i+1)
		}
	}
	return out
}

// swapped is a word with two neighbours swapped, after its last dot or slash.
func swapped(word string) string {
	r := []rune(word)
	from := strings.LastIndexAny(word, "./") + 1
	for i := from + 1; i+1 < len(r); i++ {
		if r[i] != r[i+1] && r[i] != '_' && r[i+1] != '_' && r[i+1] != '.' {
			r[i], r[i+1] = r[i+1], r[i]
			return string(r)
		}
	}
	return word + "x"
}
