package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect"
	"fx/ca/identity"
	"fx/cli/ui"
	"fx/schema"
)

func bundleApprove() *cli.Command {
	return &cli.Command{
		Name:      "approve",
		Usage:     "sign the decision of a review: approve, renew, reject or revoke",
		ArgsUsage: "FILE",
		Description: `The signature is added beside the bundle, whose bytes stay as they are. A
rejection or revocation blocks these bytes for good. Examples:
   fxctl bundle approve ward.fxb --as bob
   fxctl bundle approve ward.fxb --as bob --days 90 --comment "ticket 4711" --yes --id "$ID"
   fxctl bundle approve ward.fxb --as bob --accept "executable@3f0c…=a start script" --for-site hospital-a
   fxctl bundle approve ward.fxb --as bob --renew --days 90
   fxctl bundle approve ward.fxb --as bob --reject --comment "sends labels"`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "`NAME` of the reviewer who signs"},
			&cli.BoolFlag{Name: "reject", Usage: "sign a rejection"},
			&cli.BoolFlag{Name: "revoke", Usage: "take an earlier approval back"},
			&cli.BoolFlag{Name: "renew", Usage: "repeat your last approval of this bundle with a new date, if the report is still the one that you signed"},
			&cli.IntFlag{Name: "days", Value: 365, Usage: "how many `DAYS` the approval is valid (with --renew: as many as the last one)"},
			&cli.StringSliceFlag{Name: "accept", Usage: "a finding that you know and take, as `RULE@FINGERPRINT=REASON`; may be repeated"},
			&cli.StringFlag{Name: "accept-file", Usage: "such findings are in `FILE`, one a line", TakesFile: true},
			&cli.StringSliceFlag{Name: "for-site", Usage: "the approval counts at the site `NAME` alone; may be repeated"},
			&cli.StringFlag{Name: "baseline", Usage: "the `BUNDLE` that you compared with: its file or id", TakesFile: true},
			&cli.StringFlag{Name: "report", Usage: "`SHA256` of the report that was read; with any other nothing is signed"},
			&cli.StringFlag{Name: "comment", Usage: "a `REMARK` to sign with the decision"},
			&cli.StringFlag{Name: "id", Usage: "bundle id that was inspected; any other bundle is refused"},
			&cli.BoolFlag{Name: "yes", Usage: "sign without asking"},
			policyFlag(), certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err == nil {
				err = ui.Require(c, "as")
			}
			if err != nil {
				return nil, err
			}
			o := bundleApproveOptions{
				file: args[0], as: c.String("as"), days: c.Int("days"), comment: c.String("comment"), id: c.String("id"),
				yes: c.Bool("yes"), policy: c.String("policy"), certDir: c.String("cert-dir"), decision: approval.Approved,
			}
			if err := o.decide(c); err != nil {
				return nil, err
			}
			if longest := int(approval.MaxValidity / (24 * time.Hour)); o.days < 1 || o.days > longest {
				return nil, ui.Usagef("--days is %d, allowed are 1 to %d", o.days, longest)
			}
			if _, err := bundle.ParseID(o.id); err != nil && c.IsSet("id") {
				return nil, ui.Usagef("--id: %v", err)
			}
			if o.scope, err = newScope(c.StringSlice("accept"), c.String("accept-file"), c.StringSlice("for-site"), c.String("baseline")); err != nil {
				return nil, err
			}
			return runBundleApprove(c, o)
		}),
	}
}

// decide reads which decision the flags ask for.
func (o *bundleApproveOptions) decide(c *cli.Context) error {
	reject, revoke := c.Bool("reject"), c.Bool("revoke")
	o.renew, o.report = c.Bool("renew"), c.String("report")
	o.daysSet, o.commentSet = c.IsSet("days"), c.IsSet("comment")
	switch {
	case reject && revoke || reject && o.renew || revoke && o.renew:
		return ui.Usagef("--reject, --revoke and --renew are different decisions; give one")
	case reject:
		o.decision = approval.Rejected
	case revoke:
		o.decision = approval.Revoked
	}
	for _, flag := range []string{"accept", "accept-file", "for-site", "baseline"} {
		if o.renew && c.IsSet(flag) {
			return ui.Usagef("--renew repeats what you signed; --%s needs an approval of its own", flag)
		}
		if o.decision != approval.Approved && flag != "baseline" && c.IsSet(flag) {
			return ui.Usagef("--%s belongs to an approval; a rejection or revocation holds for the whole bundle at every site", flag)
		}
	}
	return nil
}

type bundleApproveOptions struct {
	file, as, decision, comment, id, policy, certDir string
	report                                           string // its digest, if given
	days                                             int
	yes, renew, daysSet, commentSet                  bool
	scope                                            scope
}

type bundleApproveResult struct {
	File       string `json:"file"`
	Sidecar    string `json:"sidecar"`
	BundleID   string `json:"bundle_id"`
	Reviewer   string `json:"reviewer"`
	Decision   string `json:"decision"`
	ValidUntil string `json:"valid_until,omitempty"`
	Report     string `json:"report_sha256"`
	Baseline   string `json:"baseline,omitempty"`

	Accepted []approval.Accepted `json:"accepted,omitempty"`
	Sites    []string            `json:"sites,omitempty"`

	Approved bool   `json:"approved"` // under the policy in force, with this signature
	Verdict  string `json:"verdict"`
}

func runBundleApprove(c *cli.Context, o bundleApproveOptions) (r *bundleApproveResult, err error) {
	console, now := ui.From(c), time.Now()
	if !o.yes && !console.Interactive() {
		return nil, ui.Usagef("cannot ask for the decision, because standard input is no terminal; give --yes")
	}
	judges, err := newJudges(o.file, o.certDir, o.policy, true)
	if err != nil {
		return nil, err
	}
	reviewer, err := readSigner(o.certDir, identity.Reviewer, o.as, judges.anchors, now)
	if err != nil {
		return nil, err
	}
	checked, err := checkToSign(c, o.file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, checked.Close()) }()
	if found := checked.ID().String(); o.id != "" && found != o.id {
		return nil, identity.Untrustedf("cannot sign a review of %q: it is the bundle %s, not %s, which was inspected", o.file, found, o.id)
	}
	report, err := analyse(c, o.file, checked, judges.decide(checked.Bundle, now))
	if err != nil {
		return nil, err
	}
	if err := o.mayDecide(report, reviewer); err != nil {
		return nil, err
	}
	if err := o.compare(c, checked, report); err != nil {
		return nil, err
	}
	if o.renew {
		if err := o.repeat(report); err != nil {
			return nil, err
		}
	}
	review := o.review(report, judges.policy, now)
	if err := o.ask(c.Context, console, report, review); err != nil {
		return nil, err
	}
	if judges.sidecar, err = signReview(checked, reviewer, review, approval.SidecarPath(o.file)); err != nil {
		return nil, fmt.Errorf("cannot sign the review of %q: %w", o.file, err)
	}
	after := judges.decide(checked.Bundle, now)
	return &bundleApproveResult{
		File: o.file, Sidecar: approval.SidecarPath(o.file), BundleID: report.BundleID, Reviewer: reviewer.id.Name,
		Decision: o.decision, ValidUntil: review.ValidUntil, Report: report.FactsSHA256,
		Baseline: review.Baseline, Accepted: review.Accepted, Sites: review.Sites,
		Approved: after.Approved, Verdict: inspect.Verdict(after),
	}, nil
}

// compare adds what changed to the summary: since --baseline if that is a file,
// otherwise since the bundle of this name here that was approved last.
func (o *bundleApproveOptions) compare(c *cli.Context, checked *bundle.Checked, report *inspect.Report) error {
	base := bundleInspectOptions{file: o.file, certDir: o.certDir, policy: o.policy, baseline: c.String("baseline")}
	if _, err := bundle.ParseID(base.baseline); err == nil || o.yes && ui.From(c).Quiet {
		return nil // an id alone has no contents, and nobody would read it
	}
	err := compareWithBaseline(c, base, checked, report)
	if err != nil && base.baseline == "" && c.Err() == nil { // a neighbour in ruins is no reason not to decide
		ui.From(c).Warnf("what changed is not shown: %v", err)
		return nil
	}
	return err
}

// mayDecide refuses decisions about another report than was read, and those that
// could not count.
func (o *bundleApproveOptions) mayDecide(report *inspect.Report, reviewer *signer) error {
	if o.report != "" && o.report != report.FactsSHA256 {
		return identity.Untrustedf("cannot sign a review of %q: the report on it is %s, not %s, which was read", o.file, report.FactsSHA256, o.report)
	}
	switch o.decision {
	case approval.Revoked:
		if _, ok := report.Decision.Earlier(o.as); !ok {
			return ui.Hint(identity.Untrustedf("cannot revoke: %s has no approval by %s", approval.SidecarPath(o.file), o.as),
				"fxctl bundle approve %s --as %s --reject blocks it without one", o.file, o.as)
		}
	case approval.Approved:
		if err := mayApprove(*o, report, reviewer); err != nil {
			return err
		}
		return o.scope.known(o.file, report)
	}
	return nil
}

// repeat takes over what the reviewer signed last, which must have been about
// the very same report.
func (o *bundleApproveOptions) repeat(report *inspect.Report) error {
	last, ok := report.Decision.Earlier(o.as)
	if !ok {
		return ui.Hint(identity.Untrustedf("cannot renew: %s has no approval by %s whose signature is in order", approval.SidecarPath(o.file), o.as),
			"fxctl bundle approve %s --as %s", o.file, o.as)
	}
	if last.Report != report.FactsSHA256 {
		return ui.Hint(identity.Untrustedf("cannot renew: the report on %q is %s now, and %s signed %s; another version of fxctl finds other things", o.file, report.FactsSHA256, o.as, last.Report),
			"fxctl bundle approve %s --as %s", o.file, o.as)
	}
	o.scope = scope{accept: last.Accepted, sites: last.Sites, baseline: last.Baseline}
	if !o.commentSet {
		o.comment = last.Comment
	}
	if !o.daysSet {
		o.days = last.Days()
	}
	return nil
}

// mayApprove refuses approvals that could not count, or that nobody should give.
func mayApprove(o bundleApproveOptions, report *inspect.Report, reviewer *signer) error {
	if report.PlanError != "" {
		return fmt.Errorf("%w: cannot approve %q, which no runtime would run: %s", schema.ErrInvalid, o.file, report.PlanError)
	}
	releases := report.Decision.Counted(approval.ReleaseType)
	if len(releases) == 0 {
		return ui.Hint(identity.Untrustedf("cannot approve %q: it has no publisher's signature that counts", o.file),
			"fxctl bundle verify %s --explain", o.file)
	}
	key := identity.Fingerprint(reviewer.leaf.RawSubjectPublicKeyInfo)
	for _, s := range releases {
		if s.Name == reviewer.id.Name || s.KeySHA256 == key {
			return ui.Hint(identity.Untrustedf("cannot approve %q as %s: the same person published it", o.file, reviewer.id.Name),
				"another reviewer must sign: fxctl bundle approve %s --as REVIEWER", o.file)
		}
	}
	return nil
}

// ask shows the summary and has the decision confirmed. No question is asked
// without the summary, not even with --quiet.
func (o bundleApproveOptions) ask(ctx context.Context, console *ui.Console, report *inspect.Report, review approval.Review) error {
	if !o.yes || !console.Quiet {
		if err := report.Summary(console.Err); err != nil {
			return fmt.Errorf("cannot show the summary: %v", err)
		}
	}
	if text := o.scope.text(); text != "" && (!o.yes || !console.Quiet) {
		if _, err := fmt.Fprintf(console.Err, "\nTHE APPROVAL\n%s", text); err != nil {
			return fmt.Errorf("cannot show the summary: %v", err)
		}
	}
	if o.yes {
		return nil
	}
	word, effect := strings.ToLower(o.decision), "which blocks these bytes for good"
	if review.ValidUntil != "" {
		effect = "valid until " + review.ValidUntil
	}
	if _, err := fmt.Fprintln(console.Err); err != nil {
		return fmt.Errorf("cannot show the summary: %v", err)
	}
	question := fmt.Sprintf("Type %q to sign this decision about %s %s as reviewer %s, %s:", word, report.Name, report.Version, o.as, effect)
	answer, err := ask(ctx, console, console.Ask, question, "--yes")
	if err != nil {
		return err
	}
	if answer != word {
		return fmt.Errorf("nothing was signed: the answer was not %q", word)
	}
	return nil
}

func (o bundleApproveOptions) review(report *inspect.Report, policy approval.Policy, now time.Time) approval.Review {
	r := approval.Review{
		Decision: o.decision, ReviewedAt: approval.Time(now), ReportSHA256: report.FactsSHA256,
		PolicySHA256: policy.Digest(), Comment: o.comment, Baseline: o.scope.baseline,
	}
	if o.decision == approval.Approved {
		r.ValidFrom, r.ValidUntil = approval.Time(now), approval.Time(now.AddDate(0, 0, o.days))
		r.Accepted, r.Sites = slices.Clone(o.scope.accept), slices.Clone(o.scope.sites)
		r.SortScope()
	}
	return r
}

// signReview adds the review to the sidecar file, which is read again first: it
// may have got another signature while this reviewer was reading. Reviewers who
// sign at the same moment wait for each other, so that no line is lost.
func signReview(checked *bundle.Checked, s *signer, review approval.Review, path string) (*approval.Sidecar, error) {
	subject, err := subjectOf(checked)
	if err != nil {
		return nil, err
	}
	attestation, err := approval.SignReview(s.key, s.leaf, subject, review)
	if err != nil {
		return nil, err
	}
	unlock, err := lockSidecar(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	sidecar, err := approval.ReadSidecar(path)
	if err != nil {
		return nil, err
	}
	if sidecar, err = sidecar.Add(attestation); err != nil {
		return nil, err
	}
	return sidecar, sidecar.Write(path)
}

// lockSidecar lets one process at a time add to a sidecar. The sidecar itself is
// replaced by each and cannot be locked, so a file beside it is, which is there
// only meanwhile.
func lockSidecar(path string) (unlock func(), err error) {
	name := path + ".lock"
	for {
		f, err := lockedfile.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("cannot lock the signatures: %w", err)
		}
		held, err := f.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot lock the signatures: %w", err), f.Close())
		}
		if there, err := os.Stat(name); err == nil && os.SameFile(held, there) {
			return func() { _, _ = os.Remove(name), f.Close() }, nil
		}
		_ = f.Close() // who had it before has removed it
	}
}

// Text is the result for people.
func (r *bundleApproveResult) Text(w io.Writer) error {
	until := ""
	if r.ValidUntil != "" {
		until = ", valid until " + r.ValidUntil
	}
	_, err := fmt.Fprintf(w, "%s: %s by reviewer %s%s\n%s\nbundle id  %s\n",
		ui.Clean(r.File), r.Decision, r.Reviewer, until, ui.Clean(r.Verdict), r.BundleID)
	return err
}
