package command

import (
	"fmt"
	"slices"
	"strings"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect"
	"fx/ca/identity"
	"fx/cli/ui"
	"fx/schema"
)

// maxAcceptFile bounds --accept-file: room for MaxAccepted findings with long
// reasons.
const maxAcceptFile = 4 << 20

// scope is what an approval says beyond yes: which findings it takes, where it
// counts, and what the bundle was compared with.
type scope struct {
	accept   []approval.Accepted
	sites    []string
	baseline string // bundle id
}

// newScope reads --accept, --accept-file, --for-site and --baseline.
func newScope(accept []string, acceptFile string, sites []string, baseline string) (s scope, err error) {
	for _, text := range accept {
		a, err := parseAccepted(text)
		if err != nil {
			return s, ui.Usagef("--accept: %v", err)
		}
		s.accept = append(s.accept, a)
	}
	if acceptFile != "" {
		data, err := identity.ReadFile(acceptFile, maxAcceptFile)
		if err != nil {
			return s, err
		}
		for n, line := range strings.Split(string(data), "\n") {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			a, err := parseAccepted(line)
			if err != nil {
				return s, fmt.Errorf("%w: %s:%d: %v", schema.ErrInvalid, acceptFile, n+1, err)
			}
			s.accept = append(s.accept, a)
		}
	}
	for _, site := range sites {
		if err := identity.CheckName(identity.Collaborator, site); err != nil {
			return s, ui.Usagef("--for-site: %v", err)
		}
	}
	s.sites = sites
	s.baseline, err = bundleID(baseline)
	return s, err
}

// parseAccepted reads RULE@FINGERPRINT=REASON.
func parseAccepted(text string) (approval.Accepted, error) {
	finding, reason, ok := strings.Cut(text, "=")
	rule, fingerprint, at := strings.Cut(finding, "@")
	if reason = strings.TrimSpace(reason); !ok || !at || rule == "" || fingerprint == "" || reason == "" {
		return approval.Accepted{}, fmt.Errorf("found %q, want RULE@FINGERPRINT=REASON", text)
	}
	return approval.Accepted{Rule: rule, Fingerprint: fingerprint, Reason: reason}, nil
}

// bundleID is the id of --baseline: 64 digits, or a bundle's file, of which only
// the head is read.
func bundleID(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if id, err := bundle.ParseID(text); err == nil {
		return id.String(), nil
	}
	b, err := bundle.OpenFile(text)
	if err != nil {
		return "", fmt.Errorf("cannot use --baseline, which is neither a bundle id of 64 digits nor a bundle: %w", err)
	}
	return b.ID().String(), b.Close()
}

// known refuses to accept what the report does not find: such an acceptance
// would stand there for whatever is found later.
func (s scope) known(file string, report *inspect.Report) error {
	var all []string
	for _, f := range report.All() {
		all = append(all, f.Rule+"@"+f.Fingerprint)
	}
	for _, a := range s.accept {
		if finding := a.Rule + "@" + a.Fingerprint; !slices.Contains(all, finding) {
			found := "it has none"
			if len(all) > 0 {
				found = "it has " + strings.Join(all[:min(len(all), 20)], ", ")
			}
			return fmt.Errorf("%w: cannot accept %q: the report on %q has no such finding; %s", schema.ErrInvalid, finding, file, found)
		}
	}
	return nil
}

// text shows what will be signed beyond the decision.
func (s scope) text() string {
	var b strings.Builder
	for _, a := range s.accept {
		fmt.Fprintf(&b, "accepts    %s@%s: %s\n", a.Rule, a.Fingerprint, oneLine(a.Reason))
	}
	if len(s.sites) > 0 {
		fmt.Fprintf(&b, "for sites  %s alone\n", strings.Join(s.sites, ", "))
	}
	if s.baseline != "" {
		fmt.Fprintf(&b, "compared   with bundle %s\n", s.baseline)
	}
	return ui.Clean(b.String())
}

// oneLine keeps a text from forging a line of its own.
func oneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(ui.Clean(s))
}
