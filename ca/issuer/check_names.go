package issuer

import (
	"encoding/asn1"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fx/ca/identity"
)

var (
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidEmail      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
)

// names is what is left of a request's names once they were judged.
type names struct {
	dns     []string
	ips     []netip.Addr
	ignored []string
}

// checkNames requires that everything in the request that is a name agrees with
// the approved identity and is allowed by the profile and the federation.
func checkNames(req *Request, id identity.Identity, s *State, no *Refusals) names {
	var n names
	checkSubject(req, id, no, &n)
	if err := identity.CheckName(id.Role, id.Name); err != nil {
		no.add("name-invalid", "%v", err)
		return n
	}
	seen := map[string]bool{}
	for _, g := range req.names {
		key := fmt.Sprint(g.tag, strings.ToLower(string(g.value)))
		if seen[key] {
			no.add("san-duplicate", "the request has the name %q twice", g.value)
			continue
		}
		seen[key] = true
		n.addName(g, id, no)
	}
	if id.Role == identity.Aggregator {
		n.checkAggregator(id.Name, s, no)
	}
	return n
}

func checkSubject(req *Request, id identity.Identity, no *Refusals, n *names) {
	var cns []string
	for _, a := range req.CSR.Subject.Names {
		value := fmt.Sprint(a.Value)
		switch {
		case a.Type.Equal(oidCommonName):
			cns = append(cns, value)
		case a.Type.Equal(oidEmail):
			no.add("san-email", "the request has the e-mail address %q; no certificate has one", value)
		default:
			n.ignored = append(n.ignored, fmt.Sprintf("subject attribute %s %q", a.Type, value))
		}
	}
	switch {
	case len(cns) != 1:
		no.add("name-common-name", "the request has %d common names; exactly one is needed", len(cns))
	case cns[0] != id.Name:
		no.add("name-mismatch", "the request is for the name %q, not %q", cns[0], id.Name)
	}
}

// addName judges one subject alternative name. Only an aggregator gets host
// names and addresses; a DNS name that merely repeats the name is what OpenFL
// puts into every request.
func (n *names) addName(g generalName, id identity.Identity, no *Refusals) {
	aggregator := id.Role == identity.Aggregator
	switch g.tag {
	case tagDNS:
		name := string(g.value)
		switch {
		case aggregator:
			if err := identity.CheckHost(name); err != nil {
				no.add("san-dns", "the DNS name %v", err)
			}
			n.dns = append(n.dns, name)
		case name == id.Name:
			n.ignored = append(n.ignored, fmt.Sprintf("DNS name %q", name))
		default:
			no.add("san-dns", "the request has the DNS name %q; a %s has none", name, id.Role)
		}
	case tagIP:
		a, ok := netip.AddrFromSlice(g.value)
		switch {
		case !ok || a.Is4In6() || a.IsUnspecified() || a.IsMulticast():
			no.add("san-ip", "the request has the address %x, which no host can have", g.value)
		case !aggregator:
			no.add("san-ip", "the request has the address %s; a %s has none", a, id.Role)
		default:
			n.ips = append(n.ips, a)
		}
	case tagURI:
		if uri := string(g.value); uri != id.URI() {
			no.add("san-uri", "the request has the URI %q; the certificate would have %q", uri, id.URI())
		}
	case tagEmail:
		no.add("san-email", "the request has the e-mail address %q; no certificate has one", g.value)
	default:
		kind, ok := nameKinds[g.tag]
		if !ok {
			kind = fmt.Sprintf("name of kind %d", g.tag)
		}
		no.add("san-other", "the request has the subject alternative name %q of the kind %s; no certificate has one", g.value, kind)
	}
}

// checkAggregator completes the names by the common name and compares them with
// the federation's domains and address ranges.
func (n *names) checkAggregator(name string, s *State, no *Refusals) {
	if ip, ok := identity.ParseIP(name); ok {
		if len(n.dns)+len(n.ips) == 0 {
			n.ips = []netip.Addr{ip}
		} else if !slices.Contains(n.ips, ip) {
			no.add("name-mismatch", "the name %q is not among the addresses of the request", name)
		}
	} else {
		if len(n.dns)+len(n.ips) == 0 {
			n.dns = []string{name}
		} else if !slices.Contains(n.dns, name) {
			no.add("name-mismatch", "the name %q is not among the DNS names of the request", name)
		}
		// The common name is the first DNS name, whatever order was asked for.
		n.dns = append([]string{name}, slices.DeleteFunc(n.dns, func(d string) bool { return d == name })...)
	}
	if len(s.Domains)+len(s.IPRanges) == 0 {
		return
	}
	for _, d := range n.dns {
		if len(s.Domains) > 0 && !slices.ContainsFunc(s.Domains, func(dom string) bool { return d == dom || strings.HasSuffix(d, "."+dom) }) {
			no.add("san-domain", "the DNS name %q is in none of the federation's domains: %s", d, strings.Join(s.Domains, ", "))
		}
	}
	for _, ip := range n.ips {
		if !inRanges(ip, s.IPRanges) {
			no.add("san-domain", "the address %s is in none of the federation's address ranges", ip)
		}
	}
	if len(s.Domains) > 0 && len(n.dns) == 0 {
		// OpenSSL applies the CA's DNS constraints to such a common name.
		no.add("san-domain", "an aggregator of this CA needs a DNS name in the federation's domains: %s", strings.Join(s.Domains, ", "))
	}
}
