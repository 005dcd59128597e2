package command

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caLogShow() *cli.Command {
	return &cli.Command{
		Name:  "show",
		Usage: "list what the CA did, oldest first",
		Description: `Examples:
   fxctl ca log show
   fxctl ca log show --name hospital-a
   fxctl ca log show --kind issued --json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "kind", Usage: "only records of this kind: issued, revoked, crl or rotated"},
			&cli.StringFlag{Name: "name", Usage: "only records about this participant"},
			caFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			switch k := c.String("kind"); k {
			case "", issuer.KindIssued, issuer.KindRevoked, issuer.KindCRL, issuer.KindRotated:
			default:
				return nil, ui.Usagef("--kind is issued, revoked, crl or rotated; found %q", k)
			}
			return runCALogShow(ui.From(c), c.String("ca"), c.String("kind"), c.String("name"))
		}),
	}
}

type caLogShowResult struct {
	Log     string        `json:"log"` // its name in checkpoints
	Size    int64         `json:"size"`
	Records []caLogRecord `json:"records"`
}

type caLogRecord struct {
	Index     int64         `json:"index"`
	Kind      string        `json:"kind"`
	Time      time.Time     `json:"time"`
	Issuer    issuer.Kind   `json:"issuer"`
	Role      identity.Role `json:"role,omitempty"`
	Name      string        `json:"name,omitempty"`
	Serial    string        `json:"serial,omitempty"`
	NotAfter  time.Time     `json:"not_after,omitzero"`
	Reason    string        `json:"reason,omitempty"`
	Approvers []string      `json:"approved_by,omitempty"`
}

func runCALogShow(k *ui.Console, dir, kind, name string) (*caLogShowResult, error) {
	l, err := readLog(k, dir, "", "")
	if err != nil {
		return nil, err
	}
	r := &caLogShowResult{Log: l.Checkpoint().Origin, Size: l.Checkpoint().Size, Records: []caLogRecord{}}
	for i, x := range l.Records {
		if kind != "" && x.Kind != kind || name != "" && x.Name != name {
			continue
		}
		row := caLogRecord{
			Index: int64(i), Kind: x.Kind, Time: x.IssuedAt, Issuer: x.Issuer, Role: x.Role, Name: x.Name,
			Serial: x.Serial, NotAfter: x.NotAfter, Reason: x.Reason,
		}
		for _, a := range x.Approvals {
			row.Approvers = append(row.Approvers, a.Reviewer)
		}
		r.Records = append(r.Records, row)
	}
	return r, nil
}

// Text is the result for people.
func (r *caLogShowResult) Text(w io.Writer) error {
	rows := make([][]string, len(r.Records))
	for i, x := range r.Records {
		who := string(x.Role)
		if who == "" {
			who = "CA"
		}
		rows[i] = []string{strconv.FormatInt(x.Index, 10), x.Time.Format(time.RFC3339), x.Kind, who, x.Name, x.Serial}
	}
	if err := ui.Table(w, []string{"record", "time", "kind", "role", "name", "serial"}, rows); err != nil {
		return fmt.Errorf("cannot show the log: %v", err)
	}
	return nil
}
