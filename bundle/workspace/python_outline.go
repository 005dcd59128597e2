package workspace

import "slices"

// pyModule is what a Python file defines at its top: enough to find a class and
// its methods without running anything.
type pyModule struct {
	name    string // dotted; a package's is that of its folder
	isInit  bool   // an __init__.py
	file    string
	names   map[string]pyBinding
	classes []string   // in order, for suggestions
	stars   []pyImport // from x import *
	dynamic bool       // it has a __getattr__: any name may be there
	problem *pyProblem
}

// pyBinding is what a name stands for: one of its fields is set, or none, where
// the name is something that only running the code would show.
type pyBinding struct {
	class *pyClass
	from  *pyImport // the name comes from elsewhere
	same  string    // the name is another word for this dotted name
}

// pyImport is `from module import name`, or `import module` where name is "".
type pyImport struct {
	level  int // dots before the module
	module string
	name   string
}

// pyClass is a class and what its body defines.
type pyClass struct {
	name    string
	bases   []string // dotted
	opaque  bool     // a base is an expression
	members []string
}

// outlinePython reads what a file defines. A file that is not Python has a
// problem, and what was defined up to there.
func outlinePython(source []byte) *pyModule {
	m := &pyModule{names: map[string]pyBinding{}}
	if len(source) > maxPython {
		m.problem = &pyProblem{0, 0, "the file is too large to be code"}
		return m
	}
	tokens, problem := tokenizePython(source)
	m.problem = problem
	p := &pyParser{tokens: tokens, module: m}
	for p.kind() != pyEnd {
		p.statement(nil)
	}
	return m
}

type pyParser struct {
	tokens []pyToken
	at     int
	module *pyModule
}

func (p *pyParser) token() pyToken {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return pyToken{}
}

func (p *pyParser) kind() pyKind { return p.token().kind }

// take consumes the token if it is this word or operator.
func (p *pyParser) take(text string) bool {
	if t := p.token(); (t.kind == pyName || t.kind == pyOther) && t.text == text {
		p.at++
		return true
	}
	return false
}

// name consumes a name and returns it, "" if there is none.
func (p *pyParser) name() string {
	if t := p.token(); t.kind == pyName {
		p.at++
		return t.text
	}
	return ""
}

// dotted consumes a.b.c.
func (p *pyParser) dotted() string {
	name := p.name()
	for name != "" && p.take(".") {
		name += "." + p.name()
	}
	return name
}

// compound are the statements whose block belongs to the scope around them.
var compound = []string{"if", "elif", "else", "try", "except", "finally", "with", "for", "while", "match", "case"}

// statement reads one statement; class is the one whose body it is in, nil at
// the top of the file.
func (p *pyParser) statement(class *pyClass) {
	switch t := p.token(); {
	case t.kind == pyIndent || t.kind == pyDedent || t.kind == pyNewline:
		p.at++
		return
	case t.kind == pyName && t.text == "async":
		p.at++
	case t.kind == pyOther && t.text == "@":
		p.line()
		return
	}
	switch word := p.token().text; {
	case p.kind() != pyName:
		p.simple(class)
	case word == "class":
		p.at++
		p.class(class)
	case word == "def":
		p.at++
		p.bind(class, p.name(), pyBinding{})
		p.header()
		p.skipBody()
	case slices.Contains(compound, word) && p.isCompound():
		p.header()
		p.body(class)
	default:
		p.simple(class)
	}
}

// isCompound tells the statement `match x:` from a variable of that name.
func (p *pyParser) isCompound() bool {
	if word := p.token().text; word != "match" && word != "case" {
		return true
	}
	switch next := p.tokens[min(p.at+1, len(p.tokens)-1)]; {
	case next.kind == pyName || next.kind == pyText:
		return true
	case next.kind != pyOther:
		return false
	default:
		return slices.Contains([]string{"(", "[", "{", "-", "0", "*"}, next.text) && p.endsInColon()
	}
}

// endsInColon tells whether the logical line ends in a colon.
func (p *pyParser) endsInColon() bool {
	for i := p.at; i < len(p.tokens); i++ {
		if p.tokens[i].kind == pyNewline {
			return p.tokens[i-1].text == ":"
		}
	}
	return false
}

// header skips to behind the colon that begins a block.
func (p *pyParser) header() {
	depth, lambdas := 0, 0
	for ; p.kind() != pyNewline && p.kind() != pyEnd; p.at++ {
		switch p.token().text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case "lambda":
			if depth == 0 && p.kind() == pyName {
				lambdas++
			}
		case ":":
			if depth > 0 {
				continue
			}
			if lambdas == 0 {
				p.at++
				return
			}
			lambdas--
		}
	}
}

// body reads the statements of a block: indented, or on the same line.
func (p *pyParser) body(class *pyClass) {
	if p.kind() != pyNewline {
		p.simple(class)
		return
	}
	p.at++
	if p.kind() != pyIndent {
		return
	}
	p.at++
	for p.kind() != pyDedent && p.kind() != pyEnd {
		p.statement(class)
	}
	if p.kind() == pyDedent {
		p.at++
	}
}

// skipBody skips a block that defines nothing around it.
func (p *pyParser) skipBody() {
	p.line()
	if p.kind() != pyIndent {
		return
	}
	for depth := 0; p.kind() != pyEnd; {
		switch p.kind() {
		case pyIndent:
			depth++
		case pyDedent:
			depth--
		}
		if p.at++; depth == 0 {
			return
		}
	}
}

// line skips to the next line.
func (p *pyParser) line() {
	for p.kind() != pyNewline && p.kind() != pyEnd {
		p.at++
	}
	if p.kind() == pyNewline {
		p.at++
	}
}

// bind gives a name its meaning: the last one counts, as in Python.
func (p *pyParser) bind(class *pyClass, name string, b pyBinding) {
	switch {
	case name == "":
	case class != nil:
		class.members = append(class.members, name)
	default:
		p.module.names[name] = b
		if name == "__getattr__" {
			p.module.dynamic = true
		}
	}
}

// class reads a class from its name on.
func (p *pyParser) class(outer *pyClass) {
	c := &pyClass{name: p.name()}
	if p.take("[") { // type parameters
		p.brackets()
	}
	if p.take("(") {
		p.bases(c)
	}
	p.header()
	p.body(c)
	p.bind(outer, c.name, pyBinding{class: c})
	if outer == nil && c.name != "" {
		p.module.classes = append(p.module.classes, c.name)
	}
}

// brackets skips to behind the bracket that closes the open one.
func (p *pyParser) brackets() {
	for depth := 1; depth > 0 && p.kind() != pyEnd; p.at++ {
		switch p.token().text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		}
	}
}

// bases reads the arguments of a class. Keywords such as metaclass are no bases.
func (p *pyParser) bases(c *pyClass) {
	for p.kind() != pyEnd && p.kind() != pyNewline && !p.take(")") {
		name := p.dotted()
		if p.take("[") { // Generic[T]
			p.brackets()
		}
		switch {
		case name != "" && p.take("="):
		case name != "" && (p.token().text == "," || p.token().text == ")"):
			c.bases = append(c.bases, name)
		default:
			c.opaque = true
		}
		for p.kind() != pyEnd && p.kind() != pyNewline && p.token().text != ")" && !p.take(",") {
			p.at++
			if open := p.tokens[p.at-1].text; open == "(" || open == "[" || open == "{" {
				p.brackets()
			}
		}
	}
}
