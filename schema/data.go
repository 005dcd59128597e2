package schema

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DataPath is one line of plan/data.yaml: where a collaborator keeps its data.
type DataPath struct {
	Name string // of the collaborator
	Path string // as written; relative to the workspace or absolute
}

// ParseData reads plan/data.yaml, which is not YAML: lines `name,path`, split at
// the first comma; empty lines and lines that start with # are skipped; space at
// the end of a line is dropped. OpenFL lets a later line replace an earlier one
// of the same name; here that is an error.
func ParseData(name string, data []byte) ([]DataPath, error) {
	problem := func(line, column int, id, message string) Finding {
		return Finding{ID: id, Severity: SeverityError, File: name, Line: line, Column: column, Message: message}
	}
	if len(data) > maxListBytes {
		f := problem(0, 0, "too-large", "the document is too large")
		f.Found, f.Allowed = fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d bytes", maxListBytes)
		return nil, Findings{f}
	}
	if !utf8.Valid(data) {
		return nil, Findings{problem(0, 0, "not-text", "the document is not UTF-8 text")}
	}
	var paths []DataPath
	var fs Findings
	first := map[string]int{}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	for i, line := range strings.Split(text, "\n") {
		number := i + 1
		line = strings.TrimRightFunc(line, unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		who, path, comma := strings.Cut(line, ",")
		var f Finding
		switch {
		case !comma:
			f = problem(number, 1, "syntax", "there is no comma in this line")
			f.Found, f.Allowed = fmt.Sprintf("%q", shorten(line)), "name,path"
			if strings.Contains(line, ":") {
				f.Hint = "this file is not YAML in spite of its name"
			}
		case who == "" || hasSpace(who):
			f = problem(number, 1, "name", "this cannot be the name of a collaborator")
			f.Found, f.Allowed = fmt.Sprintf("%q", shorten(who)), "a word without spaces, directly before the comma"
		case path == "" || strings.ContainsRune(path, 0):
			f = problem(number, len([]rune(who))+2, "empty-value", "there is no path after the comma")
			f.Allowed = "name,path"
		case first[who] > 0:
			f = problem(number, 1, "duplicate-name", fmt.Sprintf("the name %q is already on line %d", who, first[who]))
		default:
			first[who] = number
			paths = append(paths, DataPath{who, path})
			continue
		}
		if fs = append(fs, f); len(fs) == 100 {
			break
		}
	}
	if len(fs) > 0 {
		return nil, fs
	}
	return paths, nil
}
