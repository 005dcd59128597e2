// Package command is fxctl's command tree: one file per command, named after
// its command line.
package command

import (
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/cli/ui"
	"fx/runtime/tensor"
	"fx/schema"
)

const description = `Examples, in the order in which a federation needs them:
   fxctl ca init --name fed.example.org
   fxctl cert request --role collaborator --name hospital-a
   fxctl ca sign cert/client/col_hospital-a.csr --role collaborator
   fxctl cert import hospital-a.answer
   fxctl workspace create ward --template digits
   fxctl plan validate ward
   fxctl bundle create ward -o ward.fxb --as alice
   fxctl bundle inspect ward.fxb
   fxctl bundle approve ward.fxb --as bob
   fxctl receipt verify receipt.json --bundle ward.fxb`

// Main runs fxctl once and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) ui.ExitCode {
	return ui.Program{
		Name:        "fxctl",
		Usage:       "identities, plans and bundles of a federation; offline",
		Description: description,
		Commands:    groups(),
		Classify:    classify,
	}.Main(args, stdin, stdout, stderr)
}

// groups lists the command groups in the order in which a federation needs them.
func groups() []*cli.Command {
	return []*cli.Command{
		caGroup(),
		certGroup(),
		workspaceGroup(),
		planGroup(),
		bundleGroup(),
		modelGroup(),
		receiptGroup(),
	}
}

// classify gives the exit code of what other packages return.
func classify(err error) ui.ExitCode {
	switch {
	case errors.Is(err, identity.ErrUntrusted):
		return ui.Untrusted
	case errors.Is(err, schema.ErrInvalid), errors.Is(err, identity.ErrInvalid), errors.Is(err, tensor.ErrInvalid):
		return ui.Invalid
	}
	return ui.OK
}
