package command

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/ca/trust"
)

// Kinds of things that inspection tells apart.
const (
	kindCertificate = "certificate"
	kindRequest     = "certificate request"
	kindKey         = "private key"
	kindLockedKey   = "encrypted private key"
	kindCRL         = "revocation list"
	kindOther       = "other file" // of an archive
)

// inspectItem is one thing in a file; fields that it has none of are left out.
type inspectItem struct {
	Kind        string     `json:"kind"`
	Subject     string     `json:"subject,omitempty"`
	Issuer      string     `json:"issuer,omitempty"`
	Serial      string     `json:"serial,omitempty"`
	CA          bool       `json:"ca,omitempty"`
	Identity    string     `json:"identity,omitempty"` // "collaborator hospital-a of fed.example.org"
	Note        string     `json:"note,omitempty"`     // why there is no identity
	Names       []string   `json:"names,omitempty"`
	Key         string     `json:"key,omitempty"`
	KeyUsage    []string   `json:"key_usage,omitempty"`
	Signature   string     `json:"signature,omitempty"`
	NotBefore   *time.Time `json:"not_before,omitempty"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
	Number      string     `json:"number,omitempty"`
	Revoked     *int       `json:"revoked,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"` // SHA-256 of the DER; of a key, of its public half (SubjectPublicKeyInfo)
	OpenFL      string     `json:"openfl_fingerprint,omitempty"`
	File        string     `json:"in,omitempty"` // file of an archive
	Findings    []string   `json:"findings,omitempty"`
}

func inspectBlock(kind string, der []byte) (inspectItem, error) {
	switch kind {
	case "CERTIFICATE":
		return parsed(x509.ParseCertificate, der, certificateItem)
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return parsed(x509.ParseCertificateRequest, der, requestItem)
	case "X509 CRL":
		return parsed(x509.ParseRevocationList, der, crlItem)
	case "ENCRYPTED PRIVATE KEY":
		return inspectItem{Kind: kindLockedKey}, nil
	case "PRIVATE KEY":
		return parsedKey(x509.ParsePKCS8PrivateKey, der)
	case "RSA PRIVATE KEY":
		return parsedKey(x509.ParsePKCS1PrivateKey, der)
	case "EC PRIVATE KEY":
		return parsedKey(x509.ParseECPrivateKey, der)
	}
	return inspectItem{}, identity.Invalidf("it is no certificate, request, private key or revocation list")
}

func parsed[T any](parse func([]byte) (T, error), der []byte, item func(T) inspectItem) (inspectItem, error) {
	v, err := parse(der)
	if err != nil {
		return inspectItem{}, identity.Invalidf("%v", err)
	}
	return item(v), nil
}

// parsedKey says nothing of an error's cause: it could quote bytes of the key.
func parsedKey[T any](parse func([]byte) (T, error), der []byte) (inspectItem, error) {
	k, err := parse(der)
	if err != nil {
		return inspectItem{}, identity.Invalidf("the private key is damaged or of a type that is not known")
	}
	return keyItem(k), nil
}

// inspectDER tries what DER can be; the kinds cannot be mistaken for each other.
func inspectDER(der []byte) (inspectItem, error) {
	for _, kind := range []string{"CERTIFICATE", "CERTIFICATE REQUEST", "X509 CRL", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"} {
		if item, err := inspectBlock(kind, der); err == nil {
			return item, nil
		}
	}
	return inspectItem{}, identity.Invalidf("it is neither PEM nor the DER of a certificate, request, private key or revocation list")
}

func certificateItem(c *x509.Certificate) inspectItem {
	i := inspectItem{
		Kind: kindCertificate, Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: serial(c.SerialNumber), CA: c.IsCA,
		Names: sans(c.DNSNames, c.IPAddresses, c.URIs, c.EmailAddresses), Key: identity.DescribeKey(c.PublicKey),
		KeyUsage: usages(c), Signature: c.SignatureAlgorithm.String(), NotBefore: &c.NotBefore, NotAfter: &c.NotAfter,
		Fingerprint: identity.Fingerprint(c.Raw),
	}
	switch id, err := identity.FromCertificate(c); {
	case c.IsCA && bytes.Equal(c.RawSubject, c.RawIssuer):
		i.Note = "a root CA"
	case c.IsCA:
		i.Note = "a subordinate CA"
	case err == nil:
		i.Identity = id.String()
	case trust.MadeByOpenFL(c):
		i.Note = "made by OpenFL or alike: no role is written in it; accepted only where OpenFL compatibility is asked for"
	default:
		i.Note = "no identity: " + err.Error()
	}
	i.Findings = issuer.Findings(c, time.Now())
	return i
}

func requestItem(r *x509.CertificateRequest) inspectItem {
	i := inspectItem{
		Kind: kindRequest, Subject: r.Subject.String(), Names: sans(r.DNSNames, r.IPAddresses, r.URIs, r.EmailAddresses),
		Key: identity.DescribeKey(r.PublicKey), Signature: r.SignatureAlgorithm.String(), Fingerprint: identity.Fingerprint(r.Raw),
	}
	if err := r.CheckSignature(); err != nil {
		i.Note = "the request is NOT signed by its own key"
	}
	req, err := issuer.ParseRequest(identity.EncodeRequest(r.Raw))
	if err == nil {
		err = noRefusals(issuer.RequestFindings(req, ""))
	}
	if no, ok := errors.AsType[issuer.Refusals](err); ok {
		for _, x := range no {
			i.Findings = append(i.Findings, x.Message+" ("+x.ID+")")
		}
	}
	return i
}

func keyItem(k any) inspectItem {
	signer, ok := k.(crypto.Signer)
	if !ok {
		return inspectItem{Kind: kindKey, Key: fmt.Sprintf("%T", k)}
	}
	i := inspectItem{Kind: kindKey, Key: identity.DescribeKey(signer.Public())}
	if der, err := x509.MarshalPKIXPublicKey(signer.Public()); err == nil {
		i.Fingerprint = identity.Fingerprint(der)
	}
	return i
}

func crlItem(l *x509.RevocationList) inspectItem {
	n := len(l.RevokedCertificateEntries)
	i := inspectItem{
		Kind: kindCRL, Issuer: l.Issuer.String(), Signature: l.SignatureAlgorithm.String(),
		NotBefore: &l.ThisUpdate, NotAfter: &l.NextUpdate, Revoked: &n, Fingerprint: identity.Fingerprint(l.Raw),
	}
	if l.Number != nil {
		i.Number = l.Number.String()
	}
	i.Findings = issuer.ListFindings(l, time.Now())
	return i
}

func noRefusals(no issuer.Refusals) error {
	if len(no) == 0 {
		return nil
	}
	return no
}

func sans(dns []string, ips []net.IP, uris []*url.URL, emails []string) (names []string) {
	for _, d := range dns {
		names = append(names, "DNS:"+d)
	}
	for _, a := range ips {
		names = append(names, "IP:"+a.String())
	}
	for _, u := range uris {
		names = append(names, "URI:"+u.String())
	}
	for _, e := range emails {
		names = append(names, "email:"+e)
	}
	return names
}

func usages(c *x509.Certificate) (names []string) {
	bits := []string{
		"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
		"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	}
	for i, name := range bits {
		if c.KeyUsage&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	for _, u := range c.ExtKeyUsage {
		names = append(names, u.String())
	}
	for _, u := range c.UnknownExtKeyUsage {
		names = append(names, u.String())
	}
	return names
}

func serial(n *big.Int) string { return hex.EncodeToString(n.Bytes()) }

// rows is the item for people.
func (i inspectItem) rows() [][]string {
	rows := [][]string{{i.Kind, i.File}}
	add := func(label, value string) {
		if value != "" {
			rows = append(rows, []string{"  " + label, value})
		}
	}
	add("identity", i.Identity)
	add("note", i.Note)
	add("subject", i.Subject)
	add("issuer", i.Issuer)
	add("serial", i.Serial)
	add("names", strings.Join(i.Names, ", "))
	add("key", i.Key)
	add("usage", strings.Join(i.KeyUsage, ", "))
	add("signature", i.Signature)
	add("number", i.Number)
	if i.Revoked != nil {
		add("revoked", fmt.Sprintf("%d certificates", *i.Revoked))
	}
	for _, t := range []struct {
		label string
		at    *time.Time
	}{{"valid from", i.NotBefore}, {"valid until", i.NotAfter}} {
		if t.at != nil && !t.at.IsZero() {
			add(t.label, t.at.UTC().Format(time.RFC3339))
		}
	}
	add("fingerprint", identity.Grouped(i.Fingerprint))
	add("OpenFL's", i.OpenFL)
	for _, f := range i.Findings {
		add("finding", f)
	}
	return rows
}
