package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
	"fx/runtime/journal"
	"fx/runtime/receipt"
)

func receiptVerify() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "say whether a receipt is the aggregator's, and make its models anew",
		ArgsUsage: "RECEIPT",
		Description: `Verifies the signature and the aggregator's certificate; with --bundle, that this
is the bundle that was run and that its approvals count; with --state or
--journal, every file that the receipt names. With both, every round of which
the journal still has the results is made anew and compared bit for bit; that
needs room for a model in $TMPDIR.

Exits with 0 if all is in order, with 4 if not, with 3 if a file is unreadable.

Examples:
   fxctl receipt verify receipt.json
   fxctl receipt verify receipt.json --model final.safetensors
   fxctl receipt verify agg/receipt.json --bundle ward.fxb --state agg
   fxctl receipt verify agg/receipt.json --bundle ward.fxb --state agg --require-all --json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Usage: "the bundle that was run is `FILE`; its signatures are in FILE.sigs.jsonl", TakesFile: true},
			&cli.StringFlag{Name: "state", Usage: "the aggregator's state folder is `DIR`", TakesFile: true},
			&cli.StringFlag{Name: "journal", Usage: "its journal, or a copy, is `DIR` (default with --state: DIR/journal)", TakesFile: true},
			&cli.StringFlag{Name: "model", Usage: "this .safetensors `FILE` must be one of the receipt's models", TakesFile: true},
			&cli.BoolFlag{Name: "require-all", Usage: "refuse a receipt of which a round could not be made anew"},
			&cli.BoolFlag{Name: "openfl", Usage: "also accept an aggregator's certificate made by OpenFL, in which no role is written"},
			policyFlag(), atFlag(), certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "RECEIPT")
			if err != nil {
				return nil, err
			}
			o := receiptVerifyOptions{
				file: args[0], bundle: c.String("bundle"), journal: c.String("journal"), model: c.String("model"),
				certDir: c.String("cert-dir"), policy: c.String("policy"), openFL: c.Bool("openfl"), all: c.Bool("require-all"),
			}
			switch state := c.String("state"); {
			case state != "" && o.journal != "":
				return nil, ui.Usagef("both --state and --journal are given; one of them says where the journal is")
			case state != "":
				o.journal = filepath.Join(state, "journal")
			case o.all && o.journal == "":
				return nil, ui.Usagef("--require-all needs the journal: give --state or --journal")
			}
			if o.all && o.bundle == "" {
				return nil, ui.Usagef("--require-all needs the plan: give --bundle")
			}
			if o.at, err = judgedTime(c); err != nil {
				return nil, err
			}
			r, err := runReceiptVerify(c, o)
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type receiptVerifyOptions struct {
	file, bundle, journal, model, certDir, policy string
	openFL, all                                   bool
	at                                            time.Time
}

type receiptVerifyResult struct {
	File         string         `json:"file"`
	Verified     bool           `json:"verified"` // everything that was asked for is in order
	JudgedAt     time.Time      `json:"judged_at"`
	Signer       string         `json:"signer"`      // the aggregator
	Fingerprint  string         `json:"fingerprint"` // of its certificate
	FederationID string         `json:"federation_id"`
	BundleID     string         `json:"bundle_id"`
	Complete     bool           `json:"complete"`
	Rounds       int            `json:"rounds"`
	FinalSHA256  string         `json:"final_sha256"`
	Bundle       string         `json:"bundle,omitempty"`  // the file that it was compared with
	Journal      string         `json:"journal,omitempty"` // likewise
	Model        string         `json:"model,omitempty"`   // which of the receipt's models --model is, in words
	Unproven     []string       `json:"unproven"`
	Audit        *receipt.Audit `json:"audit,omitempty"`
	Reasons      []string       `json:"reasons"` // why it is not verified

	receipt *receipt.Receipt
}

func runReceiptVerify(c *cli.Context, o receiptVerifyOptions) (*receiptVerifyResult, error) {
	s, err := readReceipt(c, o.file)
	if err != nil {
		return nil, err
	}
	r := &receiptVerifyResult{
		File: o.file, JudgedAt: o.at.UTC(), Fingerprint: identity.Fingerprint(s.Leaf.Raw), FederationID: s.FederationID,
		BundleID: s.Bundle.ID, Complete: s.Complete, Rounds: len(s.Rounds), FinalSHA256: s.Final.SHA256,
		Unproven: s.Unproven, Reasons: []string{}, receipt: s.Receipt,
	}
	if err := r.signed(s, o); err != nil {
		r.Reasons = append(r.Reasons, err.Error())
		return r, fmt.Errorf("cannot trust receipt %q: %w", o.file, err)
	}
	var plan *bundle.Federation
	if o.bundle != "" {
		opened, err := r.approved(c, s, o)
		if err != nil {
			return nil, err
		}
		defer func() { _ = opened.close() }() // read only
		plan = opened.plan
	}
	if o.model != "" {
		sum, err := receipt.DigestFile(c.Context, o.model)
		if err != nil && strings.EqualFold(filepath.Ext(o.model), ".pbuf") {
			err = ui.Hint(err, "--model takes the .safetensors that lies beside the .pbuf: its bytes are what a receipt names")
		}
		if err != nil {
			return nil, fmt.Errorf("cannot compare model %q with the receipt: %w", o.model, err)
		}
		if r.Model = s.Holds(sum); r.Model == "" {
			r.Reasons = append(r.Reasons, fmt.Sprintf("the model %q (SHA-256 %s) is none of the receipt's", o.model, sum))
		}
	}
	if o.journal != "" && len(r.Reasons) == 0 { // a plan that is not trusted is not run
		if err := r.audit(c, plan, o); err != nil {
			return nil, fmt.Errorf("cannot compare the journal %q with the receipt: %w", o.journal, err)
		}
	}
	if r.Verified = len(r.Reasons) == 0; !r.Verified {
		return r, identity.Untrustedf("cannot trust receipt %q: %s", o.file, firstOf(r.Reasons, 5))
	}
	return r, nil
}

// firstOf joins the first n of a list, and counts the rest.
func firstOf(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more, which --json lists", strings.Join(list[:n], "; "), len(list)-n)
}

// signed requires the signature of an aggregator of this federation.
func (r *receiptVerifyResult) signed(s *receipt.Signed, o receiptVerifyOptions) error {
	anchors, err := trust.Load(filepath.Join(o.certDir, identity.ChainFile), filepath.Join(o.certDir, identity.CRLFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ui.Hint(ui.Code(ui.Untrusted, fmt.Errorf("the federation's chain is not there: %w", err)),
			"fxctl cert import ANSWER puts it in place; --cert-dir names another folder")
	}
	if err != nil {
		return err
	}
	if o.openFL {
		anchors = anchors.WithOpenFL()
	}
	if err := s.Verify(); err != nil {
		return err
	}
	id, err := anchors.Verify(s.Chain(), identity.Aggregator, o.at)
	if err != nil {
		return ui.Hint(err, "%s", r.hint(s, o))
	}
	r.Signer = id.Name
	return nil
}

// hint says what may mend a certificate that is not in order.
func (r *receiptVerifyResult) hint(s *receipt.Signed, o receiptVerifyOptions) string {
	if trust.MadeByOpenFL(s.Leaf) && !o.openFL {
		return fmt.Sprintf("fxctl receipt verify %s --openfl", o.file)
	}
	if o.at.After(s.Leaf.NotAfter) || o.at.Before(s.Leaf.NotBefore) {
		return fmt.Sprintf("--at judges as of a time when the certificate was valid: %s to %s", s.Leaf.NotBefore.Format(time.DateOnly), s.Leaf.NotAfter.Format(time.DateOnly))
	}
	return fmt.Sprintf("fxctl cert verify FILE --role aggregator --cert-dir %s explains a certificate", o.certDir)
}

// ranBundle is the bundle that a receipt is about.
type ranBundle struct {
	plan  *bundle.Federation
	close func() error
}

// approved compares the receipt with the bundle, its plan and its signatures.
func (r *receiptVerifyResult) approved(c *cli.Context, s *receipt.Signed, o receiptVerifyOptions) (_ *ranBundle, err error) {
	r.Bundle = o.bundle
	judges, err := newJudges(o.bundle, o.certDir, o.policy, true)
	if err != nil {
		return nil, err
	}
	b, err := bundle.OpenFile(o.bundle)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if id := b.ID().String(); id != s.Bundle.ID {
		r.Reasons = append(r.Reasons, fmt.Sprintf("it is about the bundle %s, %q is %s", s.Bundle.ID, o.bundle, id))
		return &ranBundle{close: b.Close}, nil
	}
	v, err := b.Verify(c.Context, judges.anchors, judges.policy, judges.sidecar, o.at)
	if errors.Is(err, identity.ErrUntrusted) {
		r.Reasons = append(r.Reasons, err.Error())
		return &ranBundle{close: b.Close}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use bundle %q: %w", o.bundle, err)
	}
	f, err := v.Federation(r.Signer)
	if err != nil {
		return nil, fmt.Errorf("cannot use bundle %q: %w", o.bundle, err)
	}
	r.Reasons = append(r.Reasons, s.Disagrees(v, f, judges.sidecar.Digests())...)
	return &ranBundle{plan: f, close: b.Close}, nil
}

// audit compares the receipt with the journal.
func (r *receiptVerifyResult) audit(c *cli.Context, plan *bundle.Federation, o receiptVerifyOptions) (err error) {
	r.Journal = o.journal
	store, err := journal.OpenReadOnly(o.journal)
	if errors.Is(err, fs.ErrNotExist) {
		err = ui.Hint(err, "--state names the aggregator's state folder, --journal the journal itself or a copy")
	}
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "fx-receipt-")
	if err != nil {
		return errors.Join(err, store.Close())
	}
	defer func() { err = errors.Join(err, store.Close(), os.RemoveAll(scratch)) }()
	progress := ui.From(c).Progress("rounds of "+filepath.Base(o.file), int64(r.Rounds))
	r.Audit, err = r.receipt.Audit(c.Context, receipt.AuditOptions{
		Journal: store, Plan: plan, Scratch: scratch, Done: func(int) { progress.Add(1) },
	})
	progress.Close()
	if err != nil {
		return err
	}
	for _, p := range r.Audit.Problems {
		r.Reasons = append(r.Reasons, p.String())
	}
	if n := len(r.Audit.Skipped); o.all && n > 0 {
		r.Reasons = append(r.Reasons, fmt.Sprintf("%d of %d rounds could not be made anew, the first is round %d: %s", n, r.Rounds, r.Audit.Skipped[0].Round, r.Audit.Skipped[0].Reason))
	}
	return nil
}

// Text is the result for people; what is wrong is the error's to say.
func (r *receiptVerifyResult) Text(w io.Writer) error {
	if !r.Verified {
		return nil
	}
	if _, err := fmt.Fprintf(w, "%s: signed by the aggregator %s, and in order\n", ui.Clean(r.File), ui.Clean(r.Signer)); err != nil {
		return err
	}
	rows := receiptRows(r.receipt)
	if r.Bundle != "" {
		rows = append(rows, []string{"compared", r.Bundle + ": bundle, plan and approvals"})
	}
	if r.Model != "" {
		rows = append(rows, []string{"the model is", r.Model})
	}
	if a := r.Audit; a != nil {
		rows = append(rows,
			[]string{"compared", fmt.Sprintf("%s: %d files", r.Journal, a.Compared)},
			[]string{"recomputed", fmt.Sprintf("%d of %d rounds, bit for bit%s", len(a.Recomputed), r.Rounds, spans(a.Recomputed))})
		rows = append(rows, skippedRows(a.Skipped, r.Rounds)...)
	} else {
		rows = append(rows, []string{"not recomputed", "no round: --bundle and --state say of what"})
	}
	return ui.Table(w, nil, rows)
}

// skippedRows has a line for each reason.
func skippedRows(skipped []receipt.Skipped, total int) (rows [][]string) {
	var reasons []string
	rounds := map[string][]int{}
	for _, s := range skipped {
		if !slices.Contains(reasons, s.Reason) {
			reasons = append(reasons, s.Reason)
		}
		rounds[s.Reason] = append(rounds[s.Reason], s.Round)
	}
	for _, why := range reasons {
		rows = append(rows, []string{"not recomputed", fmt.Sprintf("%d of %d rounds%s: %s", len(rounds[why]), total, spans(rounds[why]), why)})
	}
	return rows
}

// spans spells round numbers, in order: " (0 to 3, 5)".
func spans(rounds []int) string {
	var out []string
	for i := 0; i < len(rounds); {
		end := i
		for end+1 < len(rounds) && rounds[end+1] == rounds[end]+1 {
			end++
		}
		if end > i {
			out = append(out, fmt.Sprintf("%d to %d", rounds[i], rounds[end]))
		} else {
			out = append(out, fmt.Sprint(rounds[i]))
		}
		i = end + 1
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, ", ") + ")"
}
