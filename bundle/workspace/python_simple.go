package workspace

// simple reads the statements of one line: imports, assignments, and what
// defines nothing.
func (p *pyParser) simple(class *pyClass) {
	for {
		switch {
		case p.take("from"):
			p.fromImport(class)
		case p.take("import"):
			p.imports(class)
		default:
			for p.assignment(class) {
			}
		}
		for p.kind() != pyNewline && p.kind() != pyEnd && p.token().text != ";" {
			p.at++
		}
		if !p.take(";") {
			p.line()
			return
		}
	}
}

// imports reads `import a.b as c, d`.
func (p *pyParser) imports(class *pyClass) {
	for {
		module := p.dotted()
		if module == "" {
			return
		}
		if p.take("as") {
			p.bind(class, p.name(), pyBinding{from: &pyImport{module: module}})
		} else {
			p.bind(class, firstPart(module), pyBinding{from: &pyImport{module: firstPart(module)}})
		}
		if !p.take(",") {
			return
		}
	}
}

// fromImport reads `from .a import (b as c, d)`, and `from a import *`.
func (p *pyParser) fromImport(class *pyClass) {
	from := pyImport{}
	for p.take(".") {
		from.level++
	}
	if p.token().text != "import" {
		from.module = p.dotted()
	}
	if !p.take("import") {
		return
	}
	if p.take("*") {
		p.module.stars = append(p.module.stars, from)
		return
	}
	p.take("(")
	for {
		from.name = p.name()
		if from.name == "" {
			return
		}
		name, source := from.name, from
		if p.take("as") {
			name = p.name()
		}
		p.bind(class, name, pyBinding{from: &source})
		if !p.take(",") {
			return
		}
	}
}

// assignment reads `a, b = …`, `(a, b) = …` and `a: T = …`; of `a = b = …` the
// first part, and true.
func (p *pyParser) assignment(class *pyClass) bool {
	var names []string
	open := p.take("(") || p.take("[")
	for {
		name := p.name()
		if name == "" || name == "lambda" {
			return false
		}
		names = append(names, name)
		if open && (p.take(")") || p.take("]")) {
			open = false
		}
		switch {
		case p.take(","):
			if p.token().text != "=" {
				continue
			}
			p.at++
		case p.take(":"): // an annotation, perhaps with a value
			p.bind(class, name, pyBinding{})
			return false
		case !p.take("="):
			return false
		}
		break
	}
	start := p.at
	same := p.dotted()
	if p.token().text == "=" { // a = b = …
		p.at = start
		for _, name := range names {
			p.bind(class, name, pyBinding{})
		}
		return true
	}
	end := p.kind() == pyNewline || p.kind() == pyEnd || p.token().text == ";"
	for _, name := range names {
		if same != "" && end && len(names) == 1 {
			p.bind(class, name, pyBinding{same: same})
			continue
		}
		p.bind(class, name, pyBinding{})
	}
	return false
}

func firstPart(dotted string) string {
	for i := range dotted {
		if dotted[i] == '.' {
			return dotted[:i]
		}
	}
	return dotted
}
