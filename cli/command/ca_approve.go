package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/ca/trust"
	"fx/cli/ui"
)

func caApprove() *cli.Command {
	return &cli.Command{
		Name:      "approve",
		Usage:     "as a reviewer, approve that the custodian signs a request",
		ArgsUsage: "PROPOSAL",
		Description: `Runs where the reviewer's certificate is; the CA's folder is not needed. Ask the
requester for the fingerprint, as the custodian does. Examples:
   fxctl ca approve hospital-a.proposal --as bob
   fxctl ca approve hospital-a.proposal --as bob --fingerprint "$F" --yes`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "`NAME` of the reviewer who signs"},
			&cli.StringFlag{Name: "fingerprint", Usage: "fingerprint of the request that the requester said (SHA-256)"},
			&cli.BoolFlag{Name: "yes", Usage: "sign without asking; needs --fingerprint"},
			documentFlag("write the approval to `FILE` (default: NAME.REVIEWER.approval; - is standard output)"),
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "PROPOSAL")
			if err == nil {
				err = ui.Require(c, "as")
			}
			if err == nil {
				err = checkOutput(c)
			}
			if err != nil {
				return nil, err
			}
			if c.Bool("yes") && c.String("fingerprint") == "" {
				return nil, ui.Hint(ui.Usagef("--yes needs --fingerprint"), "ask the requester for it")
			}
			return runCAApprove(c.Context, caApproveOptions{
				console: ui.From(c), proposal: args[0], as: c.String("as"), yes: c.Bool("yes"), fingerprint: c.String("fingerprint"),
				output: c.String("output"), certDir: c.String("cert-dir"),
			})
		}),
	}
}

type caApproveOptions struct {
	console         *ui.Console
	proposal, as    string
	fingerprint     string
	yes             bool
	output, certDir string
}

type caApproveResult struct {
	Approval string        `json:"approval"` // path
	Proposal string        `json:"proposal_sha256"`
	Reviewer string        `json:"reviewer"`
	Role     identity.Role `json:"role"`
	Name     string        `json:"name"`
	Expires  time.Time     `json:"expires"`
}

func runCAApprove(ctx context.Context, o caApproveOptions) (*caApproveResult, error) {
	if !o.yes && !o.console.Interactive() {
		return nil, ui.Usagef("cannot ask for the decision, because standard input is no terminal; give --yes and --fingerprint")
	}
	data, err := readInput(o.console, o.proposal, issuer.MaxMotion)
	if err != nil {
		return nil, err
	}
	m, err := issuer.ParseMotion(data)
	if err != nil {
		return nil, fmt.Errorf("cannot approve %q: %w", o.proposal, err)
	}
	anchors, err := trust.Load(filepath.Join(o.certDir, identity.SigningChainFile), filepath.Join(o.certDir, identity.CRLFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Hint(ui.Code(ui.Untrusted, fmt.Errorf("cannot approve without the federation's signing chain: %w", err)),
			"fxctl cert import ANSWER puts it in place; --cert-dir names another folder")
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := o.check(m, anchors, now); err != nil {
		return nil, fmt.Errorf("cannot approve %q: %w", o.proposal, err)
	}
	reviewer, err := readSigner(o.certDir, identity.Reviewer, o.as, anchors, now)
	if err != nil {
		return nil, err
	}
	if err := o.confirm(ctx, m); err != nil {
		return nil, err
	}
	a, err := issuer.Approve(reviewer.key, reviewer.leaf, m)
	if err != nil {
		return nil, fmt.Errorf("cannot approve %q: %w", o.proposal, err)
	}
	line, err := a.Encode()
	if err != nil {
		return nil, err
	}
	if o.output == "" {
		o.output = m.Name + "." + reviewer.id.Name + ".approval"
	}
	if err := writeDocument(o.console, "approval", o.output, append(line, '\n')); err != nil || o.output == "-" {
		return nil, err
	}
	return &caApproveResult{
		Approval: o.output, Proposal: identity.Fingerprint(a.Proposal), Reviewer: reviewer.id.Name, Role: m.Role, Name: m.Name, Expires: m.Expires,
	}, nil
}

// check refuses what nobody should be asked about.
func (o caApproveOptions) check(m *issuer.Motion, anchors *trust.Anchors, now time.Time) error {
	ours := slices.ContainsFunc(anchors.Certificates(), func(c *x509.Certificate) bool { return identity.Fingerprint(c.Raw) == m.Root })
	switch {
	case !ours:
		return identity.Untrustedf("it is for a CA with another root (%s) than the one in %q", m.Root, o.certDir)
	case now.After(m.Expires):
		return identity.Untrustedf("it could be used until %s", m.Expires.Format(time.DateOnly))
	case o.fingerprint != "" && identity.Ungrouped(o.fingerprint) != m.Request:
		return identity.Untrustedf("the fingerprint of the request is not %q: this is not the request that the requester made", identity.Ungrouped(o.fingerprint))
	}
	return nil
}

// confirm shows what would be issued. With --fingerprint it is compared
// already; else the reviewer types the end of what the requester said.
func (o caApproveOptions) confirm(ctx context.Context, m *issuer.Motion) error {
	shown := identity.Grouped(m.Request)
	if o.fingerprint == "" {
		shown = identity.Grouped(m.Request[:len(m.Request)-8]) + " ···· ····"
	}
	rows := slices.DeleteFunc([][]string{
		{"federation", m.Federation},
		{"role", string(m.Role)},
		{"name", m.Name},
		{"hosts", strings.Join(m.Hosts, ", ")},
		{"lifetime", strconv.Itoa(m.Days) + " days"},
		{"replaces", strings.Join(m.Replaces, ", ")},
		{"proposed", m.Created.Format(time.RFC3339) + ", can be used until " + m.Expires.Format(time.RFC3339)},
		{"fingerprint", shown},
	}, func(r []string) bool { return r[1] == "" })
	if o.yes && o.console.Quiet {
		return nil
	}
	o.console.Warnf("the custodian wants to issue this certificate:")
	if err := ui.Table(o.console.Err, nil, rows); err != nil {
		return fmt.Errorf("cannot show the proposal: %v", err)
	}
	if o.yes {
		return nil
	}
	question, want := "Type \"approve\" to sign:", "approve"
	if o.fingerprint == "" {
		question = "Ask the requester for the fingerprint. If it begins as above, type its last eight digits to approve:"
		want = m.Request[len(m.Request)-8:]
	}
	typed, err := ask(ctx, o.console, o.console.Ask, question, "--yes and --fingerprint")
	if err != nil {
		return err
	}
	if identity.Ungrouped(typed) != want {
		return identity.Untrustedf("nothing was signed: the answer was %q", typed)
	}
	return nil
}

// Text is the result for people.
func (r *caApproveResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s approved %s %s, until %s\nfor the custodian: %s\n", r.Reviewer, r.Role, r.Name, r.Expires.Format(time.DateOnly), r.Approval)
	return err
}

// readApprovals reads the files of --approval.
func readApprovals(k *ui.Console, files []string) (approvals [][]byte, err error) {
	if len(files) > issuer.MaxApprovals {
		return nil, ui.Usagef("%d approvals; at most %d are read", len(files), issuer.MaxApprovals)
	}
	for _, f := range files {
		data, err := readInput(k, f, issuer.MaxApproval)
		if err != nil {
			return nil, err
		}
		approvals = append(approvals, data)
	}
	return approvals, nil
}
