package content

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"fx/bundle/inspect/finding"
)

// cell is one cell of a notebook; input is what versions before 4 call source.
type cell struct {
	Type    string            `json:"cell_type"`
	Source  json.RawMessage   `json:"source"`
	Input   json.RawMessage   `json:"input"`
	Outputs []json.RawMessage `json:"outputs"`
}

// notebook analyses the code cells as one file each, and their shell lines.
func (s *scanner) notebook(src source, f *File, data []byte) {
	var book struct {
		Cells  []cell `json:"cells"`
		Sheets []struct {
			Cells []cell `json:"cells"`
		} `json:"worksheets"`
	}
	if err := json.Unmarshal(data, &book); err != nil {
		s.skip(src, f, "a notebook that is not JSON")
		return
	}
	for _, sheet := range book.Sheets {
		book.Cells = append(book.Cells, sheet.Cells...)
	}
	s.report("notebook", src, fmt.Sprintf("%d cells", len(book.Cells)))
	for i, c := range book.Cells {
		in := source{path: fmt.Sprintf("%s!cell %d", src.path, i+1)}
		for _, output := range c.Outputs {
			if m := active.Find(output); m != nil {
				s.add(finding.New("active-content", in.path, 0, "", "an output that was kept: "+string(m)))
			}
		}
		text, ok := c.text()
		switch {
		case !ok:
			s.skip(src, f, fmt.Sprintf("cell %d, whose source is not text", i+1))
		case c.Type == "code":
			s.cell(in, text)
		default:
			if m := active.FindString(text); m != "" {
				s.add(finding.New("active-content", in.path, 0, "", m))
			}
		}
	}
}

// text is the cell's source, which may be a list of lines.
func (c cell) text() (string, bool) {
	raw := c.Source
	if len(raw) == 0 {
		raw = c.Input
	}
	if len(raw) == 0 {
		return "", c.Type != "code"
	}
	var lines []string
	var text string
	if json.Unmarshal(raw, &lines) == nil {
		return strings.Join(lines, ""), true
	}
	return text, json.Unmarshal(raw, &text) == nil
}

var (
	shellLine  = regexp.MustCompile(`^(?:[\w, ]+=\s*)?(?:!|%%?(?:bash|sh|system|sx|script|pip|conda|perl|ruby|cmd)\b)|get_ipython\(\)\s*\.\s*(?:system|getoutput|run_line_magic|run_cell_magic)`)
	runsMagics = regexp.MustCompile(`^%%?(?:run|load|load_ext|loadpy|macro|edit|autoload|alias|rehashx)\b`)
)

// cell analyses one cell: shell lines and magics by themselves, the rest as a
// Python file.
func (s *scanner) cell(in source, text string) {
	code := strings.Split(text, "\n")
	for n, line := range code {
		trimmed := strings.TrimSpace(line)
		switch {
		case shellLine.MatchString(trimmed):
			s.add(finding.New("B605", in.path, n+1, line, "a shell line of the notebook"))
			s.shell(in, []byte(line), n+1)
		case runsMagics.MatchString(trimmed):
			s.add(finding.New("B102", in.path, n+1, line, "a line of the notebook that runs or loads another file"))
		}
		if strings.HasPrefix(trimmed, "!") || strings.HasPrefix(trimmed, "%") || shellLine.MatchString(trimmed) && strings.Contains(trimmed, "=") {
			code[n] = ""
		}
	}
	s.python(in, []byte(strings.Join(code, "\n")), 1)
}
