package command

import (
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
)

func caLogVerify() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "prove that nothing in the CA's log was changed, moved or taken away",
		Description: `Whatever was removed from the end can only be noticed with a checkpoint that
was kept elsewhere. Examples:
   fxctl ca log verify
   fxctl ca log verify --since 2026-06.checkpoint
   fxctl ca log verify --log federation.log --root-fingerprint "$ROOT" --since 2026-06.checkpoint`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "since", Usage: "`CHECKPOINT` that was kept: prove that the log has only grown since", TakesFile: true},
			&cli.StringFlag{Name: "log", Usage: "verify the exported log in `FILE` instead of the CA's", TakesFile: true},
			&cli.StringFlag{Name: "root-fingerprint", Usage: "SHA-256 of the federation's root, for --log"},
			caFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			o := caLogVerifyOptions{
				console: ui.From(c), dir: c.String("ca"), log: c.String("log"), root: c.String("root-fingerprint"), since: c.String("since"),
			}
			switch {
			case o.log != "" && c.IsSet("ca"):
				return nil, ui.Usagef("--log and --ca name two logs; give one")
			case o.log != "" && o.root == "":
				return nil, ui.Hint(ui.Usagef("--log needs --root-fingerprint: nothing else says whose log it is"),
					"the custodian says it; fxctl cert inspect cert/cert_chain.crt shows it")
			case o.log == "" && o.root != "":
				return nil, ui.Usagef("--root-fingerprint is for --log; the CA's folder holds its own root")
			}
			return runCALogVerify(o)
		}),
	}
}

type caLogVerifyOptions struct {
	console               *ui.Console
	dir, log, root, since string
}

type caLogVerifyResult struct {
	Log        string         `json:"log"` // its name in checkpoints
	Size       int64          `json:"size"`
	Root       string         `json:"root"`  // of the tree, base64, as in the checkpoint
	Kinds      map[string]int `json:"kinds"` // how many records there are of each
	Last       time.Time      `json:"last"`  // when the newest record was made
	Since      int64          `json:"since,omitempty"`
	Valid      bool           `json:"valid"`
	Checkpoint string         `json:"checkpoint"` // the newest, for keeping
}

func runCALogVerify(o caLogVerifyOptions) (*caLogVerifyResult, error) {
	l, err := readLog(o.console, o.dir, o.log, o.root)
	if err != nil {
		return nil, err
	}
	if err := l.Audit(); err != nil {
		return nil, fmt.Errorf("cannot trust the log: %w", err)
	}
	c := l.Checkpoint()
	r := &caLogVerifyResult{
		Log: c.Origin, Size: c.Size, Root: base64.StdEncoding.EncodeToString(c.Root[:]), Kinds: map[string]int{},
		Last: l.Records[len(l.Records)-1].IssuedAt, Valid: true, Checkpoint: string(c.Note),
	}
	for _, x := range l.Records {
		r.Kinds[x.Kind]++
	}
	if o.since == "" {
		return r, nil
	}
	old, err := readCheckpoint(o.console, o.since)
	if err != nil {
		return nil, err
	}
	if err := l.Since(old); err != nil {
		return nil, fmt.Errorf("the log does not continue the checkpoint %q: %w", o.since, err)
	}
	r.Since = old.Size
	return r, nil
}

// Text is the result for people.
func (r *caLogVerifyResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "log %s: %d records, all as they were recorded; the newest is of %s\n", r.Log, r.Size, r.Last.Format(time.RFC3339))
	if err == nil && r.Since > 0 {
		_, err = fmt.Fprintf(w, "it continues the checkpoint of %d records\n", r.Since)
	}
	return err
}
