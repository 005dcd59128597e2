package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

// MaxPolicy is the largest policy file in bytes.
const MaxPolicy = 64 << 10

// Policy is what a site asks for before it runs a bundle. The zero value is the
// built-in policy: one publisher and one reviewer who is not the publisher.
//
// Some rules have no setting, because no site may do without them: every policy
// asks for a publisher and a reviewer, nobody's review of their own bundle
// counts, and a rejection by any trusted reviewer blocks.
type Policy struct {
	name    string // of the file, "" for the built-in policy
	digest  string // SHA-256 of the file
	require []requirement
	deny    []string // bundle ids
	limits  limits
	site    string // at which the policy judges, for approvals that are limited to sites

	grace        time.Duration // for revocation lists past their next update
	listRequired bool          // a revocation list must be there
}

// requirement is so many different signers of a role.
type requirement struct {
	role   identity.Role
	min    int
	maxAge time.Duration // 0: any
	names  []string      // whose signatures count; none: everyone's
}

type limits struct {
	bundleBytes int64 // 0: any
	files       int   // 0: any
	asciiPaths  bool
}

// policyFile is the document as it is written.
type policyFile struct {
	Version int `yaml:"version"`
	Require []struct {
		Role   string   `yaml:"role"`
		Min    int      `yaml:"min"`
		MaxAge string   `yaml:"maxAge"`
		Names  []string `yaml:"names"`
	} `yaml:"require"`
	Separation [][]string `yaml:"separation"`
	Deny       []string   `yaml:"deny"`
	Limits     struct {
		BundleBytes   string `yaml:"bundleBytes"`
		Files         int    `yaml:"files"`
		NonASCIIPaths string `yaml:"nonAsciiPaths"`
	} `yaml:"limits"`
	Revocation struct {
		GraceDays int    `yaml:"graceDays"`
		List      string `yaml:"list"`
	} `yaml:"revocation"`
	Site string `yaml:"site"`
}

var builtin = []requirement{{role: identity.Publisher, min: 1}, {role: identity.Reviewer, min: 1}}

// ReadPolicy reads a policy file of at most 64 KiB.
func ReadPolicy(path string) (Policy, error) {
	data, err := identity.ReadFile(path, MaxPolicy)
	if err != nil {
		return Policy{}, err
	}
	return ParsePolicy(path, data)
}

// ParsePolicy reads a policy document; name is for messages. Only settings that
// are enforced exist, everything else is an unknown field. Errors wrap
// schema.ErrInvalid.
func ParsePolicy(name string, data []byte) (Policy, error) {
	var f policyFile
	if err := schema.DecodeYAML(name, data, MaxPolicy, &f); err != nil {
		return Policy{}, err
	}
	sum := sha256.Sum256(data)
	p := Policy{name: name, digest: hex.EncodeToString(sum[:])}
	if err := p.take(f); err != nil {
		return Policy{}, fmt.Errorf("cannot use policy %q: %w", name, err)
	}
	return p, nil
}

func (p *Policy) take(f policyFile) error {
	if f.Version != 1 {
		return invalid("version is %d, want 1", f.Version)
	}
	if len(f.Require) > 16 {
		return invalid("require has %d entries, allowed are 16", len(f.Require))
	}
	for i, r := range f.Require {
		q := requirement{role: identity.Role(r.Role), min: r.Min, names: r.Names}
		if !q.role.Signs() {
			return invalid("require[%d].role is %q, allowed are publisher and reviewer", i, r.Role)
		}
		if q.min < 1 || q.min > 16 {
			return invalid("require[%d].min is %d, allowed are 1 to 16", i, r.Min)
		}
		for _, n := range r.Names {
			if err := identity.CheckName(q.role, n); err != nil {
				return invalid("require[%d].names: %v", i, err)
			}
		}
		var err error
		if q.maxAge, err = parseAge(r.MaxAge); err != nil {
			return invalid("require[%d].maxAge: %v", i, err)
		}
		p.require = append(p.require, q)
	}
	for _, b := range builtin {
		if !slices.ContainsFunc(p.require, func(q requirement) bool { return q.role == b.role }) {
			return invalid("require has no entry for role %s; a bundle needs a publisher and a reviewer", b.role)
		}
	}
	for i, s := range f.Separation {
		if slices.Sort(s); !slices.Equal(s, []string{"publisher", "reviewer"}) {
			return invalid("separation[%d] is %q, allowed is [publisher, reviewer], which always holds", i, s)
		}
	}
	for i, d := range f.Deny {
		if !isDigest(d) {
			return invalid("deny[%d] is %q, want a bundle id of 64 lower-case hexadecimal digits", i, d)
		}
	}
	p.deny = f.Deny
	if err := p.takeLimits(f); err != nil {
		return err
	}
	return p.takeRevocation(f)
}

// maxGrace is how many days a revocation list may be late at most: a list that
// nobody has renewed for a quarter is no longer looked after.
const maxGrace = 90

func (p *Policy) takeRevocation(f policyFile) error {
	if n := f.Revocation.GraceDays; n < 0 || n > maxGrace {
		return invalid("revocation.graceDays is %d, allowed are 0 to %d", n, maxGrace)
	}
	p.grace = time.Duration(f.Revocation.GraceDays) * 24 * time.Hour
	switch f.Revocation.List {
	case "", "optional":
	case "required":
		p.listRequired = true
	default:
		return invalid("revocation.list is %q, allowed are optional and required", f.Revocation.List)
	}
	if f.Site != "" {
		if err := identity.CheckName(identity.Collaborator, f.Site); err != nil {
			return invalid("site: %v", err)
		}
	}
	p.site = f.Site
	return nil
}

// ForSite returns the policy as the named site has it, for approvals that are
// limited to sites. A policy file that names another site wins, because it is
// the site's own; an empty name changes nothing.
func (p Policy) ForSite(name string) Policy {
	if p.site == "" {
		p.site = name
	}
	return p
}

func (p *Policy) takeLimits(f policyFile) (err error) {
	if p.limits.bundleBytes, err = parseBytes(f.Limits.BundleBytes); err != nil {
		return invalid("limits.bundleBytes: %v", err)
	}
	if p.limits.files = f.Limits.Files; p.limits.files < 0 {
		return invalid("limits.files is %d, want 1 or more", f.Limits.Files)
	}
	switch f.Limits.NonASCIIPaths {
	case "", "allow":
	case "deny":
		p.limits.asciiPaths = true
	default:
		return invalid("limits.nonAsciiPaths is %q, allowed are allow and deny", f.Limits.NonASCIIPaths)
	}
	return nil
}

// Name returns the policy's file name, "built-in" if it is not from a file.
func (p Policy) Name() string {
	if p.name == "" {
		return "built-in"
	}
	return p.name
}

// Digest returns the SHA-256 of the policy file in hexadecimal, "" for the
// built-in policy.
func (p Policy) Digest() string { return p.digest }

func (p Policy) requirements() []requirement {
	if len(p.require) == 0 {
		return builtin
	}
	return p.require
}

// parseAge reads a duration in whole days or hours: "365d", "12h".
func parseAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	units := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour}
	n, err := strconv.Atoi(s[:len(s)-1])
	unit := units[s[len(s)-1]]
	if err != nil || unit == 0 || n < 1 || n > 100_000 {
		return 0, fmt.Errorf("found %q, want days or hours such as 365d or 12h", s)
	}
	return time.Duration(n) * unit, nil
}

// parseBytes reads a size: "20GiB", "500MiB", "64KiB" or a number of bytes.
func parseBytes(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	number, unit := s, int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			number, unit = n, u
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("found %q, want a size such as 20GiB", s)
	}
	return n * unit, nil
}
