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
// names the line where it gave up, which is often not the line of the mistake:
// the text itself is looked at.
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
	if found := suspect(lines); found != nil {
		f.Line, f.Column, f.Message, f.Hint = found.line, found.column, found.message, found.hint
	} else if f.Line >= 1 && f.Line <= len(lines) {
		line := lines[f.Line-1]
		f.Column = len(line) - len(strings.TrimLeft(line, " ")) + 1
	}
	return f
}
