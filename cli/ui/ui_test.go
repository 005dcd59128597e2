package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

type echo struct {
	Words []string `json:"words"`
	To    string   `json:"to"`
}

func (e *echo) Text(w io.Writer) error {
	_, err := fmt.Fprintln(w, strings.Join(e.Words, " "), e.To)
	return err
}

var errTeapot = errors.New("teapot")

func program() Program {
	return Program{
		Name: "prog", Usage: "say things",
		Classify: func(err error) ExitCode {
			if errors.Is(err, errTeapot) {
				return Untrusted
			}
			return OK
		},
		Commands: []*cli.Command{{
			Name: "say", Usage: "group",
			Subcommands: []*cli.Command{{
				Name: "words", Usage: "say words",
				Description: `Prose. Examples:
   prog say words hello`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Aliases: []string{"t"}, Usage: "say them to `WHOM`"},
					&cli.StringSliceFlag{Name: "and", Usage: "say this word too"},
					&cli.IntFlag{Name: "times", Usage: "say them so often (default: once)"},
					&cli.DurationFlag{Name: "within", Value: time.Minute, Usage: "give up after `TIME`"},
				},
				Action: Action(func(c *cli.Context) (Result, error) {
					if c.String("to") == "teapot" {
						return nil, Hint(fmt.Errorf("cannot say: %w", errTeapot), "try a cup")
					}
					if c.String("to") == "nobody" {
						return &echo{To: "nobody"}, Code(Incomplete, errors.New("nobody heard"))
					}
					if n := c.Int("times"); n > 0 {
						return &echo{Words: []string{fmt.Sprintf("%03d", n)}, To: fmt.Sprint(n)}, nil
					}
					return &echo{Words: append(c.Args().Slice(), c.StringSlice("and")...), To: c.String("to")}, nil
				}),
			}},
		}},
	}
}

func TestCommandLines(t *testing.T) {
	tests := []struct {
		line   string
		code   ExitCode
		stdout string
		stderr string
	}{
		{line: "say words a b --to x", stdout: "a b x\n"},
		{line: "say words --to x a b", stdout: "a b x\n"},
		{line: "say words a --to=x b", stdout: "a b x\n"},
		{line: "say words a -t x -- --to b", stdout: "a --to b x\n"},
		{line: "say words a --and b,c", stdout: "a b,c \n"},
		{line: "say words -", stdout: "- \n"},
		{line: "say words a --to=--json", stdout: "a --json\n"},
		{line: "say words a --to --json", code: Usage, stdout: `"error"`, stderr: `--to of "prog say words" needs a value, and "--json" is a flag` + "\nprog: hint: --to=--json if"},
		{line: "say words a --to=", code: Usage, stderr: `--to of "prog say words" needs a value`},
		{line: "say words a --to x --to x", stdout: "a x\n"},
		{line: "say words a --to x -t y", code: Usage, stderr: `--to of "prog say words" takes one value; there are "x" and "y"`},
		{line: "say words a --and b --and c", stdout: "a b c \n"},
		{line: "say words --times 010", stdout: "010 10\n"},
		{line: "say words --times x", code: Usage, stderr: `--times is "x"; a whole number was expected`},
		{line: "say words --times 0x10", code: Usage, stderr: "a whole number"},
		{line: "say words --within 5", code: Usage, stderr: `--within is "5"; a time such as 500ms, 30s or 1h30m was expected`},
		{line: "say words ---to x", code: Usage, stderr: `no flag "---to"`},
		{line: "--version", code: Usage, stderr: `"prog" has no flag "--version"; did you mean the command "version"?`},
		{line: "say --jsn", code: Usage, stderr: `did you mean "--json"?`},
		{line: "say --json", code: Usage, stdout: `"message": "\"prog say\" needs a command: words"`, stderr: "needs a command"},
		{line: "nothing --json", code: Usage, stdout: `"code": 2`, stderr: `"nothing" is no command`},
		{line: "say words --json --ot", code: Usage, stdout: `"code": 2`, stderr: "no flag"},
		{line: "say words -- --json --ot", stdout: "--json --ot \n"},
		{line: "help say words", stdout: "prog say words [FLAGS]"},
		{line: "say help", stdout: "prog say COMMAND [FLAGS] [ARGUMENTS]"},
		{line: "say", code: Usage, stderr: `prog: error: "prog say" needs a command: words`},
		{line: "say word", code: Usage, stderr: `"word" is no command of "prog say"; did you mean "words"?`},
		{line: "say words --ot x", code: Usage, stderr: `"prog say words" has no flag "--ot"; did you mean "--to"?`},
		{line: "say words --to", code: Usage, stderr: `--to of "prog say words" needs a value`},
		{line: "--to x say words", code: Usage, stderr: `the flag "--to" stands before the command`},
		{line: "say words --to teapot", code: Untrusted, stderr: "prog: error: cannot say: teapot\nprog: hint: try a cup\n"},
		{line: "say words --to nobody", code: Incomplete, stdout: " nobody\n", stderr: "nobody heard"},
		{line: "say words --to nobody --json", code: Incomplete, stdout: `"to": "nobody"`, stderr: "nobody heard"},
		{line: "say words --to teapot --json", code: Untrusted, stdout: `"hint": "try a cup"`, stderr: "teapot"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			var out, errOut bytes.Buffer
			code := program().Main(append([]string{"prog"}, strings.Fields(tt.line)...), strings.NewReader(""), &out, &errOut)
			if code != tt.code {
				t.Errorf("exit code %d, want %d (%s)", code, tt.code, errOut.String())
			}
			if tt.stdout != "" && !strings.Contains(out.String(), tt.stdout) {
				t.Errorf("stdout %q, want %q", out.String(), tt.stdout)
			}
			if tt.stdout == "" && out.Len() > 0 {
				t.Errorf("stdout %q, want none", out.String())
			}
			if !strings.Contains(errOut.String(), tt.stderr) {
				t.Errorf("stderr %q, want %q", errOut.String(), tt.stderr)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := program().Main([]string{"prog", "say", "words", "--help"}, strings.NewReader(""), &out, &errOut); code != OK {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	want := `prog say words - say words

USAGE:
   prog say words [FLAGS]

DESCRIPTION:
   Prose.

EXAMPLES:
   prog say words hello

FLAGS:
   -t, --to WHOM  say them to WHOM
   --and AND      say this word too
   --times N      say them so often (default: once)
   --within TIME  give up after TIME (default: 1m0s)
   --json         print the result as one JSON document
   -q, --quiet    print results, warnings and errors, nothing else
   -h, --help     print this help
`
	if got := out.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What TAB offers; nothing means files. Whatever stands on the line, no command
// runs: the words would be said.
func TestCompletion(t *testing.T) {
	tests := map[string]string{
		"":                       "say version completion",
		"s":                      "say version completion",
		"say ":                   "words",
		"-":                      "--help --json --quiet",
		"say words -":            "--help --to --and --times --within --json --quiet",
		"say words ":             "",
		"say words --to ":        "",
		"say words --to -":       "",
		"say words -- ":          "",
		"say words -- -":         "",
		"say words --nonsense x": "",
		"nothing ":               "",
		"completion ":            "bash fish zsh",
		"--json completion ba":   "bash fish zsh",
	}
	for line, want := range tests {
		var out, errOut bytes.Buffer
		args := append(append([]string{"prog"}, strings.Split(line, " ")...), completionArg)
		code := program().Main(args, strings.NewReader(""), &out, &errOut)
		if got := strings.Join(strings.Fields(out.String()), " "); code != OK || got != want || errOut.Len() > 0 {
			t.Errorf("%q: %q, exit code %d, stderr %q, want %q", line, got, code, errOut.String(), want)
		}
	}
}

func TestInterruptEndsARead(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	never, w := io.Pipe()
	defer func() { _ = w.Close() }()
	stop()
	if n, err := interruptible(ctx, never).Read(make([]byte, 8)); n != 0 || err == nil {
		t.Errorf("got %d, %v, want an error", n, err)
	}
	got, err := io.ReadAll(interruptible(t.Context(), strings.NewReader("as before")))
	if err != nil || string(got) != "as before" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCleanEscapesWhatDeceives(t *testing.T) {
	tests := map[string]string{
		"plain text, ünïcode\n": "plain text, ünïcode\n",
		"\x1b[31mred":           `\x1b[31mred`,
		"abc\u202edcb":          `abc\u202edcb`,
		"a\u200bb":              `a\u200bb`,
		"bell\a":                `bell\a`,
	}
	for in, want := range tests {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"create", "verify", "inspect"}
	for word, want := range map[string]string{"crate": "create", "vreify": "verify", "insp": "inspect", "zebra": ""} {
		if got := Nearest(word, candidates); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestQuestionsNeedATerminal(t *testing.T) {
	k := newConsole("prog", strings.NewReader("yes\n"), io.Discard, io.Discard)
	for name, ask := range map[string]func() error{
		"Ask":    func() error { _, err := k.Ask("Sure?", "--yes"); return err },
		"Secret": func() error { _, err := k.Secret("Passphrase:", "--passphrase-file"); return err },
	} {
		err := ask()
		if codeOf(err, nil) != Usage || !strings.Contains(err.Error(), "--") {
			t.Errorf("%s: error %v, want a usage error that names the flag", name, err)
		}
	}
}

func TestProgressSpeaksInLinesWithoutATerminal(t *testing.T) {
	var errOut bytes.Buffer
	k := newConsole("prog", strings.NewReader(""), io.Discard, &errOut)
	clock := time.Unix(0, 0)
	p := k.progress("packing", 200, func() time.Time { return clock })
	p.Add(50)
	if errOut.Len() > 0 {
		t.Errorf("progress at once: %q", errOut.String())
	}
	clock = clock.Add(11 * time.Second)
	p.Add(50)
	p.Close()
	if got, want := errOut.String(), "prog: packing:  50 %\n"; got != want {
		t.Errorf("progress %q, want %q", got, want)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}
