package command

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caPropose() *cli.Command {
	return &cli.Command{
		Name:      "propose",
		Usage:     "write what reviewers approve before a request can be signed",
		ArgsUsage: "CSR",
		Description: `For a CA made with --require-approvals. The request is judged as for signing;
role, lifetime and --replace must be the same then. Examples:
   fxctl ca propose col_hospital-a.csr --role collaborator
   fxctl ca approve hospital-a.proposal --as bob
   fxctl ca sign col_hospital-a.csr --role collaborator --approval hospital-a.bob.approval`,
		Flags: []cli.Flag{
			roleFlag(),
			&cli.StringFlag{Name: "name", Usage: "name that the request must have"},
			&cli.StringFlag{Name: "fingerprint", Usage: "fingerprint that the requester said (SHA-256 of the request, or OpenFL's SHA-384)"},
			&cli.IntFlag{Name: "days", Usage: "lifetime of the certificate in days", DefaultText: "365"},
			&cli.BoolFlag{Name: "replace", Usage: "issue although the name has a certificate, or this request was answered"},
			&cli.IntFlag{Name: "valid", Value: 30, Usage: "for how many days the proposal can be used"},
			documentFlag("write the proposal to `FILE` (default: NAME.proposal; - is standard output)"),
			caFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "CSR")
			if err != nil {
				return nil, err
			}
			role, err := roleOf(c)
			if err != nil {
				return nil, err
			}
			if c.IsSet("days") && c.Int("days") < 1 {
				return nil, ui.Usagef("--days is at least 1; found %d", c.Int("days"))
			}
			if v := c.Int("valid"); v < 1 || v > issuer.MaxMotionDays {
				return nil, ui.Usagef("--valid is 1 to %d days; found %d", issuer.MaxMotionDays, v)
			}
			if err := checkOutput(c); err != nil {
				return nil, err
			}
			return runCAPropose(caProposeOptions{
				console: ui.From(c), csr: args[0], dir: c.String("ca"), output: c.String("output"), valid: c.Int("valid"),
				approved: identity.Identity{Role: role, Name: c.String("name")},
				sign:     issuer.Options{Days: c.Int("days"), Replace: c.Bool("replace"), Fingerprint: c.String("fingerprint")},
			})
		}),
	}
}

type caProposeOptions struct {
	console          *ui.Console
	csr, dir, output string
	valid            int
	approved         identity.Identity
	sign             issuer.Options
}

type caProposeResult struct {
	Proposal string        `json:"proposal"` // path
	ID       string        `json:"id"`
	Role     identity.Role `json:"role"`
	Name     string        `json:"name"`
	Request  string        `json:"request_fingerprint"`
	Required int           `json:"approvals_required"`
	Expires  time.Time     `json:"expires"`
}

func runCAPropose(o caProposeOptions) (*caProposeResult, error) {
	data, err := readInput(o.console, o.csr, identity.MaxRequest)
	if err != nil {
		return nil, err
	}
	req, err := issuer.ParseRequest(data)
	if err != nil {
		return nil, fmt.Errorf("cannot propose %q: %w", o.csr, err)
	}
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	l, err := ca.Log()
	if err != nil {
		return nil, err
	}
	m, err := ca.Propose(req, o.approved, o.sign, o.valid)
	if err != nil {
		return nil, fmt.Errorf("cannot propose %q: %w", o.csr, err)
	}
	line, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if o.output == "" {
		o.output = m.Name + ".proposal"
	}
	if err := writeDocument(o.console, "proposal", o.output, append(line, '\n')); err != nil || o.output == "-" {
		return nil, err
	}
	return &caProposeResult{
		Proposal: o.output, ID: m.ID, Role: m.Role, Name: m.Name, Request: m.Request, Required: l.Required(), Expires: m.Expires,
	}, nil
}

// Text is the result for people.
func (r *caProposeResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "proposed %s %s; %d approval(s) are needed until %s\nfor the reviewers: %s\n",
		r.Role, r.Name, r.Required, r.Expires.Format(time.DateOnly), r.Proposal)
	return err
}
