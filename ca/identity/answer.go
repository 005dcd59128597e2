package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
)

// Answer is what a CA hands back for a request, in one PEM file: the
// participant's certificate first, then the federation's CA certificates, then
// revocation lists, if there are any.
type Answer struct {
	Leaf    *x509.Certificate
	Roots   []*x509.Certificate // self-signed
	Links   []*x509.Certificate // of a root's key, signed by its neighbour; in no chain file
	Network []*x509.Certificate // CAs of TLS identities
	Signing []*x509.Certificate // CAs of publishers and reviewers
	CRLs    []*x509.RevocationList
}

const crlBlock = "X509 CRL"

// ParseAnswer reads an answer of at most 16 MiB. It sorts the certificates by
// what they say; nothing is verified. Errors wrap [ErrInvalid].
func ParseAnswer(data []byte) (*Answer, error) { return parseAnswer(data, true) }

// ParseUpdate reads an answer without a participant's certificate: what a CA
// sends to everybody after a revocation or a rotation.
func ParseUpdate(data []byte) (*Answer, error) { return parseAnswer(data, false) }

func parseAnswer(data []byte, leaf bool) (*Answer, error) {
	if len(data) > MaxCRL {
		return nil, Invalidf("more than %d bytes of answer", MaxCRL)
	}
	blocks, err := ParsePEM(data, maxCertificateNo)
	if err != nil {
		return nil, err
	}
	a := &Answer{}
	for i, b := range blocks {
		switch {
		case b.Type == crlBlock && (a.Leaf != nil || !leaf && len(a.Roots) > 0):
			crl, err := x509.ParseRevocationList(b.Bytes)
			if err != nil {
				return nil, Invalidf("revocation list in PEM block %d: %v", i+1, err)
			}
			a.CRLs = append(a.CRLs, crl)
		case b.Type == "CERTIFICATE":
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, Invalidf("certificate in PEM block %d: %v", i+1, err)
			}
			if err := a.add(c, leaf); err != nil {
				return nil, err
			}
		default:
			return nil, Invalidf("PEM block %d is %q; an answer has certificates, then revocation lists", i+1, b.Type)
		}
	}
	a.sortLinks()
	if len(a.Roots) == 0 || len(a.Network) == 0 || len(a.Signing) == 0 {
		return nil, Invalidf("an answer has a root, a network CA and a signing CA; found %d, %d and %d", len(a.Roots), len(a.Network), len(a.Signing))
	}
	return a, nil
}

func (a *Answer) add(c *x509.Certificate, leaf bool) error {
	switch {
	case leaf && a.Leaf == nil && !c.IsCA:
		a.Leaf = c
	case leaf && a.Leaf == nil:
		return Invalidf("the first certificate of an answer is the participant's; found the CA %q", c.Subject)
	case len(a.CRLs) > 0:
		return Invalidf("the certificate %q follows a revocation list", c.Subject)
	case !c.IsCA:
		return Invalidf("the participant's certificate %q is one too many", c.Subject)
	case bytes.Equal(c.RawSubject, c.RawIssuer):
		a.Roots = append(a.Roots, c)
	case slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		a.Signing = append(a.Signing, c)
	default:
		a.Network = append(a.Network, c)
	}
	return nil
}

// sortLinks tells links from network CAs: a link is about a root's key.
func (a *Answer) sortLinks() {
	isLink := func(c *x509.Certificate) bool {
		return slices.ContainsFunc(a.Roots, func(r *x509.Certificate) bool {
			return bytes.Equal(r.RawSubject, c.RawSubject) && bytes.Equal(r.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo)
		})
	}
	for _, c := range a.Network {
		if isLink(c) {
			a.Links = append(a.Links, c)
		}
	}
	a.Network = slices.DeleteFunc(a.Network, isLink)
}

// Encode writes what [ParseAnswer] reads.
func (a *Answer) Encode() []byte {
	var certs []*x509.Certificate
	if a.Leaf != nil {
		certs = append(certs, a.Leaf)
	}
	certs = slices.Concat(certs, a.Roots, a.Links, a.Network, a.Signing)
	return append(EncodeCertificates(certs...), EncodeCRLs(a.CRLs...)...)
}

// NetworkChain is the content of [ChainFile]: roots, then network CAs.
func (a *Answer) NetworkChain() []*x509.Certificate { return slices.Concat(a.Roots, a.Network) }

// SigningChain is the content of [SigningChainFile]: roots, then signing CAs.
func (a *Answer) SigningChain() []*x509.Certificate { return slices.Concat(a.Roots, a.Signing) }

// ParseCRLs reads one or more PEM revocation lists, at most 16 MiB.
func ParseCRLs(data []byte) ([]*x509.RevocationList, error) {
	if len(data) > MaxCRL {
		return nil, Invalidf("more than %d bytes of revocation lists", MaxCRL)
	}
	blocks, err := ParsePEM(data, maxCertificateNo)
	if err != nil {
		return nil, err
	}
	var crls []*x509.RevocationList
	for i, b := range blocks {
		if b.Type != crlBlock {
			return nil, Invalidf("PEM block %d is %q, not a revocation list", i+1, b.Type)
		}
		crl, err := x509.ParseRevocationList(b.Bytes)
		if err != nil {
			return nil, Invalidf("revocation list %d: %v", i+1, err)
		}
		crls = append(crls, crl)
	}
	return crls, nil
}

// EncodeCRLs writes what [ParseCRLs] reads.
func EncodeCRLs(crls ...*x509.RevocationList) []byte {
	var out []byte
	for _, c := range crls {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: crlBlock, Bytes: c.Raw})...)
	}
	return out
}
