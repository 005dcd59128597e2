// Command fxrun runs one participant of a federation, the aggregator or a
// collaborator, from an approved bundle.
package main

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/sandbox"
	"fx/runtime/wasm"
)

const description = `Examples:
   fxrun ping --bundle ward.fxb --name hospital-a
   fxrun aggregator --bundle ward.fxb
   fxrun collaborator --bundle ward.fxb --name hospital-a --data /srv/ward
   fxrun doctor
   fxrun init ward
   fxrun rehearse --bundle ward.fxb --name hospital-a --data /srv/ward
   fxrun evaluate save/final.safetensors --bundle ward.fxb --data /srv/held-out
   fxrun egress show
   fxrun journal show STATE`

func main() {
	sandbox.Child() // does not return where this process is the inside of a box
	wasm.Child()
	os.Exit(int(run(os.Args, os.Stdin, os.Stdout, os.Stderr)))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) ui.ExitCode {
	return ui.Program{
		Name:        "fxrun",
		Usage:       "one participant of a federation, from an approved bundle",
		Description: description,
		Commands: []*cli.Command{
			aggregatorCommand(), collaboratorCommand(), pingCommand(), doctorCommand(), initCommand(),
			rehearseCommand(), evaluateCommand(), egressCommand(), journalCommand(),
		},
		Classify: classify,
	}.Main(args, stdin, stdout, stderr)
}
