// Command fxrun runs one participant of a federation, the aggregator or a
// collaborator, from an approved bundle.
package main

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
)

const description = `Examples:
   fxrun ping --bundle ward.fxb --name hospital-a
   fxrun aggregator --bundle ward.fxb
   fxrun collaborator --bundle ward.fxb --name hospital-a --data /srv/ward
   fxrun rehearse --bundle ward.fxb --name hospital-a --data /srv/ward
   fxrun evaluate save/final.safetensors --bundle ward.fxb --data /srv/held-out`

func main() {
	os.Exit(int(run(os.Args, os.Stdin, os.Stdout, os.Stderr)))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) ui.ExitCode {
	return ui.Program{
		Name:        "fxrun",
		Usage:       "one participant of a federation, from an approved bundle",
		Description: description,
		Commands:    []*cli.Command{aggregatorCommand(), collaboratorCommand(), pingCommand(), rehearseCommand(), evaluateCommand()},
		Classify:    classify,
	}.Main(args, stdin, stdout, stderr)
}
