package command

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caImport() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "restore a CA from a backup",
		ArgsUsage: "BACKUP",
		Description: `Give the newest checkpoint that anybody kept: a backup that is older than it is
refused. Examples:
   fxctl ca import ca-2026-06-30.age --since 2026-06.checkpoint
   fxctl ca import ca-2026-06-30.age --ca /secure/ca`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "since", Usage: "`CHECKPOINT` that was kept: refuse a backup that is older", TakesFile: true},
			caFlag(), backupPassphraseFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "BACKUP")
			if err != nil {
				return nil, err
			}
			return runCAImport(c.Context, ui.From(c), caImportOptions{
				backup: args[0], dir: c.String("ca"), since: c.String("since"), passphraseFile: c.String("passphrase-file"),
			})
		}),
	}
}

type caImportOptions struct {
	backup, dir, since, passphraseFile string
}

type caImportResult struct {
	CA              string `json:"ca"`
	Federation      string `json:"federation"`
	RootFingerprint string `json:"root_fingerprint"`
	Size            int64  `json:"size"`            // records in the log
	Since           int64  `json:"since,omitempty"` // of the checkpoint that it continues
}

func runCAImport(ctx context.Context, k *ui.Console, o caImportOptions) (*caImportResult, error) {
	data, err := readInput(k, o.backup, issuer.MaxBackup)
	if err != nil {
		return nil, err
	}
	options, r := issuer.ImportOptions{Dir: o.dir}, &caImportResult{CA: o.dir}
	if o.since != "" {
		if options.Since, err = readCheckpoint(k, o.since); err != nil {
			return nil, err
		}
		r.Since = options.Since.Size
	}
	if options.Passphrase, err = backupPassphrase(ctx, k, o.passphraseFile, false); err != nil {
		return nil, err
	}
	ca, l, err := issuer.Import(ctx, data, options)
	if err != nil {
		return nil, fmt.Errorf("cannot restore %q: %w", o.backup, err)
	}
	if o.since == "" {
		k.Warnf("nothing says that this is the newest backup: whatever was signed or revoked after it is unknown to this CA; --since compares with a checkpoint that was kept")
	}
	r.Federation, r.RootFingerprint, r.Size = ca.State.Federation, identity.Fingerprint(ca.Certificate(issuer.Root).Raw), l.Checkpoint().Size
	return r, nil
}

// Text is the result for people.
func (r *caImportResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "restored the CA of %s in %s, with %d records in its log\nroot fingerprint: %s\n",
		r.Federation, r.CA, r.Size, identity.Grouped(r.RootFingerprint))
	return err
}
