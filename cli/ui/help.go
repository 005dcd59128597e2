package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// writeHelp prints the help of the program, of a group, or of a command.
func writeHelp(w io.Writer, app *cli.App, p *parser) error {
	var b strings.Builder
	what, description := app.Usage, ""
	if p.about != nil {
		what, description = p.about.Usage, p.about.Description
	}
	fmt.Fprintf(&b, "%s - %s\n\nUSAGE:\n   %s", p.name(), what, p.name())
	if p.leaf == nil {
		b.WriteString(" COMMAND [FLAGS] [ARGUMENTS]\n\nCOMMANDS:\n")
		var rows [][]string
		for _, c := range p.commands {
			rows = append(rows, []string{"   " + c.Name, c.Usage})
		}
		_ = Table(&b, nil, rows) // a strings.Builder cannot fail
	} else {
		b.WriteString(strings.TrimRight(" [FLAGS] "+p.leaf.ArgsUsage, " ") + "\n")
	}
	prose, examples, _ := strings.Cut(description, "Examples:\n")
	section(&b, "DESCRIPTION", prose)
	section(&b, "EXAMPLES", examples)
	b.WriteString("\nFLAGS:\n")
	var rows [][]string
	for _, f := range p.known() {
		rows = append(rows, []string{"   " + flagNames(f), flagUsage(f)})
	}
	_ = Table(&b, nil, append(rows, []string{"   -h, --help", "print this help"}))
	if p.about == nil {
		fmt.Fprintf(&b, "\n%s\n\nEXIT CODES:\n", app.Description)
		_ = WriteExitCodes(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// section writes an indented paragraph under its title.
func section(b *strings.Builder, title, text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight("   "+strings.TrimSpace(line), " ") + "\n")
	}
}

// flagNames is how a flag is typed: "-o, --output FILE".
func flagNames(f cli.Flag) string {
	names := slices.Clone(f.Names())
	slices.Reverse(names) // short ones first
	for i, n := range names {
		names[i] = strings.Repeat("-", min(2, len(n))) + n
	}
	text := strings.Join(names, ", ")
	switch f.(type) {
	case *cli.BoolFlag:
		return text
	case *cli.IntFlag:
		return text + " N"
	}
	_, rest, _ := strings.Cut(f.(cli.DocGenerationFlag).GetUsage(), "`")
	if value, _, quoted := strings.Cut(rest, "`"); quoted {
		return text + " " + value
	}
	// Without a name for the value in the usage, the flag's last word is one:
	// --cert-dir DIR.
	name := f.Names()[0]
	return text + " " + strings.ToUpper(name[strings.LastIndexByte(name, '-')+1:])
}

func flagUsage(f cli.Flag) string {
	d := f.(cli.DocGenerationFlag)
	text := strings.ReplaceAll(d.GetUsage(), "`", "")
	value := d.GetValue()
	if !strings.Contains(text, "(default") && !slices.Contains([]string{"", "0", "0s", "[]", "false"}, value) {
		text += fmt.Sprintf(" (default: %s)", value)
	}
	if env := d.GetEnvVars(); len(env) > 0 {
		text += " [$" + strings.Join(env, ", $") + "]"
	}
	return text
}
