package identity

import (
	"net/netip"
	"slices"
	"strings"
)

// maxName is the longest common name and organization name that RFC 5280
// (appendix A.1, ub-common-name) allows.
const maxName = 64

// tagWords are names that a collaborator may not have: OpenFL puts the name
// beside these words into one set of tags.
var tagWords = []string{
	"aggregated", "analytics", "compressed", "delta", "lossy_compressed", "lossy_decompressed",
	"metric", "model", "secagg", "trained", "validate_agg", "validate_local",
}

// CheckFederation says what is wrong with a federation's name: it must be a
// host name of at least two labels, lower case, at most 64 characters.
func CheckFederation(name string) error {
	if err := checkHost(name); err != nil {
		return Invalidf("the federation name %q %w", name, err)
	}
	if !strings.Contains(name, ".") {
		return Invalidf("the federation name %q is a single label; a fully qualified domain name such as fed.example.org is needed", name)
	}
	return nil
}

// CheckName says what is wrong with a participant's name. An aggregator's name
// is its host name or IP address; all others have a bare name of 1 to 63
// characters a-z, 0-9 and hyphens, which neither begins nor ends with a hyphen.
func CheckName(r Role, name string) error {
	if r == Aggregator {
		if _, ok := ParseIP(name); ok {
			return nil
		}
		if err := CheckHost(name); err != nil {
			return Invalidf("the aggregator name %w", err)
		}
		return nil
	}
	if err := checkLabel(name); err != nil {
		return Invalidf("the %s name %q %w", r, name, err)
	}
	if r == Collaborator && slices.Contains(tagWords, name) {
		return Invalidf("the collaborator name %q is a word that OpenFL's protocol reserves for tensor tags; choose another", name)
	}
	if r == Collaborator && strings.Contains(name, "aggregator") {
		// OpenFL tells tensors of the aggregator from a collaborator's by this word.
		return Invalidf("the collaborator name %q contains %q, by which OpenFL's protocol recognizes aggregators; choose another", name, "aggregator")
	}
	return nil
}

// CheckHost says what is wrong with a DNS name for a certificate: a fully
// qualified name in lower case, or localhost. Wildcards, underscores, trailing
// dots and what looks like an IP address are refused.
func CheckHost(name string) error {
	if err := checkHost(name); err != nil {
		return Invalidf("%q %w", name, err)
	}
	if !strings.Contains(name, ".") && name != "localhost" {
		return Invalidf("%q is a single label; a fully qualified domain name is needed (or localhost)", name)
	}
	return nil
}

// ParseIP reads an IP address in its one canonical spelling, without a zone.
func ParseIP(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == "" && !a.Is4In6() && a.String() == s
}

func checkHost(name string) error {
	if len(name) > maxName {
		return Invalidf("is %d characters long; at most %d are allowed", len(name), maxName)
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if err := checkLabel(l); err != nil {
			return err
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return Invalidf("looks like an IP address")
	}
	return nil
}

// checkLabel accepts what RFC 1123 section 2.1 allows in a label, in lower case.
func checkLabel(l string) error {
	switch {
	case l == "":
		return Invalidf("has an empty part")
	case len(l) > 63:
		return Invalidf("has a part of %d characters; at most 63 are allowed", len(l))
	case l[0] == '-' || l[len(l)-1] == '-':
		return Invalidf("has a part that begins or ends with a hyphen")
	}
	for _, c := range l {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return Invalidf("contains %q; allowed are a-z, 0-9 and hyphens", c)
		}
	}
	return nil
}
