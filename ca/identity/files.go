package identity

import (
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
)

// The files of a certificate folder that all roles share.
const (
	ChainFile        = "cert_chain.crt"    // root and network CA: what TLS peers are verified against
	SigningChainFile = "signing_chain.crt" // root and signing CA: what bundle signatures are verified against
	CRLFile          = "crl.pem"           // revocation lists, may be absent
)

// Size limits of what is read, in bytes, and the most certificates of one file.
const (
	MaxCertificates  = 256 << 10
	MaxCRL           = 16 << 20
	maxKey           = 64 << 10
	maxCertificateNo = 32
)

// Files names a participant's certificate, key and request in a certificate
// folder: where OpenFL has them for aggregators and collaborators, under
// signer/ for publishers and reviewers.
func Files(certDir string, r Role, name string) (crt, key, csr string) {
	base := filepath.Join(certDir, "signer", name)
	switch r {
	case Aggregator:
		base = filepath.Join(certDir, "server", "agg_"+name)
	case Collaborator:
		base = filepath.Join(certDir, "client", "col_"+name)
	}
	return base + ".crt", base + ".key", base + ".csr"
}

// ReadCertificates reads a file of one or more PEM certificates, at most 256
// KiB. Errors wrap [ErrInvalid] where the file is there but is no such file.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	data, err := ReadFile(path, MaxCertificates)
	if err != nil {
		return nil, err
	}
	certs, err := ParseCertificates(data)
	if err != nil {
		return nil, Invalidf("cannot read certificates %q: %w", path, err)
	}
	return certs, nil
}

// ParseCertificates reads one or more PEM certificates and nothing else: no
// headers, no other blocks, no text that is neither blank nor a # comment.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	if len(data) > MaxCertificates {
		return nil, Invalidf("more than %d bytes of certificates", MaxCertificates)
	}
	blocks, err := ParsePEM(data, maxCertificateNo)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for i, b := range blocks {
		if b.Type != "CERTIFICATE" {
			return nil, Invalidf("PEM block %d is %q, not a certificate", i+1, b.Type)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, Invalidf("certificate %d: %v", i+1, err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// EncodeCertificates writes what [ParseCertificates] reads.
func EncodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
