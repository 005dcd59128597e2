package python

import (
	"slices"
	"strconv"
	"strings"
)

// arg is one argument of a call.
type arg struct {
	name string // of a keyword argument
	val  value
	star bool
}

const (
	maxNesting = 150
	maxItems   = 4096    // of a display that are kept
	maxReplay  = 1 << 16 // tokens that a comprehension is read again
)

var ends = map[string]bool{")": true, "]": true, "}": true, ",": true, ":": true, "=": true, ";": true}

// words that an expression may go on with, or begin with, and mean nothing here
var joining = map[string]bool{"and": true, "or": true, "if": true, "else": true, "in": true, "is": true, "not": true}
var leading = map[string]bool{"not": true, "await": true, "yield": true, "from": true, "return": true, "raise": true, "assert": true, "del": true, "async": true, "print": false}

func opens(op string) bool { return op == "(" || op == "[" || op == "{" }

func closes(op string) bool { return op == ")" || op == "]" || op == "}" }

func (a *analysis) tok() token { return a.toks[a.at] }

func (a *analysis) isOp(text string) bool { t := a.tok(); return t.kind == tOp && t.text == text }

func (a *analysis) isWord(text string) bool { t := a.tok(); return t.kind == tName && t.text == text }

func (a *analysis) take(text string) bool {
	if t := a.tok(); (t.kind == tOp || t.kind == tName) && t.text == text {
		a.at++
		return true
	}
	return false
}

func (a *analysis) atEnd() bool {
	k := a.tok().kind
	return k == tEnd || k == tNewline || k == tIndent || k == tDedent
}

// exprs reads expressions with commas between them; more than one is a list.
func (a *analysis) exprs() value {
	first := a.expr()
	if !a.isOp(",") {
		return first
	}
	list := value{kind: vList, items: []value{first}}
	for a.take(",") {
		if a.atEnd() || a.tok().kind == tOp && ends[a.tok().text] {
			break
		}
		if v := a.expr(); len(list.items) < maxItems {
			list.items = append(list.items, v)
		}
	}
	return list
}

// expr reads one expression, and says what is known of its value. It always
// consumes at least one token, unless there is none that belongs to it.
func (a *analysis) expr() value {
	if a.nesting++; a.nesting > maxNesting {
		a.tooDeep = true
		a.skipExpr()
		a.nesting--
		return value{}
	}
	defer func() { a.nesting-- }()
	start := a.at
	left := a.operand()
	for {
		t := a.tok()
		switch {
		case t.kind == tOp && t.text == "+":
			a.at++
			left = plus(left, a.operand())
		case t.kind == tOp && t.text == ":=":
			if prev := a.toks[max(0, a.at-1)]; prev.kind == tName {
				a.at++
				left = a.expr()
				a.bind(prev.text, left)
			} else {
				a.at++
			}
		case t.kind == tOp && !ends[t.text] && t.text != "->":
			a.at++
			left = arithmetic(t.text, left, a.operand())
		case t.kind == tName && t.text == "for" || t.kind == tName && t.text == "async":
			a.at++
			left = a.comprehension(left, start)
		case t.kind == tName && joining[t.text]:
			a.at++
			right := a.operand()
			if left.kind == vUnknown || left.kind == vNumber || right.kind == vRef && left.kind != vRef {
				left = right
			}
		default:
			if !a.atEnd() && (t.kind != tOp || !ends[t.text]) && a.at == start {
				a.at++ // never stand still
			}
			return left
		}
	}
}

// skipExpr skips what is nested too deep to follow.
func (a *analysis) skipExpr() {
	for depth := 0; !a.atEnd(); a.at++ {
		switch t := a.tok(); {
		case t.kind != tOp:
		case opens(t.text):
			depth++
		case closes(t.text):
			if depth == 0 {
				return
			}
			depth--
		}
	}
}

// comprehension reads what follows `for`; the element was read already and is
// read again with each of the values that a constant list gives its name.
func (a *analysis) comprehension(element value, start int) value {
	if a.take("for") { // after async
		element = value{}
	}
	name := ""
	if a.tok().kind == tName {
		name = a.tok().text
	}
	simple := a.toks[a.at+min(1, len(a.toks)-1-a.at)]
	for !a.atEnd() && !a.isWord("in") && !a.isOp(")") && !a.isOp("]") {
		if t := a.tok(); t.kind == tName {
			a.bind(t.text, value{})
		}
		a.at++
	}
	if !a.take("in") {
		return value{}
	}
	over := a.operand()
	for a.isOp("+") {
		a.at++
		over = plus(over, a.operand())
	}
	list := over.items
	if over.isText() {
		for _, c := range []byte(over.text) {
			v := value{kind: vNumber, num: int64(c)}
			if over.kind == vText {
				v = value{kind: vText, text: string(c), made: true}
			}
			list = append(list, v)
		}
	}
	if over.kind == vDecoded {
		return over
	}
	if simple.text != "in" || over.kind == vDict || len(list) == 0 || len(list)*(a.at-start) > maxReplay || a.replaying {
		return value{kind: vUnknown, made: element.made}
	}
	end := a.at
	out := value{kind: vList, made: true}
	a.replaying = true
	for _, item := range list {
		a.at = start
		a.bind(name, item)
		out.items = append(out.items, a.operandSum())
	}
	a.replaying = false
	a.bind(name, value{})
	a.at = end
	return out
}

// operandSum reads the element of a comprehension.
func (a *analysis) operandSum() value {
	left := a.operand()
	for a.tok().kind == tOp && !ends[a.tok().text] {
		op := a.tok().text
		a.at++
		if right := a.operand(); op == "+" {
			left = plus(left, right)
		} else {
			left = arithmetic(op, left, right)
		}
	}
	return left
}

// operand reads a primary and what hangs on it: attributes, calls, subscripts.
func (a *analysis) operand() value {
	negative := false
	for {
		t := a.tok()
		if t.kind == tOp && (t.text == "-" || t.text == "+" || t.text == "~" || t.text == "*" || t.text == "**" || t.text == "@") {
			negative = negative != (t.text == "-")
			a.at++
			continue
		}
		if t.kind == tName && leading[t.text] {
			a.at++
			continue
		}
		break
	}
	line := a.tok().line
	v := a.primary()
	if negative && v.kind == vNumber {
		v.num = -v.num
	}
	for {
		switch {
		case a.isOp("."):
			a.at++
			name := ""
			if a.tok().kind == tName {
				name = a.tok().text
				a.at++
			}
			v = a.attribute(v, name, line)
		case a.isOp("("):
			line := a.toks[max(0, a.at-1)].line
			a.at++
			args := a.arguments()
			v = a.call(v, args, line)
		case a.isOp("["):
			a.at++
			v = a.subscript(v, line)
		default:
			if v.kind == vRef {
				a.loaded(v, line)
			}
			return v
		}
	}
}

func (a *analysis) primary() value {
	t := a.tok()
	switch t.kind {
	case tName:
		a.at++
		if t.text == "lambda" {
			return a.lambda()
		}
		return a.lookup(t.text)
	case tNumber:
		a.at++
		n, err := strconv.ParseInt(t.text, 0, 64)
		if err != nil {
			return value{}
		}
		return value{kind: vNumber, num: n}
	case tString:
		return a.literal()
	case tOp:
		switch t.text {
		case "(":
			a.at++
			return a.display(")")
		case "[":
			a.at++
			v := a.display("]")
			if v.kind != vList && v.kind != vDecoded {
				v = value{kind: vList, items: []value{v}}
			}
			return v
		case "{":
			a.at++
			return a.braces()
		case "...":
			a.at++
		}
	}
	return value{}
}

// display reads to the closing bracket.
func (a *analysis) display(closing string) value {
	if a.take(closing) {
		return value{kind: vList}
	}
	v := a.exprs()
	for !a.atEnd() && !a.isOp(closing) {
		a.at++
		if !a.atEnd() && !a.isOp(closing) {
			a.expr()
		}
	}
	a.take(closing)
	return v
}

func (a *analysis) braces() value {
	v := value{kind: vDict}
	for !a.atEnd() && !a.isOp("}") {
		before := a.at
		k := a.expr()
		if a.take(":") {
			item := a.expr()
			if len(v.items) < maxItems {
				v.keys, v.items = append(v.keys, k), append(v.items, item)
			}
		} else if len(v.items) < maxItems {
			v.keys, v.items = append(v.keys, value{}), append(v.items, k)
		}
		if !a.take(",") && a.at == before {
			a.at++
		}
	}
	a.take("}")
	return v
}

func (a *analysis) lambda() value {
	a.push(&scope{vars: map[string]value{}, fn: true})
	for !a.atEnd() && !a.isOp(":") && !a.isOp(")") {
		t := a.tok()
		a.at++
		switch {
		case t.kind == tName:
			a.bind(t.text, value{})
		case t.kind == tOp && t.text == "=":
			a.expr()
		}
	}
	a.take(":")
	a.expr()
	a.pop()
	return value{}
}

// literal reads strings that stand beside each other.
func (a *analysis) literal() value {
	v := value{kind: vText}
	known, first := true, a.tok()
	var b strings.Builder
	coded := 0
	for n := 0; a.tok().kind == tString; n++ {
		t := a.tok()
		a.at++
		coded += t.coded
		if t.bytes {
			v.kind = vBytes
		}
		b.WriteString(t.text)
		for _, p := range t.parts {
			if !p.expr {
				b.WriteString(p.text)
				continue
			}
			inner := a.field(p)
			v.made = true
			if !inner.isText() {
				known = false
				continue
			}
			b.WriteString(inner.text)
		}
		v.made = v.made || n > 0
	}
	a.text(b.String(), coded, first, v.kind == vBytes)
	if !known || b.Len() > 1<<20 {
		return value{}
	}
	v.text = b.String()
	return v
}

// field evaluates an expression inside an f-string.
func (a *analysis) field(p part) value {
	if a.nesting > maxNesting/2 || len(p.text) > 1<<16 {
		a.tooDeep = true
		return value{}
	}
	toks, at := a.toks, a.at
	a.toks, a.at = lex(p.text, p.line, true).toks, 0
	v := a.exprs()
	for a.tok().kind != tEnd { // conversions and format specifications
		a.at++
		if a.tok().kind != tEnd && !a.atEnd() {
			a.expr()
		}
	}
	a.toks, a.at = toks, at
	return v
}

func (a *analysis) arguments() []arg {
	var args []arg
	for !a.atEnd() && !a.isOp(")") {
		before := a.at
		var g arg
		if t := a.tok(); t.kind == tOp && (t.text == "*" || t.text == "**") {
			g.star = true
		}
		if t := a.tok(); t.kind == tName && a.toks[min(a.at+1, len(a.toks)-1)].text == "=" && a.toks[min(a.at+1, len(a.toks)-1)].kind == tOp {
			g.name = t.text
			a.at += 2
		}
		g.val = a.expr()
		args = append(args, g)
		if !a.take(",") && !a.isOp(")") && !a.atEnd() && a.at == before {
			a.at++
		}
		if a.at == before {
			a.at++
		}
		for a.tok().kind == tOp && slices.Contains([]string{":", "=", ";", "]", "}"}, a.tok().text) {
			a.at++
		}
	}
	a.take(")")
	return args
}

func (a *analysis) subscript(v value, line int) value {
	var bounds [3]*value
	colons := 0
	for !a.atEnd() && !a.isOp("]") {
		if a.take(":") {
			if colons++; colons > 2 {
				colons = 2
			}
			continue
		}
		before := a.at
		x := a.exprs()
		bounds[colons] = &x
		if a.at == before {
			a.at++
		}
	}
	a.take("]")
	if colons > 0 {
		return slice(v, bounds[0], bounds[1], bounds[2])
	}
	if bounds[0] == nil {
		return value{}
	}
	return a.item(v, *bounds[0], line)
}
