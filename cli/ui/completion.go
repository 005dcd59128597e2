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
  local current="${COMP_WORDS[COMP_CWORD]}" words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
  [[ $current == -* ]] && words+=("$current")
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(PROGRAM "${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$current"))
}
complete -o bashdefault -o default -F _PROGRAM_complete PROGRAM
`,
	"zsh": `#compdef PROGRAM
_PROGRAM() {
  local -a found
  local current="${words[CURRENT]}"
  local -a before=("${(@)words[2,CURRENT-1]}")
  [[ $current == -* ]] && before+=("$current")
  found=("${(@f)$(PROGRAM "${before[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _PROGRAM PROGRAM
`,
	"fish": `function __PROGRAM_complete
  set -l before (commandline -opc)
  set -e before[1]
  set -l current (commandline -ct)
  string match -q -- '-*' $current; and set -a before $current
  PROGRAM $before --generate-bash-completion 2>/dev/null
end
complete -c PROGRAM -a '(__PROGRAM_complete)'
`,
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
		ArgsUsage: "bash|zsh|fish",
		Description: strings.ReplaceAll(`Examples:
  source <(PROGRAM completion bash)
  PROGRAM completion zsh > "${fpath[1]}/_PROGRAM"
  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish`, "PROGRAM", program),
		BashComplete: func(c *cli.Context) {
			_, _ = fmt.Fprintln(c.App.Writer, strings.Join(shells(), "\n"))
		},
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
