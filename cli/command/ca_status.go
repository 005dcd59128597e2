package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/issuer"
	"fx/cli/ui"
)

func caStatus() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "say what of this CA needs attention: what expires, revocation lists, records",
		Description: `No key is opened. The exit code is 0 if nothing needs attention, 1 if something
does, and 4 if the records cannot be trusted. Examples:
   fxctl ca status
   fxctl ca status --days 45 --quiet || mail -s "look after the CA" custodian@example.org`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "days", Usage: "what ends within so many days needs attention (CAs: within a year)", Value: 30},
			caFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if c.Int("days") < 0 {
				return nil, ui.Usagef("--days is a number of days; found %d", c.Int("days"))
			}
			r, err := runCAStatus(c.Context, caStatusOptions{dir: c.String("ca"), days: c.Int("days"), now: time.Now()})
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type caStatusOptions struct {
	dir  string
	days int
	now  time.Time
}

// statusLine is one thing that was looked at.
type statusLine struct {
	What      string    `json:"what"` // ca, certificate, crl, update, records
	Name      string    `json:"name"`
	Until     time.Time `json:"until,omitzero"`
	Attention bool      `json:"attention"`
	Message   string    `json:"message"`
}

type caStatusResult struct {
	Federation string       `json:"federation"`
	OK         bool         `json:"ok"`
	Valid      int          `json:"valid"` // participants' certificates
	Records    int          `json:"records"`
	Checks     []statusLine `json:"checks"`
}

// caYear is how long before its end a CA needs attention: what it certifies
// should live that long.
const caYear = 365

func runCAStatus(_ context.Context, o caStatusOptions) (*caStatusResult, error) {
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	r := &caStatusResult{Federation: ca.State.Federation}
	n, bad := ca.CheckRecords()
	if bad != nil {
		r.add(statusLine{What: "records", Name: o.dir, Attention: true, Message: bad.Error()})
		return r, fmt.Errorf("cannot trust the records of CA %q: %w", o.dir, bad)
	}
	r.Records = n
	entries, err := ca.List()
	if err != nil {
		return nil, err
	}
	r.cas(ca, o.now)
	if err := r.lists(ca, o.now); err != nil {
		return nil, err
	}
	current, err := ca.UpdateIsCurrent()
	if err != nil {
		return nil, err
	}
	if !current {
		r.add(statusLine{What: "update", Name: issuer.UpdateFile, Attention: true, Message: "is not what the CA is now; fxctl ca crl"})
	}
	r.participants(entries, o)
	r.add(statusLine{What: "records", Name: o.dir, Message: fmt.Sprintf("%d, each as it should be", n)})
	r.OK = !slices.ContainsFunc(r.Checks, func(l statusLine) bool { return l.Attention })
	if !r.OK {
		return r, errors.New("something needs attention")
	}
	return r, nil
}

func (r *caStatusResult) add(l statusLine) { r.Checks = append(r.Checks, l) }

func (r *caStatusResult) cas(ca *issuer.CA, now time.Time) {
	for _, k := range issuer.Kinds() {
		c := ca.Certificate(k)
		l := statusLine{What: "ca", Name: string(k), Until: c.NotAfter, Message: ends(c.NotAfter, now)}
		if l.Attention = within(c.NotAfter, now, caYear); l.Attention {
			l.Message += fmt.Sprintf("; fxctl ca rotate %s", k[:len(k)-len("-ca")])
		}
		r.add(l)
	}
}

func (r *caStatusResult) lists(ca *issuer.CA, now time.Time) error {
	lists, err := ca.Lists()
	if err != nil {
		return err
	}
	for _, s := range lists {
		l := statusLine{What: "crl", Name: s.Issuer, Until: s.NextUpdate, Attention: true}
		switch {
		case s.Pending > 0:
			l.Message = fmt.Sprintf("%d revocations are on no list yet; fxctl ca crl", s.Pending)
		case s.Problem != "":
			l.Message = s.Problem
		case now.After(s.NextUpdate):
			l.Message = fmt.Sprintf("number %d %s: sites refuse everybody; fxctl ca crl", s.Number, ends(s.NextUpdate, now))
		case now.After(renewBy(s.ThisUpdate, s.NextUpdate)):
			l.Message = fmt.Sprintf("number %d %s, half of its time is over; fxctl ca crl", s.Number, ends(s.NextUpdate, now))
		default:
			l.Attention, l.Message = false, fmt.Sprintf("number %d with %d certificates, %s", s.Number, s.Entries, ends(s.NextUpdate, now))
		}
		r.add(l)
	}
	return nil
}

// participants lists certificates that end soon and that nothing replaces; one
// that has ended needs attention for as long, for it may be wanted still.
func (r *caStatusResult) participants(entries []issuer.Entry, o caStatusOptions) {
	current := map[string]bool{}
	for _, e := range entries {
		if e.Role != "" && (e.Status == issuer.Valid || e.Status == issuer.Replaced) {
			r.Valid++
		}
		if e.Role != "" && e.Status == issuer.Valid {
			current[string(e.Role)+" "+e.Name] = true
		}
	}
	for _, e := range entries {
		name := string(e.Role) + " " + e.Name
		soon := e.Status == issuer.Valid && within(e.NotAfter, o.now, o.days)
		late := e.Status == issuer.Expired && !current[name] && e.ReplacedBy == "" && within(o.now, e.NotAfter, o.days)
		if e.Role == "" || !soon && !late {
			continue
		}
		r.add(statusLine{
			What: "certificate", Name: name, Until: e.NotAfter, Attention: true,
			Message: ends(e.NotAfter, o.now) + "; its owner renews it with fxctl cert renew",
		})
	}
}

// within reports whether t comes before now plus a number of days.
func within(t, now time.Time, days int) bool { return t.Before(now.AddDate(0, 0, days)) }

// ends says when something ends or ended, in words.
func ends(t, now time.Time) string {
	days := int(t.Sub(now).Hours() / 24)
	switch {
	case t.Before(now):
		return "ended on " + t.UTC().Format(time.DateOnly)
	case days == 0:
		return "ends within a day"
	}
	return fmt.Sprintf("ends on %s, in %d days", t.UTC().Format(time.DateOnly), days)
}

// Text is the result for people.
func (r *caStatusResult) Text(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "CA of %s: %d certificates of participants are valid\n", r.Federation, r.Valid); err != nil {
		return err
	}
	return statusTable(w, r.Checks)
}

func statusTable(w io.Writer, checks []statusLine) error {
	var rows [][]string
	for _, l := range checks {
		mark := "ok"
		if l.Attention {
			mark = "LOOK"
		}
		rows = append(rows, []string{mark, l.What, l.Name, l.Message})
	}
	return ui.Table(w, nil, rows)
}
