package command

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
)

func caLogCheckpoint() *cli.Command {
	return &cli.Command{
		Name:  "checkpoint",
		Usage: "write the log's newest signed checkpoint, for somebody else to keep",
		Description: `Who keeps it can prove later that nothing of the log was taken back. Examples:
   fxctl ca log checkpoint -o 2026-06.checkpoint
   fxctl ca log checkpoint -o - | mail auditor@example.org`,
		Flags: []cli.Flag{documentFlag("write it to `FILE` (- is standard output)"), caFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if err := ui.Require(c, "output"); err != nil {
				return nil, err
			}
			if err := checkOutput(c); err != nil {
				return nil, err
			}
			return runCALogDocument(ui.From(c), c.String("ca"), "checkpoint", c.String("output"))
		}),
	}
}

func caLogExport() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write the whole log as one file, for an auditor",
		Description: `The file holds every record with its certificate, and nothing secret. Examples:
   fxctl ca log export -o federation.log
   fxctl ca log verify --log federation.log --root-fingerprint "$ROOT"`,
		Flags: []cli.Flag{documentFlag("write it to `FILE` (- is standard output)"), caFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if err := ui.Require(c, "output"); err != nil {
				return nil, err
			}
			if err := checkOutput(c); err != nil {
				return nil, err
			}
			return runCALogDocument(ui.From(c), c.String("ca"), "log", c.String("output"))
		}),
	}
}

type caLogDocumentResult struct {
	File string `json:"file"`
	Log  string `json:"log"` // its name in checkpoints
	Size int64  `json:"size"`

	what string
}

// runCALogDocument writes the checkpoint or the log itself, which is verified
// before: nobody should be given what they cannot trust.
func runCALogDocument(k *ui.Console, dir, what, file string) (*caLogDocumentResult, error) {
	l, err := readLog(k, dir, "", "")
	if err != nil {
		return nil, err
	}
	if err := l.Audit(); err != nil {
		return nil, fmt.Errorf("cannot trust the log: %w", err)
	}
	data := l.Checkpoint().Note
	if what == "log" {
		data = l.Export()
	}
	if err := writeDocument(k, what, file, data); err != nil || file == "-" {
		return nil, err
	}
	return &caLogDocumentResult{File: file, Log: l.Checkpoint().Origin, Size: l.Checkpoint().Size, what: what}, nil
}

// Text is the result for people.
func (r *caLogDocumentResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s of %d records: %s\n", r.what, r.Size, r.File)
	return err
}
