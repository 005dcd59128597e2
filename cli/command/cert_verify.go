package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
)

func certVerify() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "say whether a certificate is good for a role now, and if not, why",
		ArgsUsage: "FILE",
		Description: `Examples:
   fxctl cert verify cert/client/col_hospital-a.crt --role collaborator
   fxctl cert verify alice.crt --role publisher --name alice --chain cert/signing_chain.crt
   fxctl cert verify alice.crt --role publisher --log-proof alice.proof`,
		Flags: []cli.Flag{
			roleFlag(),
			&cli.StringFlag{Name: "name", Usage: "name that the certificate must have"},
			&cli.StringFlag{Name: "chain", Usage: "file of the federation's CA certificates (default: the role's in --cert-dir)", TakesFile: true},
			&cli.StringFlag{Name: "crl", Usage: "file of revocation lists (default: crl.pem in --cert-dir, if there is one)", TakesFile: true},
			&cli.BoolFlag{Name: "openfl", Usage: "also accept certificates made by OpenFL, in which no role is written"},
			logProofFlag(),
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			role, err := roleOf(c)
			if err != nil {
				return nil, err
			}
			r, err := runCertVerify(c.Context, certVerifyOptions{
				console: ui.From(c), file: args[0], role: role, name: c.String("name"), chain: c.String("chain"),
				crl: c.String("crl"), openFL: c.Bool("openfl"), certDir: c.String("cert-dir"), logProof: c.String("log-proof"),
			})
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type certVerifyOptions struct {
	console    *ui.Console
	file       string
	role       identity.Role
	name       string
	chain, crl string
	openFL     bool
	certDir    string
	logProof   string
}

type certVerifyResult struct {
	File       string        `json:"file"`
	Role       identity.Role `json:"role"`
	Name       string        `json:"name,omitempty"`
	Federation string        `json:"federation,omitempty"`
	OpenFL     bool          `json:"openfl"` // made by OpenFL: no role is written in it
	Valid      bool          `json:"valid"`
	Failed     string        `json:"failed_check,omitempty"` // chain, validity, role, name, revocation or log
	NotAfter   time.Time     `json:"not_after"`
	LogIndex   *int64        `json:"log_index,omitempty"` // with --log-proof: which record of the CA's log it is
}

func runCertVerify(_ context.Context, o certVerifyOptions) (*certVerifyResult, error) {
	data, err := readInput(o.console, o.file, identity.MaxCertificates)
	if err != nil {
		return nil, err
	}
	certs, err := identity.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("cannot verify %q: %w", o.file, err)
	}
	anchors, err := o.anchors()
	if err != nil {
		return nil, err
	}
	r := &certVerifyResult{File: o.file, Role: o.role, OpenFL: trust.MadeByOpenFL(certs[0]), NotAfter: certs[0].NotAfter}
	id, err := anchors.Verify(certs, o.role, time.Now())
	if err == nil {
		r.Name, r.Federation = id.Name, id.Federation
		if o.name != "" && id.Name != o.name {
			r.Failed = "name"
			return r, identity.Untrustedf("cannot trust %q: it is the certificate of %s, not of %q", o.file, id, o.name)
		}
		if err := r.checkLogProof(o, certs[0], anchors); err != nil {
			r.Failed = "log"
			return r, fmt.Errorf("cannot trust %q: %w (check: %s)", o.file, err, r.Failed)
		}
		r.Valid = true
		return r, nil
	}
	r.Failed = failedCheck(err)
	return r, fmt.Errorf("cannot trust %q: %w (check: %s)", o.file, err, r.Failed)
}

func (o certVerifyOptions) anchors() (*trust.Anchors, error) {
	if o.chain == "" {
		name := identity.ChainFile
		if o.role.Signs() {
			name = identity.SigningChainFile
		}
		o.chain = filepath.Join(o.certDir, name)
	}
	if o.crl == "" {
		o.crl = filepath.Join(o.certDir, identity.CRLFile)
	} else if _, err := identity.ReadFile(o.crl, identity.MaxCRL); err != nil {
		return nil, err // named, so it must be there
	}
	a, err := trust.Load(o.chain, o.crl)
	if err == nil && o.openFL {
		a = a.WithOpenFL()
	}
	return a, err
}

// failedCheck names the check that an error of [trust.Anchors.Verify] is about.
func failedCheck(err error) string {
	if _, ok := errors.AsType[*trust.RoleError](err); ok {
		return "role"
	}
	if _, ok := errors.AsType[*trust.RevokedError](err); ok {
		return "revocation"
	}
	if _, ok := errors.AsType[*trust.StaleError](err); ok {
		return "revocation"
	}
	if c, ok := errors.AsType[x509.CertificateInvalidError](err); ok && c.Reason == x509.Expired {
		return "validity"
	}
	return "chain"
}

// Text is the result for people; what is wrong is the error's to say.
func (r *certVerifyResult) Text(w io.Writer) error {
	if !r.Valid {
		return nil
	}
	note := ""
	if r.OpenFL {
		note = " (made by OpenFL: no role is written in it)"
	}
	if r.LogIndex != nil {
		note += fmt.Sprintf(", record %d of the CA's log", *r.LogIndex)
	}
	_, err := fmt.Fprintf(w, "%s: %s %s, valid until %s%s\n", r.File, r.Role, r.Name, r.NotAfter.Format(time.DateOnly), note)
	return err
}
