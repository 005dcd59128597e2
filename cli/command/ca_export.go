package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

const backupVariable = "FX_BACKUP_PASSPHRASE"

func backupPassphraseFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "passphrase-file", TakesFile: true,
		Usage: "file whose first line is the passphrase of the backup (/dev/fd/N works); else " + backupVariable + " or a prompt",
	}
}

func caExport() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "back up the whole CA, encrypted, in one file",
		Description: `The passphrase is the backup's own: keep it apart from the file, and from the
passphrase of the CA keys. The file is in the format of age. Examples:
   fxctl ca export -o ca-2026-06-30.age
   fxctl ca export -o ca-2026-06-30.age --passphrase-file /dev/fd/3 3<passphrase`,
		Flags: []cli.Flag{documentFlag("write the backup to `FILE` (- is standard output)"), caFlag(), backupPassphraseFlag()},
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
			return runCAExport(c.Context, ui.From(c), c.String("ca"), c.String("output"), c.String("passphrase-file"))
		}),
	}
}

type caExportResult struct {
	Backup     string `json:"backup"` // path
	Federation string `json:"federation"`
	Size       int64  `json:"size"` // records in the log
	Checkpoint string `json:"checkpoint"`
}

func runCAExport(ctx context.Context, k *ui.Console, dir, file, passphraseFile string) (*caExportResult, error) {
	ca, err := issuer.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	l, err := ca.Log()
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); err == nil && file != "-" {
		return nil, ui.Hint(fmt.Errorf("cannot write the backup: %q exists already", file), "give -o another name")
	}
	p, err := backupPassphrase(ctx, k, passphraseFile, true)
	if err != nil {
		return nil, err
	}
	data, err := ca.Export(p)
	if err != nil {
		return nil, err
	}
	if file == "-" {
		return nil, writeDocument(k, "backup", file, data)
	}
	if err := identity.CreateFile(file, data, 0o600); err != nil {
		return nil, err
	}
	return &caExportResult{Backup: file, Federation: ca.State.Federation, Size: l.Checkpoint().Size, Checkpoint: string(l.Checkpoint().Note)}, nil
}

// backupPassphrase obtains the passphrase of a backup; at a terminal that of a
// new one is typed twice.
func backupPassphrase(ctx context.Context, k *ui.Console, file string, fresh bool) ([]byte, error) {
	var p []byte
	var err error
	given := true
	if v, ok := os.LookupEnv(backupVariable); file == "" && ok {
		p = []byte(v)
	} else if file != "" {
		p, _, err = givenPassphrase(file)
	} else {
		given = false
		p, err = ask(ctx, k, k.Secret, "Passphrase of the backup:", passphraseOption)
	}
	if err != nil {
		return nil, err
	}
	if fresh && !given {
		again, err := ask(ctx, k, k.Secret, "The same passphrase again:", passphraseOption)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(p, again) {
			return nil, errors.New("cannot use the passphrase: the two differ")
		}
	}
	if err := issuer.CheckPassphrase(p); err != nil && fresh {
		return nil, ui.Usagef("cannot use the passphrase: %v", err)
	}
	return p, nil
}

// Text is the result for people.
func (r *caExportResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "backed up the CA of %s (%d records) to %s\n", r.Federation, r.Size, r.Backup)
	return err
}
