// Package ui is the voice of both programs: messages, hints, tables, progress,
// JSON, exit codes and strict flags.
//
// Its rules, for every command of both programs:
//
//   - A result goes to standard output, everything else to standard error.
//   - With --json standard output carries exactly one JSON document: the
//     result, or {"error": …} when there is none.
//   - An error is `PROGRAM: error: cannot VERB THING: cause`; where something
//     can be done about it, `PROGRAM: hint: a command that can be typed` follows.
//   - Nothing asks a question unless standard input is a terminal; otherwise the
//     missing flag is named, exit code 2.
//   - Flags work before and after arguments, `--` ends them, `-` is standard
//     input or output. Whatever is unknown is an error that says what was meant.
//   - Text from outside is printed with control and bidirectional characters
//     escaped.
package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Result is what a command has to say. Its JSON encoding is the contract with
// scripts; Text is for people.
type Result interface {
	Text(w io.Writer) error
}

// Program is one command-line program.
type Program struct {
	Name        string
	Usage       string // one line
	Description string // examples
	Commands    []*cli.Command
	// Classify gives the exit code of errors that other packages return; OK
	// means that it has no opinion.
	Classify func(error) ExitCode
}

const (
	consoleKey    = "console"
	completionArg = "--generate-bash-completion"
)

// Main runs the program once and returns its exit code. args[0] is the name it
// was called by.
func (p Program) Main(args []string, stdin io.Reader, stdout, stderr io.Writer) ExitCode {
	console := newConsole(p.Name, stdin, stdout, stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	console.In = interruptible(ctx, stdin)

	app := p.app(console)
	words := args[min(1, len(args)):]
	if n := len(words); n > 0 && words[n-1] == completionArg {
		return codeOf(writeLines(stdout, complete(app, words[:n-1])), nil)
	}
	line, err := normalize(app, words)
	switch {
	case err != nil:
		console.JSON = wantsJSON(words)
	case line.help:
		err = writeHelp(stdout, app, line)
	default:
		err = app.RunContext(ctx, line.line())
	}
	if err == nil {
		return OK
	}
	code := codeOf(err, p.Classify)
	if ctx.Err() != nil && code == Failed {
		code = Interrupted
	}
	console.report(err, code)
	return code
}

// app builds the library's tree and mends what it does differently from the
// rules above.
func (p Program) app(console *Console) *cli.App {
	app := &cli.App{
		Name:                      p.Name,
		Usage:                     p.Usage,
		Description:               p.Description,
		Commands:                  append(p.Commands, versionCommand(p.Name), completionCommand(p.Name)),
		HideVersion:               true,
		HideHelp:                  true, // flags, help and completion are ours
		DisableSliceFlagSeparator: true,
		Reader:                    console.In,
		Writer:                    console.Out,
		ErrWriter:                 console.Err,
		ExitErrHandler:            func(*cli.Context, error) {},
		Metadata:                  map[string]any{consoleKey: console},
		Before:                    console.configure,
		Flags:                     commonFlags(),
	}
	mend(app.Commands)
	return app
}

// mend gives every command of the tree the common flags and strict behaviour.
func mend(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelp = true
		if len(c.Subcommands) > 0 {
			mend(c.Subcommands)
			continue
		}
		c.Flags = append(c.Flags, commonFlags()...)
		before := c.Before
		c.Before = func(ctx *cli.Context) error {
			if err := consoleOf(ctx).configure(ctx); err != nil {
				return err
			}
			if before != nil {
				return before(ctx)
			}
			return nil
		}
	}
}

// wantsJSON reports whether a command line that could not be understood asks
// for JSON.
func wantsJSON(words []string) bool {
	if i := slices.Index(words, "--"); i >= 0 {
		words = words[:i]
	}
	return slices.Contains(words, "--json") || slices.Contains(words, "--json=true")
}

func commonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print the result as one JSON document"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print results, warnings and errors, nothing else"},
	}
}

// Action makes a command's action from a function that returns its result. A
// command may return both: a result that was reached, and why it is not good.
func Action(run func(c *cli.Context) (Result, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		result, err := run(c)
		if isNil(result) {
			return err
		}
		console := consoleOf(c)
		console.answered = true
		if console.JSON {
			return errors.Join(err, console.writeJSON(result))
		}
		return errors.Join(err, result.Text(console.Out))
	}
}

func isNil(r Result) bool {
	if r == nil {
		return true
	}
	v := reflect.ValueOf(r)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// From returns the console of a running command.
func From(c *cli.Context) *Console { return consoleOf(c) }

func consoleOf(c *cli.Context) *Console {
	return c.App.Metadata[consoleKey].(*Console)
}

// Args checks the number of a command's arguments against their names, as in
// Args(c, "FILE") or Args(c, "FILE", "DIR"). A name in brackets is optional.
func Args(c *cli.Context, names ...string) ([]string, error) {
	args := c.Args().Slice()
	need := 0
	for _, n := range names {
		if !strings.HasPrefix(n, "[") {
			need++
		}
	}
	path := c.App.Name + " " + c.Command.FullName()
	if c.Command.HelpName != "" {
		path = c.Command.HelpName
	}
	switch {
	case len(args) < need:
		return nil, Hint(Usagef("%s needs %s", path, names[len(args)]), "%s --help", path)
	case len(args) > len(names):
		return nil, Hint(Usagef("%s has no use for the argument %q", path, args[len(names)]), "%s --help", path)
	}
	if i := slices.Index(args, ""); i >= 0 {
		return nil, Hint(Usagef("%s needs %s, which is empty", path, strings.Trim(names[i], "[]")), "%s --help", path)
	}
	for len(args) < len(names) {
		args = append(args, "")
	}
	return args, nil
}

// Require says which of the named flags was not given: exit code 2.
func Require(c *cli.Context, flags ...string) error {
	for _, f := range flags {
		if !c.IsSet(f) || c.String(f) == "" && reflect.TypeOf(c.Value(f)).Kind() == reflect.String {
			return Hint(Usagef("%s needs --%s", c.Command.HelpName, f), "%s --help", c.Command.HelpName)
		}
	}
	return nil
}

// failure is the JSON of an error.
type failure struct {
	Code    ExitCode       `json:"code"`
	Message string         `json:"message"`
	Hint    string         `json:"hint,omitempty"`
	Details map[string]any `json:"details,omitempty"`
}

// Detailed is an error that knows more than its message; Details is added to
// the JSON of the error under the keys that it names.
type Detailed interface {
	error
	Details() map[string]any
}

func (k *Console) report(err error, code ExitCode) {
	hint := hintOf(err)
	message := strings.ReplaceAll(err.Error(), context.Canceled.Error(), "interrupted")
	k.say(k.paint("error:"), message)
	if hint != "" {
		k.say("hint:", hint)
	}
	if k.JSON && !k.answered {
		f := failure{Code: code, Message: message, Hint: hint}
		if d, ok := errors.AsType[Detailed](err); ok {
			f.Details = d.Details()
		}
		_ = k.writeJSON(map[string]failure{"error": f}) // nobody is left to tell
	}
}

func (k *Console) writeJSON(v any) error {
	enc := json.NewEncoder(k.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot write the result: %v", err)
	}
	return nil
}
