package command

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/ca/merklelog"
	"fx/cli/ui"
)

func caLog() *cli.Command {
	return &cli.Command{
		Name:        "log",
		Usage:       "the account of everything the CA did: show it, verify it, prove it to others",
		Subcommands: []*cli.Command{caLogShow(), caLogVerify(), caLogCheckpoint(), caLogExport(), caLogProve()},
	}
}

// readLog reads the log of a CA folder, or with file an exported one, which the
// federation's root must vouch for.
func readLog(k *ui.Console, dir, file, root string) (*issuer.Log, error) {
	if file == "" {
		ca, err := issuer.Open(dir, nil)
		if err != nil {
			return nil, err
		}
		return ca.Log()
	}
	data, err := readInput(k, file, merklelog.MaxExport)
	if err != nil {
		return nil, err
	}
	l, err := issuer.ParseLog(data, root)
	if err != nil {
		return nil, fmt.Errorf("cannot trust the log in %q: %w", file, err)
	}
	return l, nil
}

// readCheckpoint reads a checkpoint that somebody kept.
func readCheckpoint(k *ui.Console, file string) (*merklelog.Checkpoint, error) {
	data, err := readInput(k, file, merklelog.MaxCheckpoint)
	if err != nil {
		return nil, err
	}
	c, err := merklelog.ParseCheckpoint(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read checkpoint %q: %w", file, err)
	}
	return c, nil
}

// writeDocument writes a new file, or standard output for "-", which --json
// would want too.
func writeDocument(k *ui.Console, what, file string, data []byte) error {
	if file != "-" {
		return identity.CreateFile(file, data, 0o644)
	}
	if _, err := k.Out.Write(data); err != nil {
		return fmt.Errorf("cannot write the %s: %v", what, err)
	}
	return nil
}

// documentFlag is -o of commands whose result is a document.
func documentFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: usage, TakesFile: true}
}

// checkOutput refuses what cannot be: two documents on one standard output.
func checkOutput(c *cli.Context) error {
	if c.String("output") == "-" && ui.From(c).JSON {
		return ui.Usagef("--json and -o - both want standard output")
	}
	return nil
}
