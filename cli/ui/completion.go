package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// completionScripts hold, for each shell, a script in which PROGRAM stands for
// the program's name. All of them ask the program itself what can follow.
var completionScripts = map[string]string{
	"bash": `_PROGRAM_complete() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "${COMP_WORDS[@]:1:COMP_CWORD}" --generate-bash-completion 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o bashdefault -o default -F _PROGRAM_complete PROGRAM
`,
	"zsh": `#compdef PROGRAM
_PROGRAM() {
  local -a found
  found=("${(@f)$("${words[1]}" "${(@)words[2,CURRENT]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [[ "${funcstack[1]}" == _PROGRAM ]]; then _PROGRAM "$@"; else compdef _PROGRAM PROGRAM; fi
`,
	"fish": `function __PROGRAM_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l found ($words "$current" --generate-bash-completion 2>/dev/null)
  if set -q found[1]
    printf '%s\n' $found
  else
    __fish_complete_path "$current"
  end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
`,
}

// complete lists what the last of words, which may be empty, can become. Nothing
// means: a file. No command runs.
func complete(app *cli.App, words []string) []string {
	p := newParser(app)
	if len(words) == 0 {
		words = []string{""}
	}
	current := words[len(words)-1]
	for rest := words[:len(words)-1]; len(rest) > 0; {
		var err error
		if rest, err = p.next(rest); err != nil {
			return nil // a flag without its value, or a line that is wrong
		}
	}
	switch {
	case p.ended:
		return nil
	case strings.HasPrefix(current, "-"):
		found := []string{"--help"}
		for _, f := range p.known() {
			found = append(found, "--"+f.Names()[0])
		}
		return found
	case p.leaf == nil:
		return visible(p.commands)
	case strings.Contains(p.leaf.ArgsUsage, "|"): // a choice of words
		return strings.Split(p.leaf.ArgsUsage, "|")
	}
	return nil
}

func writeLines(w io.Writer, lines []string) error {
	for _, l := range lines {
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}

type completionResult struct {
	Shell  string `json:"shell"`
	Script string `json:"script"`
}

func (r *completionResult) Text(w io.Writer) error {
	_, err := io.WriteString(w, r.Script)
	return err
}

func completionCommand(program string) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for bash, zsh or fish",
		ArgsUsage: strings.Join(shells(), "|"),
		Description: strings.ReplaceAll(`Examples:
  source <(PROGRAM completion bash)
  PROGRAM completion zsh > "${fpath[1]}/_PROGRAM"
  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish`, "PROGRAM", program),
		Action: Action(func(c *cli.Context) (Result, error) {
			args, err := Args(c, "SHELL")
			if err != nil {
				return nil, err
			}
			script, ok := completionScripts[args[0]]
			if !ok {
				return nil, Usagef("no completion for the shell %q; there is %s", args[0], strings.Join(shells(), ", "))
			}
			return &completionResult{Shell: args[0], Script: strings.ReplaceAll(script, "PROGRAM", program)}, nil
		}),
	}
}

func shells() []string {
	var names []string
	for n := range completionScripts {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
