package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caSign() *cli.Command {
	return &cli.Command{
		Name:      "sign",
		Usage:     "check a certificate request, then sign it",
		ArgsUsage: "CSR",
		Description: `Ask the requester for the fingerprint over a channel that you trust (a call,
not the mail that brought the request). CSR is a request, the zip in which OpenFL
sends one, or a folder of requests, which is signed after a roster: name, role
and fingerprint of everybody expected, as YAML, JSON or CSV. Examples:
   fxctl ca sign col_hospital-a.csr --role collaborator
   fxctl ca sign agg_fed.example.org.csr --role aggregator --fingerprint "$F" -o agg.answer
   fxctl ca sign requests --roster roster.csv`,
		Flags: []cli.Flag{
			roleFlag(),
			&cli.StringFlag{Name: "name", Usage: "name that the request must have"},
			&cli.StringFlag{Name: "fingerprint", Usage: "fingerprint that the requester said (SHA-256 of the request, or OpenFL's SHA-384)"},
			&cli.IntFlag{Name: "days", Usage: "lifetime in days", DefaultText: "365"},
			&cli.StringSliceFlag{Name: "approval", Usage: "a reviewer's approval in `FILE` (may be repeated; with --roster also a folder of them): fxctl ca approve", TakesFile: true},
			&cli.BoolFlag{Name: "replace", Usage: "issue although the name has a certificate, or this request was answered"},
			&cli.BoolFlag{Name: "clamp", Usage: "shorten the lifetime to the CA's own instead of refusing"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the answer to `FILE` (default: NAME.answer; - is standard output)", TakesFile: true},
			&cli.StringFlag{Name: "roster", Usage: "sign a folder of requests: `FILE` says who is expected", TakesFile: true},
			&cli.StringFlag{Name: "openfl-zip", Usage: "write the answer also to `FILE` as OpenFL's certify --import takes it", TakesFile: true},
			&cli.StringFlag{Name: "allow", Usage: "accept what the profile refuses: rsa-2048"},
			caFlag(), passphraseFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "CSR")
			if err != nil {
				return nil, err
			}
			if a := c.String("allow"); a != "" && a != allowRSA2048 {
				return nil, ui.Usagef("--allow %q is unknown; there is %s", a, allowRSA2048)
			}
			if info, err := os.Stat(args[0]); c.IsSet("roster") || err == nil && info.IsDir() {
				return batchAction(c, args[0])
			}
			role, err := roleOf(c)
			if err != nil {
				return nil, err
			}
			o := caSignOptions{
				console: ui.From(c), csr: args[0], dir: c.String("ca"), output: c.String("output"), passphraseFile: c.String("passphrase-file"),
				openFLZip: c.String("openfl-zip"),
				approved:  identity.Identity{Role: role, Name: c.String("name")},
				sign:      signOptions(c),
			}
			if o.sign.Approvals, err = readApprovals(o.console, c.StringSlice("approval")); err != nil {
				return nil, err
			}
			if c.IsSet("days") && o.sign.Days < 1 {
				return nil, ui.Usagef("--days is at least 1; found %d", o.sign.Days)
			}
			r, err := runCASign(c.Context, o)
			if err != nil || o.output == "-" {
				return nil, err
			}
			return r, nil
		}),
	}
}

const allowRSA2048 = "rsa-2048"

// signOptions reads the flags that one request and a folder of them share.
func signOptions(c *cli.Context) issuer.Options {
	return issuer.Options{
		Days: c.Int("days"), Replace: c.Bool("replace"), Clamp: c.Bool("clamp"), Fingerprint: c.String("fingerprint"),
		AllowWeak: c.String("allow") == allowRSA2048,
	}
}

type caSignOptions struct {
	console        *ui.Console
	csr            string
	dir            string
	output         string
	openFLZip      string
	passphraseFile string
	approved       identity.Identity
	sign           issuer.Options
}

type caSignResult struct {
	Serial      string        `json:"serial"`
	Federation  string        `json:"federation"`
	Role        identity.Role `json:"role"`
	Name        string        `json:"name"`
	URI         string        `json:"uri"`
	Hosts       []string      `json:"hosts"`
	Key         string        `json:"key"`
	Issuer      issuer.Kind   `json:"issuer"`
	NotBefore   time.Time     `json:"not_before"`
	NotAfter    time.Time     `json:"not_after"`
	Request     string        `json:"request_fingerprint"`
	Certificate string        `json:"certificate_fingerprint"`
	Root        string        `json:"root_fingerprint"`
	Ignored     []string      `json:"ignored"`
	Replaces    []string      `json:"replaces"`
	Answer      string        `json:"answer"`
	OpenFLZip   string        `json:"openfl_zip,omitempty"`
}

func runCASign(ctx context.Context, o caSignOptions) (*caSignResult, error) {
	if o.output == "-" && o.console.JSON {
		return nil, ui.Usagef("--json and -o - both want standard output")
	}
	if o.sign.Fingerprint == "" && !o.console.Interactive() {
		return nil, ui.Hint(ui.Usagef("cannot sign %q without a terminal: --fingerprint is needed", o.csr),
			"ask the requester for it; --fingerprint takes what the requester says")
	}
	data, err := readInput(o.console, o.csr, maxRequestFile)
	if err != nil {
		return nil, err
	}
	req, err := issuer.ParseRequest(data)
	if err != nil {
		return nil, fmt.Errorf("cannot sign %q: %w", o.csr, err)
	}
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	p, err := ca.Review(req, o.approved, o.sign)
	if err != nil {
		return nil, fmt.Errorf("cannot sign %q: %w", o.csr, err)
	}
	if o.output == "" {
		o.output = p.Identity.Name + ".answer"
	}
	if _, err := os.Lstat(o.output); err == nil && o.output != "-" {
		return nil, ui.Hint(fmt.Errorf("cannot write the answer: %q exists already", o.output), "give -o another name")
	}
	if o.openFLZip != "" {
		if p.Identity.Role.Signs() {
			return nil, ui.Usagef("--openfl-zip is for aggregators and collaborators; OpenFL has no role %s", p.Identity.Role)
		}
		if _, err := os.Lstat(o.openFLZip); err == nil {
			return nil, ui.Hint(fmt.Errorf("cannot write OpenFL's answer: %q exists already", o.openFLZip), "give --openfl-zip another name")
		}
	}
	if err := confirm(ctx, o, req, p); err != nil {
		return nil, err
	}
	if err := unlock(ctx, o.console, ca, p.Issuer, o.passphraseFile); err != nil {
		return nil, err
	}
	o.approved, o.sign.Fingerprint = p.Identity, req.Fingerprint
	issued, err := ca.Sign(ctx, req, o.approved, o.sign)
	if err != nil {
		return nil, fmt.Errorf("cannot sign %q: %w", o.csr, err)
	}
	if err := writeAnswer(o, issued.Answer); err != nil {
		return nil, fmt.Errorf("%w (the certificate %s is recorded; --replace answers the request again)", err, issued.Record.Serial)
	}
	return newCASignResult(o, req, p, issued, ca), nil
}

// maxRequestFile bounds what is read as a request: OpenFL sends a zip.
const maxRequestFile = 1 << 20

func newCASignResult(o caSignOptions, req *issuer.Request, p *issuer.Proposal, issued *issuer.Issued, ca *issuer.CA) *caSignResult {
	return &caSignResult{
		Serial: issued.Record.Serial, Federation: p.Identity.Federation, Role: p.Identity.Role, Name: p.Identity.Name,
		URI: p.Identity.URI(), Hosts: p.Hosts(), Key: p.Key, Issuer: p.Issuer,
		NotBefore: issued.Certificate.NotBefore, NotAfter: issued.Certificate.NotAfter,
		Request: req.Fingerprint, Certificate: identity.Fingerprint(issued.Certificate.Raw),
		Root:    identity.Fingerprint(ca.Certificate(issuer.Root).Raw),
		Ignored: append([]string{}, p.Ignored...), Replaces: append([]string{}, issued.Record.Replaces...), Answer: o.output,
		OpenFLZip: o.openFLZip,
	}
}

// confirm shows what will be issued. With a fingerprint on the command line the
// comparison is made already; else the custodian types the end of the one that
// the requester said.
func confirm(ctx context.Context, o caSignOptions, req *issuer.Request, p *issuer.Proposal) error {
	if o.sign.Fingerprint != "" {
		for _, i := range p.Ignored {
			o.console.Infof("not issued though asked for: %s", i)
		}
		return nil
	}
	rows := [][]string{
		{"subject", p.Subject()},
		{"role", string(p.Identity.Role)},
		{"identity", p.Identity.URI()},
		{"hosts", strings.Join(p.Hosts(), ", ")},
		{"key", p.Key},
		{"issuer", string(p.Issuer)},
		{"valid", p.NotBefore.Format(time.RFC3339) + " to " + p.NotAfter.Format(time.RFC3339)},
		{"replaces", strings.Join(p.Replaces, ", ")},
		{"asked for, not issued", strings.Join(p.Ignored, "; ")},
		{"fingerprint", identity.Grouped(req.Fingerprint[:len(req.Fingerprint)-8]) + " ···· ····"},
	}
	rows = slices.DeleteFunc(rows, func(r []string) bool { return r[1] == "" })
	o.console.Warnf("this certificate will be issued:") // shown even with --quiet
	if err := ui.Table(o.console.Err, nil, rows); err != nil {
		return fmt.Errorf("cannot show the request: %v", err)
	}
	typed, err := ask(ctx, o.console, o.console.Ask, "Ask the requester for the fingerprint. If it begins as above, type its last eight digits to sign:", "--fingerprint")
	if err != nil {
		return err
	}
	want := req.Fingerprint[len(req.Fingerprint)-8:]
	if identity.Ungrouped(typed) != want {
		return fmt.Errorf("cannot sign %q: %w", o.csr, issuer.Refusals{{
			ID: "fingerprint-mismatch", Message: fmt.Sprintf("the fingerprint of the request does not end in %q", typed),
		}})
	}
	return nil
}

// unlock opens the key of the issuing CA, asking for a passphrase if it has one.
func unlock(ctx context.Context, k *ui.Console, ca *issuer.CA, kind issuer.Kind, file string) error {
	locked, err := ca.Locked(kind)
	if err != nil {
		return err
	}
	var p []byte
	if locked {
		if p, err = passphrase(ctx, k, file); err != nil {
			return err
		}
	}
	return ca.Unlock(kind, p)
}

func writeAnswer(o caSignOptions, answer *identity.Answer) error {
	if o.openFLZip != "" {
		z, err := issuer.OpenFLZip(answer)
		if err != nil {
			return err
		}
		if err := identity.CreateFile(o.openFLZip, z, 0o644); err != nil {
			return err
		}
	}
	if o.output != "-" {
		return identity.CreateFile(o.output, answer.Encode(), 0o644)
	}
	if _, err := o.console.Out.Write(answer.Encode()); err != nil {
		return fmt.Errorf("cannot write the answer: %v", err)
	}
	return nil
}

// readInput reads a file, or standard input for "-", of at most limit bytes.
func readInput(k *ui.Console, name string, limit int64) ([]byte, error) {
	if name != "-" {
		return identity.ReadFile(filepath.Clean(name), limit)
	}
	data, err := io.ReadAll(io.LimitReader(k.In, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read standard input: %v", err)
	}
	if int64(len(data)) > limit {
		return nil, identity.Invalidf("cannot read standard input: it is larger than %d bytes", limit)
	}
	return data, nil
}

// Text is the result for people.
func (r *caSignResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "signed %s %s (serial %s), valid until %s\nanswer for the requester: %s\n",
		r.Role, r.Name, r.Serial, r.NotAfter.Format(time.DateOnly), r.Answer)
	if err == nil && r.OpenFLZip != "" {
		_, err = fmt.Fprintf(w, "the same for OpenFL: %s\n", r.OpenFLZip)
	}
	if err == nil && len(r.Replaces) > 0 {
		_, err = fmt.Fprintf(w, "it replaces: %s\n", strings.Join(r.Replaces, ", "))
	}
	return err
}
