package python

import (
	"fmt"
	"slices"
	"strings"
)

// maxStars bounds the modules of which everything is imported.
const maxStars = 50

// file reads all statements.
func (a *analysis) file() {
	type block struct{ pushed, main, branch bool }
	var open []block
	pending := block{}
	closeBlock := func(b block) {
		if b.pushed {
			a.pop()
		} else if b.branch {
			a.branches--
		}
		if b.main {
			a.depthMain--
		}
	}
	for {
		t := a.tok()
		switch t.kind {
		case tEnd:
			return
		case tNewline:
			a.at++
			continue
		case tIndent:
			a.at++
			open = append(open, pending)
			pending = block{}
			continue
		case tDedent:
			a.at++
			if n := len(open); n > 0 {
				closeBlock(open[n-1])
				open = open[:n-1]
			}
			continue
		}
		closeBlock(pending) // a header without a block
		pending = block{}
		before := a.at
		pushed, main, header := a.header()
		if header {
			if !pushed {
				a.branches++
			}
			if a.tok().kind == tNewline {
				a.at++
				pending = block{pushed, main, !pushed}
				if a.tok().kind != tIndent {
					closeBlock(pending)
					pending = block{}
				}
				continue
			}
			a.simpleLine()
			closeBlock(block{pushed, main, !pushed})
			continue
		}
		a.simpleLine()
		if a.at == before {
			a.at++
		}
	}
}

// header reads a compound statement up to behind its colon: whether it opened a
// scope, and whether it is the guard of a program.
func (a *analysis) header() (pushed, main, ok bool) {
	word := a.tok()
	if word.kind == tOp && word.text == "@" { // a decorator is called
		a.at++
		a.expr()
		return false, false, false
	}
	if word.kind != tName {
		return false, false, false
	}
	if word.text == "async" {
		a.at++
		word = a.tok()
	}
	switch word.text {
	case "def":
		a.at++
		a.function()
		return true, false, true
	case "class":
		a.at++
		name := a.tok().text
		if a.tok().kind == tName {
			a.at++
			a.bind(name, value{})
		}
		if a.take("(") {
			a.arguments()
		}
		a.toColon()
		a.push(&scope{vars: map[string]value{}})
		return true, false, true
	case "if", "elif", "while":
		a.at++
		main = a.tok().text == "__name__" && a.tok().kind == tName
		a.expr()
		a.toColon()
		if main {
			a.depthMain++
		}
		return false, main, true
	case "else", "try", "finally":
		a.at++
		a.toColon()
		return false, false, true
	case "for":
		a.at++
		a.forHeader()
		return false, false, true
	case "with", "except":
		a.at++
		a.take("(")
		for !a.atEnd() && !a.isOp(":") {
			before := a.at
			v := a.expr()
			if a.take("as") {
				a.assignTo(a.at, a.targetEnd(), v)
			}
			if !a.take(",") && !a.take(")") && a.at == before {
				a.at++
			}
		}
		a.toColon()
		return false, false, true
	case "match", "case":
		if a.endsInColon() {
			a.at++
			a.exprs()
			a.toColon()
			return false, false, true
		}
	}
	return false, false, false
}

func (a *analysis) endsInColon() bool {
	next := a.toks[min(a.at+1, len(a.toks)-1)]
	if next.kind == tOp && (next.text == "=" || next.text == "." || next.text == ":" || next.text == ",") {
		return false
	}
	for i := a.at; i < len(a.toks); i++ {
		if k := a.toks[i].kind; k == tNewline || k == tEnd {
			return i > 0 && a.toks[i-1].kind == tOp && a.toks[i-1].text == ":"
		}
	}
	return false
}

// toColon goes on to behind the colon that begins a block.
func (a *analysis) toColon() {
	for !a.atEnd() && !a.isOp(":") {
		before := a.at
		a.expr()
		if a.at == before {
			a.at++
		}
	}
	a.take(":")
}

// function reads a definition from its name on, and opens its scope.
func (a *analysis) function() {
	name, line := a.tok().text, a.tok().line
	if a.tok().kind == tName {
		a.at++
		if name == "__reduce__" || name == "__reduce_ex__" {
			a.report("reduce-method", line, name)
		}
		a.bind(name, value{})
	}
	s := &scope{vars: map[string]value{}, fn: true}
	for !a.atEnd() && !a.isOp("(") && !a.isOp(":") { // type parameters
		a.at++
	}
	if a.take("(") {
		for !a.atEnd() && !a.isOp(")") {
			t := a.tok()
			a.at++
			if t.kind == tName {
				s.vars[t.text] = value{}
			}
			if a.take(":") {
				a.expr()
			}
			if a.take("=") { // a default is evaluated where the function is defined
				if v := a.expr(); t.kind == tName && v.kind == vRef {
					s.vars[t.text] = v
				}
			}
		}
		a.take(")")
	}
	if a.take("->") {
		a.expr()
	}
	a.toColon()
	a.push(s)
}

func (a *analysis) forHeader() {
	from := a.at
	for !a.atEnd() && !a.isWord("in") && !a.isOp(":") {
		a.at++
	}
	to := a.at
	if !a.take("in") {
		a.toColon()
		return
	}
	over := a.exprs()
	each := value{}
	for _, item := range over.items { // one that is dangerous counts for all
		if item.kind == vRef {
			each = item
		}
	}
	back := a.at
	a.assignTo(from, to, each)
	a.at = back
	a.toColon()
}

// targetEnd is where the target that begins here ends.
func (a *analysis) targetEnd() int {
	i, depth := a.at, 0
	for ; i < len(a.toks); i++ {
		t := a.toks[i]
		if t.kind == tNewline || t.kind == tEnd {
			break
		}
		if t.kind != tOp {
			continue
		}
		if opens(t.text) {
			depth++
		}
		if closes(t.text) {
			if depth == 0 {
				break
			}
			depth--
		}
		if depth == 0 && (t.text == "," || t.text == ":") {
			break
		}
	}
	return i
}

// simpleLine reads the statements of one logical line.
func (a *analysis) simpleLine() {
	for !a.atEnd() {
		switch {
		case a.take(";"):
			continue
		case a.isWord("import"):
			a.at++
			a.imported()
		case a.isWord("from") && !a.wasYield():
			a.at++
			a.fromImported()
		case a.isWord("global") || a.isWord("nonlocal"):
			for !a.atEnd() && !a.isOp(";") {
				a.at++
			}
		default:
			a.assignment()
		}
		for !a.atEnd() && !a.isOp(";") {
			before := a.at
			a.expr()
			if a.at == before {
				a.at++
			}
		}
	}
}

func (a *analysis) wasYield() bool { return a.at > 0 && a.toks[a.at-1].text == "yield" }

// assignment reads `a = b = value`, `a: T = value`, `a += value` and plain
// expressions.
func (a *analysis) assignment() {
	type span struct{ from, to int }
	var targets []span
	from, depth, augmented := a.at, 0, ""
	i := a.at
scan:
	for ; i < len(a.toks); i++ {
		t := a.toks[i]
		if t.kind == tNewline || t.kind == tEnd {
			break
		}
		if t.kind != tOp {
			continue
		}
		switch t.text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case ";":
			if depth == 0 {
				break scan
			}
		case "=":
			if depth == 0 {
				targets = append(targets, span{from, i})
				from = i + 1
			}
		case "+=":
			if depth == 0 {
				targets, augmented, from = append(targets, span{from, i}), t.text, i+1
			}
		}
	}
	a.at = from
	doc := len(targets) == 0 && a.tok().kind == tString && a.statementEnds(a.at+1)
	if doc { // a docstring or a comment in quotes
		a.at++
		return
	}
	v := a.exprs()
	end := a.at
	for _, t := range targets {
		if augmented != "" && t.to-t.from == 1 && a.toks[t.from].kind == tName {
			v = plus(a.lookup(a.toks[t.from].text), v)
		}
		a.assignTo(t.from, t.to, v)
	}
	a.at = end
}

func (a *analysis) statementEnds(i int) bool {
	k := a.toks[min(i, len(a.toks)-1)]
	return k.kind == tNewline || k.kind == tEnd || k.kind == tOp && k.text == ";"
}

// assignTo gives the target in toks[from:to] a value, and leaves a.at behind it.
func (a *analysis) assignTo(from, to int, v value) {
	defer func() { a.at = to }()
	for i := from; i < to; i++ { // an annotation is no part of the target
		if a.toks[i].kind == tOp && a.toks[i].text == ":" {
			to = i
			break
		}
	}
	for to-from > 2 && a.toks[from].text == "(" && a.toks[to-1].text == ")" {
		from, to = from+1, to-1
	}
	if to <= from {
		return
	}
	var part, n = from, 0
	depth := 0
	for i := from; i < to; i++ { // a, b = …
		switch t := a.toks[i]; {
		case t.kind != tOp:
		case opens(t.text):
			depth++
		case closes(t.text):
			depth--
		case t.text == "," && depth == 0:
			a.assignTo(part, i, index(v, value{kind: vNumber, num: int64(n)}))
			part, n = i+1, n+1
		}
	}
	if n > 0 {
		a.assignTo(part, to, index(v, value{kind: vNumber, num: int64(n)}))
		return
	}
	name := a.toks[from]
	if name.kind != tName {
		return
	}
	if to-from == 1 {
		if name.text == "__reduce__" {
			a.report("reduce-method", name.line, name.text)
		}
		a.bind(name.text, v)
		return
	}
	a.assignPart(from, to, v)
}

// assignPart is an assignment to an attribute or an item.
func (a *analysis) assignPart(from, to int, v value) {
	dotted := ""
	i := from
	for ; i < to; i++ {
		t := a.toks[i]
		if t.kind != tName && (t.kind != tOp || t.text != ".") {
			break
		}
		dotted += t.text
	}
	line := a.toks[from].line
	first, rest, _ := strings.Cut(dotted, ".")
	base := a.lookup(first)
	full := dotted
	if base.kind == vRef {
		full = canonical(base.text + "." + rest)
	}
	if i == to {
		if base.kind == vRef {
			a.replaced(full, line)
		}
		a.bind(dotted, v)
		return
	}
	if base.kind == vRef {
		a.replacedItem(full, line)
	}
	a.at = i
	for a.at < to { // calls inside the subscript
		before := a.at
		a.expr()
		if a.at == before {
			a.at++
		}
	}
}

// imported reads `import a.b as c, d`.
func (a *analysis) imported() {
	for {
		line := a.tok().line
		module := a.dotted()
		if module == "" {
			return
		}
		a.importing(module, line)
		if a.take("as") {
			a.bind(a.tok().text, ref(canonical(module)))
			a.at++
		} else {
			first, _, _ := strings.Cut(module, ".")
			a.bind(first, ref(canonical(first)))
		}
		if !a.take(",") {
			return
		}
	}
}

func (a *analysis) dotted() string {
	var b strings.Builder
	for a.isOp(".") || a.isOp("...") {
		b.WriteString(a.tok().text)
		a.at++
	}
	for a.tok().kind == tName && !a.isWord("import") {
		b.WriteString(a.tok().text)
		a.at++
		if !a.take(".") {
			break
		}
		b.WriteByte('.')
	}
	return b.String()
}

func (a *analysis) fromImported() {
	line := a.tok().line
	module := a.dotted()
	if !a.take("import") {
		return
	}
	a.importing(module, line)
	if a.take("*") {
		switch {
		case slices.Contains(a.stars, module):
		case len(a.stars) < maxStars:
			a.stars = append(a.stars, module)
		default: // every unknown name is looked up in each
			a.report("not-analysed", line, fmt.Sprintf("what more than %d star imports bring is not followed", maxStars))
		}
		return
	}
	a.take("(")
	for a.tok().kind == tName {
		name, line := a.tok().text, a.tok().line
		a.at++
		full := canonical(module + "." + name)
		a.importing(full, line)
		if a.take("as") {
			name = a.tok().text
			a.at++
		}
		a.bind(name, ref(full))
		if !a.take(",") {
			break
		}
	}
	a.take(")")
}
