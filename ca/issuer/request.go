package issuer

import (
	"crypto/x509"
	"encoding/asn1"

	"fx/ca/identity"
)

// Limits of a request beside [identity.MaxRequest].
const (
	maxSANs       = 16
	maxAttributes = 32
)

// Request is a certificate signing request that could be read. Reading is not
// judging: see [CA.Review].
type Request struct {
	CSR         *x509.CertificateRequest
	Fingerprint string // SHA-256 of the DER, 64 hexadecimal digits
	OpenFL      string // SHA-384 of the PEM text, 96 hexadecimal digits

	attributes []asn1.ObjectIdentifier
	names      []generalName
}

// ParseRequest reads a PEM request of at most 64 KiB: one block, no headers,
// nothing after it; or the zip archive in which OpenFL sends one. Errors are
// [Refusals].
func ParseRequest(data []byte) (*Request, error) {
	if IsZip(data) {
		return parseZipRequest(data)
	}
	var no Refusals
	if len(data) > identity.MaxRequest {
		no.add("csr-size", "the request has %d bytes; at most %d are allowed", len(data), identity.MaxRequest)
		return nil, no
	}
	blocks, err := identity.ParsePEM(data, 1)
	if err != nil {
		no.add("csr-pem", "the request is not one clean PEM block: %v", err)
		return nil, no
	}
	if t := blocks[0].Type; t != "CERTIFICATE REQUEST" && t != "NEW CERTIFICATE REQUEST" {
		no.add("csr-pem", "the PEM block is %q, not a certificate request", t)
		return nil, no
	}
	csr, err := x509.ParseCertificateRequest(blocks[0].Bytes)
	if err != nil {
		no.add("csr-parse", "the request cannot be read: %v", err)
		return nil, no
	}
	r := &Request{CSR: csr, Fingerprint: identity.Fingerprint(blocks[0].Bytes), OpenFL: identity.OpenFLFingerprint(data)}
	if r.attributes, err = requestAttributes(csr.RawTBSCertificateRequest); err != nil {
		no.add("csr-parse", "the attributes of the request cannot be read: %v", err)
	} else if len(r.attributes) > maxAttributes {
		no.add("csr-attributes", "the request has %d attributes; at most %d are allowed", len(r.attributes), maxAttributes)
	}
	for _, e := range csr.Extensions {
		if !e.Id.Equal(identity.OIDSubjectAltName) {
			continue
		}
		if r.names, err = parseNames(e.Value); err != nil {
			no.add("csr-parse", "the subject alternative names cannot be read: %v", err)
		}
	}
	if len(r.names) > maxSANs {
		no.add("csr-sans", "the request has %d subject alternative names; at most %d are allowed", len(r.names), maxSANs)
	}
	if err := no.err(); err != nil {
		return nil, err
	}
	return r, nil
}

// requestAttributes lists the attributes of a CertificationRequestInfo (RFC
// 2986 section 4.1); the standard library hides all but the extensions.
func requestAttributes(tbs []byte) ([]asn1.ObjectIdentifier, error) {
	var info struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []struct {
			ID     asn1.ObjectIdentifier
			Values asn1.RawValue
		} `asn1:"tag:0,set"`
	}
	rest, err := asn1.Unmarshal(tbs, &info)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, identity.Invalidf("%d bytes follow", len(rest))
	}
	ids := make([]asn1.ObjectIdentifier, len(info.Attributes))
	for i, a := range info.Attributes {
		ids[i] = a.ID
	}
	return ids, nil
}

// generalName is one subject alternative name (RFC 5280 section 4.2.1.6).
type generalName struct {
	tag   int
	value []byte
}

// Tags of the names that have a meaning here.
const (
	tagEmail = 1
	tagDNS   = 2
	tagURI   = 6
	tagIP    = 7
)

var nameKinds = map[int]string{
	0: "other name", tagEmail: "e-mail address", 3: "X.400 address", 4: "directory name", 5: "EDI party name", 8: "registered identifier",
}

// parseNames lists all names, also those of kinds that the standard library
// drops without a word.
func parseNames(der []byte) ([]generalName, error) {
	var raw []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &raw)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, identity.Invalidf("%d bytes follow", len(rest))
	}
	names := make([]generalName, len(raw))
	for i, r := range raw {
		if r.Class != asn1.ClassContextSpecific {
			return nil, identity.Invalidf("name %d is of no known kind", i+1)
		}
		names[i] = generalName{tag: r.Tag, value: r.Bytes}
	}
	return names, nil
}
