package ui

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// normalize turns a command line as people type it into the one order that the
// library parses without surprises: program, groups, command, its flags, `--`,
// its arguments. Whatever is unknown, ambiguous or incomplete ends here with a
// sentence and exit code 2; the library never sees it.
func normalize(app *cli.App, args []string) (*parser, error) {
	p := newParser(app)
	for rest := args; len(rest) > 0; {
		var err error
		if rest, err = p.next(rest); err != nil {
			return nil, err
		}
	}
	switch {
	case p.help || p.leaf != nil:
		return p, nil
	case len(args) == 0:
		p.help = true
		return p, nil
	}
	return nil, p.missing()
}

// parser is the state of one walk over a command line.
type parser struct {
	path     []string       // program, groups, command
	about    *cli.Command   // the last of them; nil for the program itself
	commands []*cli.Command // what may follow on the path
	leaf     *cli.Command   // the command, once it is known
	flags    []string
	given    map[string]string // the values of the flags that take only one
	args     []string
	ended    bool // by --
	help     bool
}

func newParser(app *cli.App) *parser {
	return &parser{path: []string{app.Name}, commands: app.Commands, given: map[string]string{}}
}

func (p *parser) name() string { return strings.Join(p.path, " ") }

// line is the command line in the order that the library wants.
func (p *parser) line() []string {
	out := append(slices.Clone(p.path), p.flags...)
	if len(p.args) > 0 {
		out = append(append(out, "--"), p.args...)
	}
	return out
}

// next takes the first word, and its value if it is a flag that has one.
func (p *parser) next(rest []string) ([]string, error) {
	word := rest[0]
	switch {
	case p.ended:
		p.args = append(p.args, word)
		return rest[1:], nil
	case word == "--":
		if p.leaf == nil {
			return nil, p.missing()
		}
		p.ended = true
		return rest[1:], nil
	case isHelp(word) || p.leaf == nil && word == "help":
		p.help = true
		return rest[1:], nil
	case len(word) > 1 && word[0] == '-':
		return p.flag(word, rest[1:])
	case p.leaf != nil:
		p.args = append(p.args, word)
		return rest[1:], nil
	}
	for _, c := range p.commands {
		if c.HasName(word) {
			p.path, p.about, p.commands = append(p.path, c.Name), c, c.Subcommands
			if len(c.Subcommands) == 0 {
				p.leaf = c
			}
			return rest[1:], nil
		}
	}
	return nil, p.unknownCommand(word)
}

func isHelp(word string) bool { return word == "-h" || word == "--help" }

// known lists the flags that may stand here.
func (p *parser) known() []cli.Flag {
	if p.leaf == nil {
		return commonFlags()
	}
	return p.leaf.Flags
}

// find takes a word such as --name=value apart.
func (p *parser) find(word string) (f cli.Flag, value string, hasValue bool) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
	for _, f := range p.known() {
		if len(word) > 1 && word[0] == '-' && slices.Contains(f.Names(), name) {
			return f, value, hasValue
		}
	}
	return nil, "", false
}

func (p *parser) flag(word string, rest []string) ([]string, error) {
	f, value, hasValue := p.find(word)
	if f == nil {
		return nil, p.unknownFlag(word)
	}
	dashed := "--" + f.Names()[0]
	help := p.name() + " --help"
	if _, isBool := f.(*cli.BoolFlag); isBool {
		if !hasValue {
			value = "true"
		}
		if value != "true" && value != "false" {
			return nil, Hint(Usagef("%s is on or off: %q is neither", dashed, value), "%s", help)
		}
	} else {
		if !hasValue && len(rest) > 0 && rest[0] != "--" {
			value, rest = rest[0], rest[1:]
			if other, _, _ := p.find(value); other != nil || isHelp(value) {
				return nil, Hint(Usagef("%s of %q needs a value, and %q is a flag", dashed, p.name(), value), "%s=%s if that is the value", dashed, value)
			}
		}
		if value == "" {
			return nil, Hint(Usagef("%s of %q needs a value", dashed, p.name()), "%s", help)
		}
		var err error
		if value, err = checkValue(f, dashed, value); err != nil {
			return nil, Hint(err, "%s", help)
		}
	}
	if _, many := f.(*cli.StringSliceFlag); !many {
		if before, twice := p.given[dashed]; twice && before != value {
			return nil, Hint(Usagef("%s of %q takes one value; there are %q and %q", dashed, p.name(), before, value), "%s", help)
		}
		p.given[dashed] = value
	}
	p.flags = append(p.flags, dashed+"="+value)
	return rest, nil
}

// checkValue refuses what the library would answer with the whole help, and
// writes numbers so that the library does not take 010 for 8.
func checkValue(f cli.Flag, dashed, value string) (string, error) {
	switch f.(type) {
	case *cli.IntFlag:
		n, err := strconv.Atoi(value)
		if err != nil {
			return "", Usagef("%s is %q; a whole number was expected", dashed, value)
		}
		return strconv.Itoa(n), nil
	case *cli.DurationFlag:
		if _, err := time.ParseDuration(value); err != nil {
			return "", Usagef("%s is %q; a time such as 500ms, 30s or 1h30m was expected", dashed, value)
		}
	}
	return value, nil
}

func (p *parser) missing() error {
	return Hint(Usagef("%q needs a command: %s", p.name(), strings.Join(visible(p.commands), ", ")), "%s --help", p.name())
}

func (p *parser) unknownCommand(word string) error {
	names := visible(p.commands)
	if near := Nearest(word, names); near != "" {
		return Hint(Usagef("%q is no command of %q; did you mean %q?", word, p.name(), near), "%s %s --help", p.name(), near)
	}
	return Hint(Usagef("%q is no command of %q; there are %s", word, p.name(), strings.Join(names, ", ")), "%s --help", p.name())
}

func (p *parser) unknownFlag(word string) error {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if p.leaf == nil && slices.Contains(visible(p.commands), name) {
		return Hint(Usagef("%q has no flag %q; did you mean the command %q?", p.name(), word, name), "%s %s", p.name(), name)
	}
	names := []string{"help"}
	for _, f := range p.known() {
		for _, n := range f.Names() {
			if len(n) > 1 {
				names = append(names, n)
			}
		}
	}
	if near := Nearest(name, names); near != "" {
		return Hint(Usagef("%q has no flag %q; did you mean %q?", p.name(), word, "--"+near), "%s --help", p.name())
	}
	if p.leaf == nil {
		return Hint(Usagef("the flag %q stands before the command it belongs to, or there is no such flag", word), "%s --help", p.name())
	}
	return Hint(Usagef("%q has no flag %q", p.name(), word), "%s --help", p.name())
}

func visible(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

// Nearest returns the candidate that word was probably meant to be, or "" when
// none is near: the only one that it begins, or one that is at most one edit
// away for each three letters.
func Nearest(word string, candidates []string) string {
	begins := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return !strings.HasPrefix(c, word) })
	if len(word) >= 3 && len(begins) == 1 {
		return begins[0]
	}
	best, bestDistance := "", len(word)/3+2
	for _, c := range candidates {
		if d := distance(word, c); d < bestDistance && d < len(c) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions,
// replacements and swaps of neighbours.
func distance(a, b string) int {
	two, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, prev = prev, row
	}
	return prev[len(b)]
}
