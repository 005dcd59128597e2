package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caRevoke() *cli.Command {
	return &cli.Command{
		Name:      "revoke",
		Usage:     "revoke certificates and make new revocation lists",
		ArgsUsage: "NAME|SERIAL",
		Description: `A name, with its role, means all certificates that it has now; a serial number
means one ("ca list" shows them). It cannot be undone, and takes effect where the
new list arrives: send the file update.pem of the CA folder to everybody. Examples:
   fxctl ca revoke hospital-a --role collaborator --reason keyCompromise
   fxctl ca revoke 6543a1…54d9 --reason superseded --yes`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "role", Usage: "role of NAME: aggregator, collaborator, publisher or reviewer"},
			&cli.StringFlag{Name: "reason", Usage: strings.Join(issuer.Reasons(), ", ")},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			crlDaysFlag(), caFlag(), passphraseFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "NAME|SERIAL")
			if err != nil {
				return nil, err
			}
			if err := ui.Require(c, "reason"); err != nil {
				return nil, err
			}
			if !slices.Contains(issuer.Reasons(), c.String("reason")) {
				return nil, ui.Usagef("--reason %q is unknown; there is %s", c.String("reason"), strings.Join(issuer.Reasons(), ", "))
			}
			o := caRevokeOptions{
				console: ui.From(c), dir: c.String("ca"), what: args[0], reason: c.String("reason"), yes: c.Bool("yes"),
				days: c.Int("days"), passphraseFile: c.String("passphrase-file"),
			}
			if c.IsSet("role") {
				if o.role, err = roleOf(c); err != nil {
					return nil, err
				}
			}
			return runCARevoke(c.Context, o)
		}),
	}
}

type caRevokeOptions struct {
	console        *ui.Console
	dir            string
	what           string
	role           identity.Role
	reason         string
	yes            bool
	days           int
	passphraseFile string
}

type caRevokeResult struct {
	Reason  string        `json:"reason"`
	Revoked []caListEntry `json:"revoked"`
	Lists   []caCRLEntry  `json:"lists"`
	Update  string        `json:"update"`
}

func runCARevoke(ctx context.Context, o caRevokeOptions) (*caRevokeResult, error) {
	if err := checkCRLDays(o.days); err != nil {
		return nil, err
	}
	if !o.yes && !o.console.Interactive() {
		return nil, ui.Usagef("cannot revoke %q without a terminal: --yes is needed", o.what)
	}
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	entries, err := ca.List()
	if err != nil {
		return nil, err
	}
	chosen, err := o.choose(entries)
	if err != nil {
		return nil, err
	}
	lists := issuer.ListOptions{Days: o.days}
	var serials []string
	for _, e := range chosen {
		serials = append(serials, e.Serial)
	}
	if err := o.confirm(ctx, chosen); err != nil {
		return nil, err
	}
	if err := unlockLists(ctx, o.console, ca, o.passphraseFile, lists, serials...); err != nil {
		return nil, err
	}
	records, err := ca.Revoke(ctx, serials, o.reason)
	if err != nil {
		return nil, err
	}
	r := &caRevokeResult{Reason: o.reason}
	for i, e := range chosen {
		e.Status, e.Revocation = issuer.Revoked, records[i]
		r.Revoked = append(r.Revoked, newListEntry(e))
	}
	if r.Lists, r.Update, err = issueLists(ctx, ca, o.dir, lists); err != nil {
		return nil, ui.Hint(fmt.Errorf("the revocation is recorded, and is on no list yet: %w", err), "fxctl ca crl --ca %s", o.dir)
	}
	return r, nil
}

// choose finds what is to be revoked, in order of serial numbers.
func (o caRevokeOptions) choose(entries []issuer.Entry) (chosen []issuer.Entry, err error) {
	serial := identity.Ungrouped(o.what)
	known := false
	for _, e := range entries {
		current := e.Status == issuer.Valid || e.Status == issuer.Replaced
		byName := o.role != "" && e.Role == o.role && e.Name == o.what
		known = known || byName
		if e.Serial == serial && (o.role == "" || e.Role == o.role) || byName && current {
			chosen = append(chosen, e)
		}
	}
	slices.SortFunc(chosen, func(a, b issuer.Entry) int { return strings.Compare(a.Serial, b.Serial) })
	switch {
	case len(chosen) > 0:
		return chosen, nil
	case known:
		return nil, identity.Invalidf("cannot revoke: %s %s has no certificate that is valid now", o.role, o.what)
	case o.role == "":
		return nil, ui.Hint(identity.Invalidf("cannot revoke: no certificate has the serial number %q", o.what), "a name needs --role; fxctl ca list shows both")
	}
	return nil, ui.Hint(identity.Invalidf("cannot revoke: this CA has certified no %s %q", o.role, o.what), "fxctl ca list --role %s", o.role)
}

func (o caRevokeOptions) confirm(ctx context.Context, chosen []issuer.Entry) error {
	if o.yes {
		return nil
	}
	o.console.Warnf("these certificates will be revoked for good (%s):", o.reason)
	var rows [][]string
	for _, e := range chosen {
		rows = append(rows, []string{e.Name, string(e.Role), "valid until " + e.NotAfter.Format(time.DateOnly), e.Serial})
	}
	if err := ui.Table(o.console.Err, nil, rows); err != nil {
		return fmt.Errorf("cannot show what is revoked: %v", err)
	}
	typed, err := ask(ctx, o.console, o.console.Ask, "Type revoke to go on:", "--yes")
	if err != nil {
		return err
	}
	if typed != "revoke" {
		return errors.New("nothing was revoked")
	}
	return nil
}

// Text is the result for people.
func (r *caRevokeResult) Text(w io.Writer) error {
	for _, e := range r.Revoked {
		if _, err := fmt.Fprintf(w, "revoked %s %s (serial %s): %s\n", e.Role, e.Name, e.Serial, r.Reason); err != nil {
			return err
		}
	}
	return listsText(w, r.Lists, r.Update)
}
