package trust

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"fx/ca/identity"
)

// Config says where one end of a connection has its certificates and who it is.
type Config struct {
	CertDir string        // the certificate folder, as OpenFL lays it out
	Role    identity.Role // own role
	Name    string        // own name: host name or address of an aggregator, bare name of a collaborator
	// Now is the clock that certificates are judged by; nil is the system's.
	Now func() time.Time
	// OpenFLCompat also accepts certificates that OpenFL itself has issued, own
	// and peer's: see [Anchors.WithOpenFL].
	OpenFLCompat bool
}

func (c Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// anchors reads the chain file and the revocation lists of the folder.
func (c Config) anchors() (*Anchors, error) {
	a, err := Load(filepath.Join(c.CertDir, identity.ChainFile), filepath.Join(c.CertDir, identity.CRLFile))
	if err == nil && c.OpenFLCompat {
		a = a.WithOpenFL()
	}
	return a, err
}

// own reads the certificate and key, and adds the issuing CA to what is sent, as
// each root has certified it: the file holds the leaf only, so that OpenFL can
// use it as well.
func (c Config) own(a *Anchors) (tls.Certificate, error) {
	crt, key, _ := identity.Files(c.CertDir, c.Role, strings.ToLower(c.Name))
	certs, err := identity.ReadCertificates(crt)
	if err != nil {
		return tls.Certificate{}, err
	}
	signer, err := identity.ReadKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := certs[0]
	if !identity.SameKey(signer.Public(), leaf.PublicKey) {
		return tls.Certificate{}, identity.Invalidf("the key %q does not belong to the certificate %q", key, crt)
	}
	pair := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: signer, Leaf: leaf}
	for _, ca := range a.cas {
		if len(pair.Certificate) <= maxSent && string(ca.RawSubject) != string(ca.RawIssuer) && leaf.CheckSignatureFrom(ca) == nil {
			pair.Certificate = append(pair.Certificate, ca.Raw)
		}
	}
	return pair, nil
}

// ServerTLS is the aggregator's end: TLS 1.3 only, every peer is a collaborator
// of this federation whose certificate is in order now. It refuses to start
// with an own certificate that no collaborator would accept.
//
// The standard library checks the chain first, because only then does it tell
// the peer "unknown CA" or "certificate expired"; role, root and revocation are
// checked in VerifyConnection, which also runs where a session is resumed
// (resumption is switched off besides).
func ServerTLS(c Config) (*tls.Config, *Anchors, error) {
	a, err := c.anchors()
	if err != nil {
		return nil, nil, err
	}
	pair, err := c.own(a)
	if err != nil {
		return nil, nil, err
	}
	if _, err := a.Verify([]*x509.Certificate{pair.Leaf}, identity.Aggregator, c.now()); err != nil {
		return nil, nil, err
	}
	if err := matchesHost(pair.Leaf, c.Name); err != nil {
		return nil, nil, err
	}
	t := c.common(a, identity.Collaborator)
	t.Certificates = []tls.Certificate{pair}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	t.ClientCAs = a.pool()
	return t, a, nil
}

// ClientTLS is the collaborator's end: TLS 1.3 only, the peer is the aggregator
// of the given name (a DNS name or an IP address) and its certificate is in
// order now. The own certificate is presented as it is: judging it is the
// server's work. What the anchors say of it explains a refusal, of which TLS
// tells the refused end little.
func ClientTLS(c Config, serverName string) (*tls.Config, *Anchors, error) {
	a, err := c.anchors()
	if err != nil {
		return nil, nil, err
	}
	pair, err := c.own(a)
	if err != nil {
		return nil, nil, err
	}
	t := c.common(a, identity.Aggregator)
	t.ServerName = serverName
	t.RootCAs = a.pool()
	// Without this function a certificate of a CA that the server did not list
	// is held back, and the server says "certificate required" instead of what
	// is wrong with it.
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	if _, err := netip.ParseAddr(serverName); err == nil && c.OpenFLCompat {
		// The standard library cannot match OpenFL's way of naming an address.
		// Everything that it would check is checked here instead.
		byRole := t.VerifyConnection
		t.InsecureSkipVerify = true
		t.VerifyConnection = func(s tls.ConnectionState) error {
			if err := byRole(s); err != nil {
				return err
			}
			return matchesHost(s.PeerCertificates[0], serverName)
		}
	}
	return t, a, nil
}

// common is what both ends share. peer is the role of the other end.
func (c Config) common(a *Anchors, peer identity.Role) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
		Time:                   c.now,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := a.Verify(s.PeerCertificates, peer, c.now())
			return err
		},
	}
}
