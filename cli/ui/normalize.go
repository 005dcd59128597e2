package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// normalize turns a command line as people type it into the one order that the
// library parses without surprises: program, groups, command, its flags, `--`,
// its arguments. Whatever is unknown, ambiguous or incomplete ends here with a
// sentence and exit code 2; the library never sees it.
func normalize(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		args = []string{app.Name}
	}
	if args[len(args)-1] == completionArg {
		return args, nil
	}
	p := parser{app: app, path: []string{args[0]}, shown: []string{app.Name}, commands: app.Commands}
	rest := args[1:]
	if len(rest) > 0 && rest[0] == "help" {
		rest = append(slices.Clone(rest[1:]), "--help")
	}
	for len(rest) > 0 {
		var err error
		if rest, err = p.next(rest); err != nil {
			return nil, err
		}
	}
	return p.done()
}

// parser is the state of one walk over a command line.
type parser struct {
	app      *cli.App
	path     []string       // program, groups, command
	shown    []string       // the same as a person would write it
	commands []*cli.Command // what may follow on the path
	leaf     *cli.Command   // the command, once it is known
	flags    []string
	args     []string
	help     bool
}

func (p *parser) name() string { return strings.Join(p.shown, " ") }

func (p *parser) next(rest []string) ([]string, error) {
	word := rest[0]
	switch {
	case word == "--":
		if p.leaf == nil {
			return nil, p.missing()
		}
		p.args = append(p.args, rest[1:]...)
		return nil, nil
	case word == "-h" || word == "--help":
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
			p.path, p.shown = append(p.path, c.Name), append(p.shown, c.Name)
			p.commands = c.Subcommands
			if len(c.Subcommands) == 0 {
				p.leaf = c
			}
			return rest[1:], nil
		}
	}
	return nil, p.unknownCommand(word)
}

func (p *parser) flag(word string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	known := commonFlags()
	if p.leaf != nil {
		known = p.leaf.Flags
	}
	i := slices.IndexFunc(known, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return nil, p.unknownFlag(word, name, known)
	}
	dashed := "--" + known[i].Names()[0]
	if _, isBool := known[i].(*cli.BoolFlag); isBool {
		if hasValue && value != "true" && value != "false" {
			return nil, Hint(Usagef("%s is on or off: %q is neither", dashed, value), "%s --help", p.name())
		}
		if hasValue {
			dashed += "=" + value
		}
		p.flags = append(p.flags, dashed)
		return rest, nil
	}
	if !hasValue {
		if len(rest) == 0 || rest[0] == "--" {
			return nil, Hint(Usagef("%s of %q needs a value", dashed, p.name()), "%s --help", p.name())
		}
		value, rest = rest[0], rest[1:]
	}
	p.flags = append(p.flags, dashed+"="+value)
	return rest, nil
}

func (p *parser) done() ([]string, error) {
	if p.help {
		return append(p.path, "--help"), nil
	}
	if p.leaf == nil {
		if len(p.path) == 1 && len(p.flags) == 0 {
			return append(p.path, "--help"), nil
		}
		return nil, p.missing()
	}
	out := append(slices.Clone(p.path), p.flags...)
	if len(p.args) > 0 {
		out = append(append(out, "--"), p.args...)
	}
	return out, nil
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

func (p *parser) unknownFlag(word, name string, known []cli.Flag) error {
	if p.leaf == nil {
		return Hint(Usagef("the flag %q stands before the command it belongs to, or there is no such flag", word), "%s --help", p.name())
	}
	var names []string
	for _, f := range known {
		for _, n := range f.Names() {
			if len(n) > 1 {
				names = append(names, n)
			}
		}
	}
	if near := Nearest(name, names); near != "" {
		return Hint(Usagef("%q has no flag %q; did you mean %q?", p.name(), word, "--"+near), "%s --help", p.name())
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

func rootHelp() string {
	var codes strings.Builder
	_ = WriteExitCodes(&codes) // a strings.Builder cannot fail
	return fmt.Sprintf(`{{.Name}} - {{.Usage}}

USAGE:
   {{.Name}} COMMAND [FLAGS] [ARGUMENTS]

COMMANDS:{{range .VisibleCommands}}
   {{join .Names ", "}}{{"\t"}}{{.Usage}}{{end}}

{{.Description}}

EXIT CODES:
%s
`, codes.String())
}
