package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caList() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the certificates that this CA has issued",
		Description: `Examples:
   fxctl ca list
   fxctl ca list --role collaborator --status valid --expiring 30
   fxctl ca list --json | jq -r '.certificates[] | select(.status == "revoked").serial'`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "role", Usage: "only this role: aggregator, collaborator, publisher, reviewer; or ca"},
			&cli.StringFlag{Name: "name", Usage: "only this name"},
			&cli.StringFlag{Name: "status", Usage: "only this status: valid, replaced, expired or revoked"},
			&cli.IntFlag{Name: "expiring", Usage: "only what is valid now and ends within so many days"},
			caFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			o := caListOptions{dir: c.String("ca"), name: c.String("name"), status: issuer.Status(c.String("status")), expiring: -1}
			if r := c.String("role"); r == "ca" {
				o.cas = true
			} else if r != "" {
				var err error
				if o.role, err = identity.ParseRole(r); err != nil {
					return nil, ui.Usagef("%v; or ca", err)
				}
			}
			if o.status != "" && !slices.Contains(issuer.Statuses(), o.status) {
				return nil, ui.Usagef("--status %q is unknown; there is %v", o.status, issuer.Statuses())
			}
			if c.IsSet("expiring") {
				if o.expiring = c.Int("expiring"); o.expiring < 0 {
					return nil, ui.Usagef("--expiring is a number of days; found %d", o.expiring)
				}
			}
			return runCAList(c.Context, o)
		}),
	}
}

type caListOptions struct {
	dir      string
	role     identity.Role
	cas      bool
	name     string
	status   issuer.Status
	expiring int // days; -1: any
}

type caListEntry struct {
	Serial     string        `json:"serial"`
	Role       identity.Role `json:"role,omitempty"` // none: one of the CAs
	Name       string        `json:"name"`
	Status     issuer.Status `json:"status"`
	Issuer     issuer.Kind   `json:"issuer"`
	Generation int           `json:"generation"` // of the issuer
	IssuedAt   time.Time     `json:"issued_at"`
	NotBefore  time.Time     `json:"not_before"`
	NotAfter   time.Time     `json:"not_after"`
	RevokedAt  time.Time     `json:"revoked_at,omitzero"`
	Reason     string        `json:"reason,omitempty"`
	ReplacedBy string        `json:"replaced_by,omitempty"`
	Request    string        `json:"request_fingerprint,omitempty"`
	Key        string        `json:"key_sha256"`
}

type caListResult struct {
	Certificates []caListEntry `json:"certificates"`
}

func runCAList(_ context.Context, o caListOptions) (*caListResult, error) {
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	entries, err := ca.List()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	r := &caListResult{Certificates: []caListEntry{}}
	for _, e := range entries {
		ends := now.AddDate(0, 0, o.expiring).After(e.NotAfter) && (e.Status == issuer.Valid || e.Status == issuer.Replaced)
		switch {
		case o.cas && e.Role != "", o.role != "" && e.Role != o.role, o.name != "" && e.Name != o.name:
		case o.status != "" && e.Status != o.status, o.expiring >= 0 && !ends:
		default:
			r.Certificates = append(r.Certificates, newListEntry(e))
		}
	}
	return r, nil
}

func newListEntry(e issuer.Entry) caListEntry {
	entry := caListEntry{
		Serial: e.Serial, Role: e.Role, Name: e.Name, Status: e.Status, Issuer: e.Issuer, Generation: max(e.Generation, 1),
		IssuedAt: e.IssuedAt, NotBefore: e.NotBefore, NotAfter: e.NotAfter, ReplacedBy: e.ReplacedBy, Request: e.Request, Key: e.Key,
	}
	if x := e.Revocation; x != nil {
		entry.RevokedAt, entry.Reason = x.IssuedAt, x.Reason
	}
	return entry
}

// Text is the result for people.
func (r *caListResult) Text(w io.Writer) error {
	var rows [][]string
	for _, e := range r.Certificates {
		role, status := string(e.Role), string(e.Status)
		if role == "" {
			role = "ca"
		}
		if e.Reason != "" {
			status = fmt.Sprintf("revoked %s (%s)", e.RevokedAt.Format(time.DateOnly), e.Reason)
		}
		rows = append(rows, []string{e.Name, role, status, e.NotAfter.Format(time.DateOnly), e.Serial})
	}
	return ui.Table(w, []string{"NAME", "ROLE", "STATUS", "UNTIL", "SERIAL"}, rows)
}
