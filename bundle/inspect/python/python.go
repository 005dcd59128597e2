package python

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"fx/bundle/inspect/finding"
)

// MaxSource is the largest source that is analysed, in bytes.
const MaxSource = 2 << 20

// Result is what the analysis of one file found.
type Result struct {
	Findings []finding.Finding // not sealed
	Imports  []string          // top-level packages, in order of appearance
	Problem  string            // why it is not Python to its end, "" if it is
	Line     int               // of the problem
}

// scope is a block that names live in.
type scope struct {
	vars map[string]value // nil: those of the scope around it
	fn   bool             // its code does not run on import
}

// analysis walks the tokens of one file, twice: the first time to learn what
// names mean at the end of the file, since functions are called later than they
// are written.
type analysis struct {
	path      string
	lines     []string
	toks      []token
	at        int
	nesting   int
	tooDeep   bool
	replaying bool
	mute      bool // the first walk
	scopes    []*scope
	final     map[string]value // names of the module when it has been read
	stars     []string         // modules of which everything is imported
	imports   []string
	known     map[string]bool // the same
	found     []finding.Finding
	reported  map[place]bool
	branches  int  // blocks around that may not run
	depthMain int  // inside `if __name__ == "__main__"`
	noImport  bool // running it on import is what the file is for
}

// place is where a rule was reported.
type place struct {
	rule string
	line int
}

var coding = regexp.MustCompile(`^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)`)

// Analyse reads Python source. path is for the findings alone.
func Analyse(path string, src []byte) *Result { return AnalyseFrom(path, src, 1) }

// AnalyseFrom is [Analyse] for source that begins on another line of its file.
func AnalyseFrom(path string, src []byte, line int) *Result {
	r := &Result{}
	if len(src) > MaxSource {
		r.Problem = "it is larger than code is"
		return r
	}
	text := string(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")))
	a := &analysis{
		path: path, lines: strings.Split(text, "\n"), reported: map[place]bool{}, known: map[string]bool{}, final: map[string]value{},
		noImport: strings.HasSuffix(path, "setup.py"),
	}
	a.encoding(text)
	if !utf8.ValidString(text) {
		text = latin1(text)
		r.Problem, r.Line = "it is not UTF-8", 1
	}
	l := lex(text, 1, false)
	for _, mute := range []bool{true, false} {
		a.toks, a.at, a.mute, a.nesting, a.depthMain, a.branches = l.toks, 0, mute, 0, 0, 0
		a.scopes = []*scope{{vars: map[string]value{}}}
		a.file()
		if mute {
			for name, v := range a.scopes[0].vars {
				a.final[name] = v
			}
		}
	}
	a.layout()
	if r.Problem == "" && l.problem != "" {
		r.Problem, r.Line = l.problem, l.where
	}
	if r.Problem == "" && a.tooDeep {
		r.Problem, r.Line = "its expressions are nested too deep", 1
	}
	if r.Problem != "" {
		a.report("python-syntax", r.Line, r.Problem)
	}
	r.Findings, r.Imports = a.found, a.imports
	for i := range r.Findings {
		r.Findings[i].Line += line - 1
	}
	return r
}

// encoding looks at the declaration of PEP 263.
func (a *analysis) encoding(text string) {
	for i, line := range strings.SplitN(text, "\n", 3)[:min(2, strings.Count(text, "\n")+1)] {
		m := coding.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch name := strings.ReplaceAll(strings.ToLower(m[1]), "_", "-"); name {
		case "utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii", "latin-1", "latin1", "iso-8859-1", "iso-8859-15", "utf-8-unix", "cp1252":
		default:
			a.report("source-encoding", i+1, m[1])
		}
	}
}

func latin1(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}

// report adds a finding about a line, once for each rule.
func (a *analysis) report(rule string, line int, detail string) {
	if a.mute && rule != "source-encoding" || a.replaying {
		return
	}
	key := place{rule, line}
	if a.reported[key] {
		return
	}
	a.reported[key] = true
	code := ""
	if line >= 1 && line <= len(a.lines) {
		code = a.lines[line-1]
	}
	if len(detail) > 120 {
		detail = detail[:120] + "…"
	}
	a.found = append(a.found, finding.New(rule, a.path, line, code, detail))
}

// active reports what does something, and again if it does so on import.
func (a *analysis) active(rule string, line int, detail string) {
	a.report(rule, line, detail)
	if a.onImport() && !a.noImport {
		a.report("import-time", line, detail)
	}
}

func (a *analysis) onImport() bool {
	for _, s := range a.scopes {
		if s.fn {
			return false
		}
	}
	return a.depthMain == 0
}

func (a *analysis) push(s *scope) { a.scopes = append(a.scopes, s) }

func (a *analysis) pop() { a.scopes = a.scopes[:len(a.scopes)-1] }

func (a *analysis) bind(name string, v value) {
	for i := len(a.scopes) - 1; i >= 0; i-- {
		if vars := a.scopes[i].vars; vars != nil {
			// `except ImportError: module = None` leaves what was imported before.
			if old := vars[name]; a.branches == 0 || old.kind != vRef || !dangerous(old.text) || v.kind == vRef && dangerous(v.text) {
				vars[name] = v
			}
			break
		}
	}
	// What a function imports or aliases, another may use by `global` or as an
	// attribute.
	if len(a.scopes) > 1 && (v.kind == vRef || strings.Contains(name, ".")) {
		if _, known := a.final[name]; !known {
			a.final[name] = v
		}
	}
}

// lookup is what a name stands for here.
func (a *analysis) lookup(name string) value {
	for i := len(a.scopes) - 1; i >= 0; i-- {
		if v, ok := a.scopes[i].vars[name]; ok {
			return a.orPath(v, name)
		}
	}
	if v, ok := a.final[name]; ok {
		return a.orPath(v, name)
	}
	if builtins[name] {
		return ref(name)
	}
	for _, module := range a.stars {
		if full := canonical(module + "." + name); known(full) {
			return ref(full)
		}
	}
	return value{path: name}
}

func (a *analysis) orPath(v value, name string) value {
	if v.kind == vUnknown && v.path == "" {
		v.path = name
	}
	return v
}

// layout finds code that no editor shows.
func (a *analysis) layout() {
	far := regexp.MustCompile(`\S[ \t]{80,}[^\s#\\]`)
	for i, line := range a.lines {
		if len(line) < 100 {
			continue
		}
		if far.MatchString(line) && strings.ContainsAny(line[strings.LastIndex(line, strings.Repeat(" ", 20))+1:], "(;") {
			a.report("off-screen", i+1, "")
		}
	}
}
