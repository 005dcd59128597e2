package ui

import (
	"bufio"
	"context"
	"errors"
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
	f, ok := v.(descriptor)
	return ok && term.IsTerminal(int(f.Fd()))
}

// interruptible makes a read of in end when ctx does: a read that waits for a
// person or a pipe would otherwise outlive Ctrl-C.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	r := &reader{ctx, in}
	if f, ok := in.(descriptor); ok {
		return &terminalReader{r, f}
	}
	return r
}

type descriptor interface{ Fd() uintptr }

type reader struct {
	ctx context.Context
	in  io.Reader
}

// terminalReader still says which file it reads, so that it can be asked
// whether that is a terminal.
type terminalReader struct {
	*reader
	descriptor
}

func (r *reader) Read(p []byte) (int, error) {
	buf := make([]byte, len(p)) // not p: an abandoned read may still fill it
	var n int
	var err error
	done := make(chan struct{})
	go func() {
		n, err = r.in.Read(buf)
		close(done)
	}()
	select {
	case <-done:
		return copy(p, buf[:n]), err
	case <-r.ctx.Done():
		return 0, errors.New("interrupted")
	}
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
	in, ok := k.In.(descriptor)
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
