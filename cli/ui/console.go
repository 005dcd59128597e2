package ui

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// Console is where a command talks to its user.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
	JSON     bool // --json
	Quiet    bool // --quiet

	program  string
	color    bool
	answered bool // a result was written
}

func newConsole(program string, in io.Reader, out, err io.Writer) *Console {
	return &Console{
		In: in, Out: out, Err: err, program: program,
		color: isTerminal(err) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// configure takes over the common flags, wherever they stood.
func (k *Console) configure(c *cli.Context) error {
	k.JSON = k.JSON || c.Bool("json")
	k.Quiet = k.Quiet || c.Bool("quiet")
	return nil
}

// Interactive reports whether a question can be asked and answered.
func (k *Console) Interactive() bool { return isTerminal(k.In) && isTerminal(k.Err) }

// ErrIsTerminal reports whether a person is likely to watch standard error.
func (k *Console) ErrIsTerminal() bool { return isTerminal(k.Err) }

func isTerminal(v any) bool {
	f, ok := v.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// Infof says something that --quiet silences.
func (k *Console) Infof(format string, a ...any) {
	if !k.Quiet {
		k.say("", fmt.Sprintf(format, a...))
	}
}

// Warnf says something that must be read.
func (k *Console) Warnf(format string, a ...any) {
	k.say(k.paint("warning:"), fmt.Sprintf(format, a...))
}

func (k *Console) say(kind, text string) {
	if kind != "" {
		kind += " "
	}
	// Nobody can be told that standard error is gone.
	_, _ = fmt.Fprintf(k.Err, "%s: %s%s\n", k.program, kind, Clean(text))
}

func (k *Console) paint(word string) string {
	if !k.color {
		return word
	}
	if word == "warning:" {
		return "\x1b[33m" + word + "\x1b[0m"
	}
	return "\x1b[1;31m" + word + "\x1b[0m"
}

// Ask asks for one line. Without a terminal it is an error that names the flag
// which would have answered.
func (k *Console) Ask(question, flag string) (string, error) {
	if !k.Interactive() {
		return "", Usagef("cannot ask %q: standard input is no terminal; give %s", strings.TrimSpace(question), flag)
	}
	if _, err := fmt.Fprint(k.Err, Clean(question)+" "); err != nil {
		return "", fmt.Errorf("cannot ask %q: %v", question, err)
	}
	line, err := bufio.NewReader(k.In).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("cannot read the answer to %q: %v", question, err)
	}
	return strings.TrimSpace(line), nil
}

// Secret asks for a line that is not shown. Without a terminal it is an error
// that names the flag which would have answered.
func (k *Console) Secret(question, flag string) ([]byte, error) {
	in, ok := k.In.(interface{ Fd() uintptr })
	if !ok || !k.Interactive() {
		return nil, Usagef("cannot ask %q: standard input is no terminal; give %s", strings.TrimSpace(question), flag)
	}
	if _, err := fmt.Fprint(k.Err, Clean(question)+" "); err != nil {
		return nil, fmt.Errorf("cannot ask %q: %v", question, err)
	}
	secret, err := term.ReadPassword(int(in.Fd()))
	_, _ = fmt.Fprintln(k.Err)
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer to %q: %v", question, err)
	}
	return secret, nil
}

// Clean escapes what could deceive a reader of a terminal: control characters
// other than newline and tab, invalid UTF-8, and format characters, among them
// those that turn the direction of text.
func Clean(s string) string {
	ok := func(r rune) bool {
		return r == '\n' || r == '\t' || r != unicode.ReplacementChar && (unicode.IsPrint(r) || unicode.Is(unicode.Zs, r))
	}
	if strings.IndexFunc(s, func(r rune) bool { return !ok(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if ok(r) {
			b.WriteRune(r)
		} else {
			q := fmt.Sprintf("%+q", r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}
