package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
)

func certStatus() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "say what of a certificate folder expires when, and what is wrong",
		Description: `The exit code is 0 if nothing needs attention, 1 if something ends soon or ended,
and 4 if something is not to be trusted (revoked, another CA's). Examples:
   fxctl cert status
   fxctl cert status --days 45 --quiet || mail -s "renew the certificate" it@hospital-a.example.org`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "days", Usage: "what ends within so many days needs attention", Value: 30},
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if c.Int("days") < 0 {
				return nil, ui.Usagef("--days is a number of days; found %d", c.Int("days"))
			}
			r, err := runCertStatus(c.Context, certStatusOptions{dir: c.String("cert-dir"), days: c.Int("days"), now: time.Now()})
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type certStatusOptions struct {
	dir  string
	days int
	now  time.Time
}

type certStatusResult struct {
	Folder string       `json:"folder"`
	OK     bool         `json:"ok"`
	Checks []statusLine `json:"checks"`

	untrusted bool
}

func runCertStatus(_ context.Context, o certStatusOptions) (*certStatusResult, error) {
	r := &certStatusResult{Folder: o.dir, Checks: []statusLine{}}
	chains := map[string]*trust.Anchors{}
	for _, name := range []string{identity.ChainFile, identity.SigningChainFile} {
		if err := r.chain(name, o, chains); err != nil {
			return nil, err
		}
	}
	if len(chains) == 0 && len(r.Checks) == 0 {
		return nil, ui.Hint(fmt.Errorf("cannot say anything of %q: it has no %s", o.dir, identity.ChainFile), "--cert-dir names the folder of the certificates")
	}
	if err := r.lists(o); err != nil {
		return nil, err
	}
	for _, role := range identity.Roles() {
		if err := r.role(role, o, chains); err != nil {
			return nil, err
		}
	}
	r.OK = !slices.ContainsFunc(r.Checks, func(l statusLine) bool { return l.Attention })
	switch {
	case r.untrusted:
		return r, identity.Untrustedf("something in %q is not to be trusted", o.dir)
	case !r.OK:
		return r, errors.New("something needs attention")
	}
	return r, nil
}

// chain looks at one chain file: every CA in it, and whether it can be used.
func (r *certStatusResult) chain(name string, o certStatusOptions, chains map[string]*trust.Anchors) error {
	path := filepath.Join(o.dir, name)
	certs, err := identity.ReadCertificates(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	a, err := trust.Load(path, filepath.Join(o.dir, identity.CRLFile))
	if err != nil {
		r.untrusted = true
		r.Checks = append(r.Checks, statusLine{What: "chain", Name: name, Attention: true, Message: err.Error()})
		return nil //nolint:nilerr // it is part of the result
	}
	chains[name] = a
	// Of the CAs of one name the last to end counts: others are being replaced.
	last := map[string]time.Time{}
	for _, c := range certs {
		if c.NotAfter.After(last[c.Subject.CommonName]) {
			last[c.Subject.CommonName] = c.NotAfter
		}
	}
	for _, c := range certs {
		if until, ok := last[c.Subject.CommonName]; ok && until.Equal(c.NotAfter) {
			delete(last, c.Subject.CommonName)
			l := statusLine{What: "ca", Name: c.Subject.CommonName, Until: until, Message: ends(until, o.now), Attention: within(until, o.now, o.days)}
			if name == identity.ChainFile || string(c.RawSubject) != string(c.RawIssuer) { // the root stands in both
				r.Checks = append(r.Checks, l)
			}
		}
	}
	return nil
}

func (r *certStatusResult) lists(o certStatusOptions) error {
	data, err := identity.ReadFile(filepath.Join(o.dir, identity.CRLFile), identity.MaxCRL)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	crls, err := identity.ParseCRLs(data)
	if err != nil {
		return err
	}
	for _, c := range crls {
		l := statusLine{What: "crl", Name: c.Issuer.CommonName, Until: c.NextUpdate, Message: ends(c.NextUpdate, o.now)}
		if l.Attention = o.now.After(renewBy(c.ThisUpdate, c.NextUpdate)); l.Attention {
			l.Message += "; ask the custodian for a new update.pem, and fxctl cert import it"
		}
		r.Checks = append(r.Checks, l)
	}
	return nil
}

// role looks at the certificates of one role.
func (r *certStatusResult) role(role identity.Role, o certStatusOptions, chains map[string]*trust.Anchors) error {
	pattern, _, _ := identity.Files(o.dir, role, "*")
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return fmt.Errorf("cannot list %q: %v", pattern, err)
	}
	chain := identity.ChainFile
	if role.Signs() {
		chain = identity.SigningChainFile
	}
	for _, path := range paths {
		certs, err := identity.ReadCertificates(path)
		if err != nil {
			return err
		}
		c := certs[0]
		l := statusLine{What: "certificate", Name: string(role) + " " + c.Subject.CommonName, Until: c.NotAfter, Message: ends(c.NotAfter, o.now)}
		l.Attention = within(c.NotAfter, o.now, o.days)
		if a := chains[chain]; a != nil && !o.now.After(c.NotAfter) {
			a = a.WithOpenFL() // whether that is accepted is the runtime's to say
			if _, err := a.Verify(certs[:1], role, o.now); err != nil {
				l.Attention, l.Message, r.untrusted = true, err.Error(), true
			}
		}
		if l.Attention && !r.untrusted {
			l.Message += fmt.Sprintf("; fxctl cert renew --role %s --name %s", role, c.Subject.CommonName)
		}
		r.Checks = append(r.Checks, l)
	}
	return nil
}

// Text is the result for people.
func (r *certStatusResult) Text(w io.Writer) error { return statusTable(w, r.Checks) }
