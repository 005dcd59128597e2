package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds on a YAML document. They are far above any real plan and keep the
// memory of a hostile one below some tens of megabytes.
const (
	MaxPlanBytes = 4 << 20
	maxDepth     = 64
	maxValues    = 200_000 // with every alias expanded
	maxMarks     = 400_000 // bytes that can begin a value
)

// ReadYAML reads one YAML document as PyYAML's safe loader reads it: YAML 1.1
// scalars, merge keys, aliases. Unlike PyYAML it refuses duplicate keys, and it
// bounds size, depth and alias expansion. The error is Findings.
func ReadYAML(name string, data []byte, limit int) (*Node, error) {
	root, fs := readYAML(name, data, limit)
	if len(fs) > 0 {
		return nil, fs.Err()
	}
	return root, nil
}

func readYAML(name string, data []byte, limit int) (*Node, Findings) {
	r := &yamlReader{file: name, data: data, nodes: map[*yaml.Node]*Node{}, open: map[*yaml.Node]bool{}, anchors: map[string]*yaml.Node{}}
	if f, ok := r.checkBytes(limit); !ok {
		return nil, Findings{f}
	}
	doc, fs := r.parse()
	if len(fs) > 0 {
		return nil, fs
	}
	root := r.convert(doc.Content[0], 0)
	if len(r.findings) > 0 {
		r.findings.Sort()
		return nil, r.findings
	}
	if expandedSize(root, map[*Node]int{}) > maxValues {
		return nil, Findings{root.finding("too-large", "", "the document has more than %d values once aliases are expanded", maxValues)}
	}
	return root, nil
}

// yamlReader turns the nodes of the YAML library into ours.
type yamlReader struct {
	file     string
	data     []byte
	lines    [][]byte
	tabLine  int // the line that tabRunes holds
	tabRunes []rune
	merges   int                  // pairs copied by merge keys
	nodes    map[*yaml.Node]*Node // done: an alias gets the same *Node
	open     map[*yaml.Node]bool  // being converted: an alias to one of these is a cycle
	anchors  map[string]*yaml.Node
	findings Findings
}

// checkBytes refuses what must not reach the YAML parser.
func (r *yamlReader) checkBytes(limit int) (Finding, bool) {
	whole := Finding{Severity: SeverityError, File: r.file}
	if len(r.data) > limit {
		whole.ID, whole.Message = "too-large", "the document is too large"
		whole.Found, whole.Allowed = fmt.Sprintf("%d bytes", len(r.data)), fmt.Sprintf("at most %d bytes", limit)
		return whole, false
	}
	marks, line, column := 0, 1, 0
	for i := 0; i < len(r.data); {
		c, size := utf8.DecodeRune(r.data[i:])
		i += size
		column++
		if c == utf8.RuneError && size == 1 || !printable(c) {
			whole.ID, whole.Line, whole.Column = "not-text", line, column
			whole.Message = "the document is not plain UTF-8 text"
			whole.Found = fmt.Sprintf("byte 0x%02x", r.data[i-size])
			return whole, false
		}
		switch c {
		case '\n':
			line, column = line+1, 0
			marks++
		case ',', '[', '{', '?', '-', ':':
			marks++
		}
	}
	if marks > maxMarks {
		whole.ID, whole.Message = "too-large", fmt.Sprintf("the document has more than %d lines and separators", maxMarks)
		return whole, false
	}
	return whole, true
}

// printable is the set of characters that PyYAML's reader accepts.
func printable(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0x7e || c == 0x85 ||
		c >= 0xa0 && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd || c >= 0x10000 && c <= 0x10ffff
}

func (r *yamlReader) parse() (doc *yaml.Node, fs Findings) {
	defer func() {
		if p := recover(); p != nil { // the library panics on some malformed comments
			doc, fs = nil, Findings{explainSyntax(r.file, r.data, fmt.Errorf("%v", p))}
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(r.data))
	doc = new(yaml.Node)
	if err := d.Decode(doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, Findings{{ID: "empty", Severity: SeverityError, File: r.file, Message: "the document is empty"}}
		}
		return nil, Findings{explainSyntax(r.file, r.data, err)}
	}
	var second yaml.Node
	switch err := d.Decode(&second); {
	case err == nil:
		return nil, Findings{{ID: "several-documents", Severity: SeverityError, File: r.file,
			Line: second.Line, Column: second.Column, Message: "the file has a second YAML document",
			Allowed: "one document", Hint: "remove the line --- and what follows it"}}
	case !errors.Is(err, io.EOF):
		return nil, Findings{explainSyntax(r.file, r.data, err)}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, Findings{{ID: "empty", Severity: SeverityError, File: r.file, Message: "the document is empty"}}
	}
	return doc, nil
}

// convert returns our node for n, the same one each time it is asked.
func (r *yamlReader) convert(n *yaml.Node, depth int) *Node {
	if n.Kind == yaml.AliasNode {
		if r.open[n.Alias] {
			r.complain(n, "alias-cycle", "the alias *%s is inside the value that it stands for", n.Value)
			return r.at(n)
		}
		n = n.Alias
	}
	if done, ok := r.nodes[n]; ok {
		return done
	}
	out := r.at(n)
	if depth > maxDepth {
		r.complain(n, "too-deep", "the document is nested deeper than %d levels", maxDepth)
		return out
	}
	r.checkAnchor(n)
	r.checkTab(n)
	r.open[n] = true
	switch n.Kind {
	case yaml.ScalarNode:
		r.scalar(n, out)
	case yaml.SequenceNode:
		if r.collectionTag(n, "!!seq") {
			out.Kind = KindList
			for _, c := range n.Content {
				out.Items = append(out.Items, r.convert(c, depth+1))
			}
		}
	case yaml.MappingNode:
		if r.collectionTag(n, "!!map") {
			out.Kind = KindMap
			r.mapping(n, out, depth)
		}
	}
	delete(r.open, n)
	r.nodes[n] = out
	return out
}

func (r *yamlReader) at(n *yaml.Node) *Node {
	return &Node{File: r.file, Line: n.Line, Column: n.Column}
}

func (r *yamlReader) complain(n *yaml.Node, id, format string, a ...any) {
	if len(r.findings) < 100 {
		r.findings = append(r.findings, r.at(n).finding(id, "", format, a...))
	}
}

func (r *yamlReader) checkAnchor(n *yaml.Node) {
	if n.Anchor == "" {
		return
	}
	if first, ok := r.anchors[n.Anchor]; ok && first != n {
		r.complain(n, "duplicate-anchor", "the anchor &%s is already on line %d", n.Anchor, first.Line)
	}
	r.anchors[n.Anchor] = n
}

// checkTab refuses a tab before a value, which PyYAML does not take for a space.
func (r *yamlReader) checkTab(n *yaml.Node) {
	lines := r.split()
	if n.Line < 1 || n.Line > len(lines) || n.Column < 2 {
		return
	}
	if r.tabLine != n.Line {
		r.tabLine, r.tabRunes = n.Line, []rune(string(lines[n.Line-1]))
	}
	if i := n.Column - 2; i < len(r.tabRunes) && r.tabRunes[i] == '\t' {
		r.complain(n, "tab", "a tab separates this value from what is before it; PyYAML accepts only spaces")
	}
}

// checkDash refuses a list item that is indented too far: YAML takes it, dash
// and all, for more text of the item above. Lines of more than 80 characters may
// have been folded there by a program.
func (r *yamlReader) checkDash(n *yaml.Node) {
	if !strings.Contains(n.Value, " - ") || n.Line < 1 {
		return
	}
	lines := r.split()
	if n.Line >= len(lines) || len(lines[n.Line-1]) > 80 {
		return
	}
	next := bytes.TrimLeft(lines[n.Line], " ")
	if bytes.HasPrefix(next, []byte("- ")) && strings.Contains(n.Value, string(bytes.TrimSpace(next))) {
		f := Finding{ID: "dash", Severity: SeverityError, File: r.file, Line: n.Line + 1, Column: len(lines[n.Line]) - len(next) + 1}
		f.Message = "this list item is indented too far: YAML takes it for more text of the line above"
		f.Hint = "check the indentation: the dashes of one list stand in the same column"
		r.findings = append(r.findings, f)
	}
}

func (r *yamlReader) split() [][]byte {
	if r.lines == nil {
		r.lines = bytes.Split(r.data, []byte("\n"))
	}
	return r.lines
}

func (r *yamlReader) collectionTag(n *yaml.Node, want string) bool {
	if n.Style&yaml.TaggedStyle == 0 || n.Tag == want {
		return true
	}
	r.complain(n, "tag", "the tag %s is not allowed in a plan", n.Tag)
	return false
}

func (r *yamlReader) scalar(n *yaml.Node, out *Node) {
	tag := "!!str"
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		tag = n.Tag
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0:
		tag = implicitTag(n.Value)
		r.checkDash(n)
	}
	if err := construct(out, tag, n.Value); err != nil {
		r.complain(n, "value", "%v", err)
	}
}
