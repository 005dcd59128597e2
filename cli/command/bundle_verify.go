package command

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect"
	"fx/cli/ui"
)

func bundleVerify() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "say whether a bundle may run here: signatures, policy and every byte",
		ArgsUsage: "FILE",
		Description: `Exits with 0 if it may, with 4 if it is not approved, with 3 if it is
damaged. Examples:
   fxctl bundle verify ward.fxb
   fxctl bundle verify ward.fxb --policy site.yaml --explain
   fxctl bundle verify ward.fxb --site hospital-a --at 2026-12-31 --json`,
		Flags: []cli.Flag{
			policyFlag(), siteFlag(), atFlag(),
			&cli.BoolFlag{Name: "explain", Usage: "show every rule and signature, and why it holds or counts"},
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			at, err := judgedTime(c)
			if err != nil {
				return nil, err
			}
			r, err := runBundleVerify(c, bundleVerifyOptions{
				file: args[0], certDir: c.String("cert-dir"), policy: c.String("policy"), site: c.String("site"), at: at, explain: c.Bool("explain"),
			})
			return r, hinted(err, args[0])
		}),
	}
}

type bundleVerifyOptions struct {
	file, certDir, policy, site string
	at                          time.Time
	explain                     bool
}

type bundleVerifyResult struct {
	File     string             `json:"file"`
	BundleID string             `json:"bundle_id"`
	Name     string             `json:"name"`
	Version  string             `json:"version"`
	Verified bool               `json:"verified"`        // approved, and every byte in order
	Cause    bundle.Cause       `json:"cause,omitempty"` // of damage that was found behind the manifest
	Decision *approval.Decision `json:"decision"`

	explain bool
}

func runBundleVerify(c *cli.Context, o bundleVerifyOptions) (r *bundleVerifyResult, err error) {
	judges, err := newJudges(o.file, o.certDir, o.policy, true)
	if err != nil {
		return nil, err
	}
	judges.policy = judges.policy.ForSite(o.site)
	b, err := bundle.OpenFile(o.file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r = &bundleVerifyResult{
		File: o.file, BundleID: b.ID().String(), Name: b.Name(), Version: b.Version(),
		Decision: judges.decide(b, o.at), explain: o.explain,
	}
	if _, err := b.Verify(c.Context, judges.anchors, judges.policy, judges.sidecar, o.at); err != nil {
		if f, ok := errors.AsType[*bundle.Fault](err); ok {
			r.Cause = f.Cause
		}
		return r, fmt.Errorf("cannot trust bundle %q: %w", o.file, err)
	}
	r.Verified = true
	return r, nil
}

// Text is the result for people; without --explain a refusal is the error's to
// say.
func (r *bundleVerifyResult) Text(w io.Writer) error {
	var b strings.Builder
	if r.Verified {
		fmt.Fprintf(&b, "%s: %s %s is verified: every byte is in order\n%s\nbundle id  %s\n",
			r.File, r.Name, r.Version, inspect.Verdict(r.Decision), r.BundleID)
	}
	if r.explain {
		r.rules(&b)
	}
	_, err := io.WriteString(w, ui.Clean(b.String()))
	return err
}

func (r *bundleVerifyResult) rules(b *strings.Builder) {
	yes := map[bool]string{true: "holds", false: "FAILS"}
	fmt.Fprintf(b, "policy %s, judged at %s\n", r.Decision.Policy, r.Decision.JudgedAt.Format(time.RFC3339))
	for _, rule := range r.Decision.Rules {
		fmt.Fprintf(b, "  %s  %s: %s; %s\n", yes[rule.Holds], rule.ID, rule.Asks, rule.Reason)
	}
	fmt.Fprintf(b, "signatures\n")
	for _, s := range r.Decision.Signatures {
		counts := "counts"
		if !s.Counts {
			counts = "DOES NOT COUNT"
		}
		fmt.Fprintf(b, "  %s  line %d: %s; %s\n", counts, s.Line, inspect.Says(s), s.Reason)
		if len(s.Sites) > 0 {
			fmt.Fprintf(b, "    for the sites %s alone\n", strings.Join(s.Sites, ", "))
		}
		if s.Baseline != "" {
			fmt.Fprintf(b, "    compared with bundle %s\n", s.Baseline)
		}
		for _, a := range s.Accepted {
			fmt.Fprintf(b, "    accepts %s@%s: %s\n", a.Rule, a.Fingerprint, oneLine(a.Reason))
		}
	}
	if len(r.Decision.Signatures) == 0 {
		fmt.Fprintf(b, "  none in %s\n", approval.SidecarPath(r.File))
	}
}
