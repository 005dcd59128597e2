package command

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caCRL() *cli.Command {
	return &cli.Command{
		Name:  "crl",
		Usage: "make new revocation lists of network and signing CA",
		Description: `A site refuses everybody when its list is past its time: make new lists when half
of the old ones' time is over, and send update.pem to everybody. Examples:
   fxctl ca crl
   fxctl ca crl --days 30 --passphrase-file /dev/fd/3 3<passphrase`,
		Flags: []cli.Flag{
			crlDaysFlag(),
			&cli.BoolFlag{Name: "root", Usage: "also of the root, which has none before it revokes a CA; from then on always"},
			caFlag(), passphraseFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			return runCACRL(c.Context, caCRLOptions{
				console: ui.From(c), dir: c.String("ca"), lists: issuer.ListOptions{Days: c.Int("days"), Root: c.Bool("root")},
				passphraseFile: c.String("passphrase-file"),
			})
		}),
	}
}

func crlDaysFlag() cli.Flag {
	return &cli.IntFlag{Name: "days", Usage: "the new lists are good for so many days", Value: issuer.DefaultCRLDays}
}

func checkCRLDays(days int) error {
	if days < 1 || days > issuer.MostCRLDays {
		return ui.Usagef("--days is %d; 1 to %d are allowed", days, issuer.MostCRLDays)
	}
	return nil
}

type caCRLOptions struct {
	console        *ui.Console
	dir            string
	lists          issuer.ListOptions
	passphraseFile string
}

// caCRLEntry is one revocation list.
type caCRLEntry struct {
	Issuer     string    `json:"issuer"`
	Number     int64     `json:"number"`
	Entries    int       `json:"entries"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
	RenewBy    time.Time `json:"renew_by"` // half way: after it, ca status asks for a new one
	DER        string    `json:"der"`
}

type caCRLResult struct {
	Lists  []caCRLEntry `json:"lists"`
	PEM    string       `json:"pem"`
	Update string       `json:"update"`
}

func runCACRL(ctx context.Context, o caCRLOptions) (*caCRLResult, error) {
	if err := checkCRLDays(o.lists.Days); err != nil {
		return nil, err
	}
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	if err := unlockLists(ctx, o.console, ca, o.passphraseFile, o.lists); err != nil {
		return nil, err
	}
	r := &caCRLResult{PEM: filepath.Join(o.dir, identity.CRLFile)}
	r.Lists, r.Update, err = issueLists(ctx, ca, o.dir, o.lists)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// unlockLists opens the keys that new revocation lists need.
func unlockLists(ctx context.Context, k *ui.Console, ca *issuer.CA, file string, o issuer.ListOptions, revoking ...string) error {
	locked, err := ca.Locked(issuer.Network)
	if err != nil {
		return err
	}
	var p []byte
	if locked {
		if p, err = passphrase(ctx, k, file); err != nil {
			return err
		}
	}
	return ca.UnlockLists(p, o, revoking...)
}

func issueLists(ctx context.Context, ca *issuer.CA, dir string, o issuer.ListOptions) ([]caCRLEntry, string, error) {
	lists, err := ca.IssueCRLs(ctx, o)
	if err != nil {
		return nil, "", err
	}
	entries := []caCRLEntry{}
	for _, l := range lists {
		entries = append(entries, caCRLEntry{
			Issuer: l.ShortName(), Number: l.Record.Number, Entries: l.Record.Entries, DER: l.File,
			ThisUpdate: l.CRL.ThisUpdate, NextUpdate: l.CRL.NextUpdate, RenewBy: renewBy(l.CRL.ThisUpdate, l.CRL.NextUpdate),
		})
	}
	return entries, filepath.Join(dir, issuer.UpdateFile), nil
}

// renewBy is when half of a list's time is over.
func renewBy(from, to time.Time) time.Time { return from.Add(to.Sub(from) / 2).Truncate(time.Second) }

// Text is the result for people.
func (r *caCRLResult) Text(w io.Writer) error { return listsText(w, r.Lists, r.Update) }

func listsText(w io.Writer, lists []caCRLEntry, update string) error {
	for _, l := range lists {
		if _, err := fmt.Fprintf(w, "revocation list %d of the %s: %d certificates, good until %s, renew by %s: %s\n",
			l.Number, l.Issuer, l.Entries, l.NextUpdate.Format(time.DateOnly), l.RenewBy.Format(time.DateOnly), l.DER); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "for every participant, who imports it with fxctl cert import: %s\n", update)
	return err
}
