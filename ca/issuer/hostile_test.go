package issuer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // a key type that must be refused
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/issuer"
)

// csr builds a request from a template and a fresh P-256 key.
func csr(t testing.TB, change func(*x509.CertificateRequest)) []byte {
	return csrWith(t, newKey(t, identity.P256), change)
}

func csrWith(t testing.TB, key crypto.Signer, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	c := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "site-1"}}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, c, key)
	if err != nil {
		t.Fatal(err)
	}
	return identity.EncodeRequest(der)
}

func ext(t testing.TB, critical bool, value any, oid ...int) func(*x509.CertificateRequest) {
	t.Helper()
	return func(c *x509.CertificateRequest) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: marshal(t, value)})
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sanOf(t testing.TB, tag int, value []byte) func(*x509.CertificateRequest) {
	t.Helper()
	return ext(t, false, []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: value}}, 2, 5, 29, 17)
}

type attribute struct {
	ID     asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// rawCSR signs a CertificationRequestInfo that the standard library would not
// make.
func rawCSR(t testing.TB, key *ecdsa.PrivateKey, cn string, attributes ...attribute) []byte {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signTBS(t, key, spki, cn, attributes)
}

func signTBS(t testing.TB, key *ecdsa.PrivateKey, spki []byte, cn string, attributes []attribute) []byte {
	t.Helper()
	tbs := marshal(t, struct {
		Version    int
		Subject    pkix.RDNSequence
		PublicKey  asn1.RawValue
		Attributes []attribute `asn1:"tag:0,set"`
	}{0, pkix.Name{CommonName: cn}.ToRDNSequence(), asn1.RawValue{FullBytes: spki}, attributes})
	sum := sha256.Sum256(tbs)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return identity.EncodeRequest(marshal(t, struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: tbs},
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		asn1.BitString{Bytes: sig, BitLength: len(sig) * 8},
	}))
}

// dsaCSR carries a DSA key; that its signature is another's does not matter.
func dsaCSR(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	y := marshal(t, big.NewInt(4))
	params := marshal(t, dsa.Parameters{P: big.NewInt(23), Q: big.NewInt(11), G: big.NewInt(4)})
	return signTBS(t, key, marshal(t, struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, Parameters: asn1.RawValue{FullBytes: params}},
		asn1.BitString{Bytes: y, BitLength: len(y) * 8},
	}), "site-1", nil)
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func curveKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// reencode changes the DER in a PEM request.
func reencode(t testing.TB, pemText []byte, change func(der []byte) []byte) []byte {
	t.Helper()
	b, _ := pem.Decode(pemText)
	return pem.EncodeToMemory(&pem.Block{Type: b.Type, Headers: b.Headers, Bytes: change(b.Bytes)})
}

func TestHostileRequests(t *testing.T) {
	key := curveKey(t, elliptic.P256())
	extensionRequest := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	challenge := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	word := asn1.RawValue{FullBytes: marshal(t, "secret")}
	emptyExtensions := attribute{extensionRequest, []asn1.RawValue{{FullBytes: marshal(t, []pkix.Extension{
		{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}},
	})}}}
	dns := func(names ...string) func(*x509.CertificateRequest) {
		return func(c *x509.CertificateRequest) { c.DNSNames = names }
	}
	agg := func(names ...string) func(*x509.CertificateRequest) {
		return func(c *x509.CertificateRequest) { c.Subject.CommonName, c.DNSNames = "agg.example.org", names }
	}
	cn := func(name string) func(*x509.CertificateRequest) {
		return func(c *x509.CertificateRequest) { c.Subject.CommonName = name }
	}
	uri := func(s string) func(*x509.CertificateRequest) {
		return func(c *x509.CertificateRequest) {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}
	good := csr(t, nil)
	const a, c, p = identity.Aggregator, identity.Collaborator, identity.Publisher
	tests := []struct {
		name string
		pem  []byte
		role identity.Role
		want []string
	}{
		{"too large", append(slices.Clone(good), bytes.Repeat([]byte("\n"), identity.MaxRequest)...), c, []string{"csr-size"}},
		{"empty", nil, c, []string{"csr-pem"}},
		{"two blocks", append(slices.Clone(good), good...), c, []string{"csr-pem"}},
		{"bytes after the block", append(slices.Clone(good), "evil"...), c, []string{"csr-pem"}},
		{"text before the block", append([]byte("hello\n"), good...), c, []string{"csr-pem"}},
		{"headers", bytes.Replace(good, []byte("REQUEST-----\n"), []byte("REQUEST-----\nProc-Type: 4,ENCRYPTED\n\n"), 1), c, []string{"csr-pem"}},
		{"another type", bytes.ReplaceAll(good, []byte("CERTIFICATE REQUEST"), []byte("CERTIFICATE")), c, []string{"csr-pem"}},
		{"no end", bytes.Split(good, []byte("-----END"))[0], c, []string{"csr-pem"}},
		{"a byte after the DER", reencode(t, good, func(d []byte) []byte { return append(d, 0) }), c, []string{"csr-parse"}},
		{"truncated DER", reencode(t, good, func(d []byte) []byte { return d[:len(d)-1] }), c, []string{"csr-parse"}},
		{"not on the curve", reencode(t, good, func(d []byte) []byte {
			i := bytes.Index(d, []byte{3, 66, 0, 4})
			d[i+20] ^= 1
			return d
		}), c, []string{"csr-parse"}},
		{"33 attributes", rawCSR(t, key, "site-1", slices.Repeat([]attribute{{challenge, []asn1.RawValue{word}}}, 33)...), c, []string{"csr-attributes"}},
		{"extensions in two places", rawCSR(t, key, "site-1", emptyExtensions, attribute{extensionRequest, []asn1.RawValue{{FullBytes: marshal(t, []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 2, 4}, Value: []byte{5, 0}},
		})}}}), c, []string{"ext-duplicate"}},
		{"an extension twice", rawCSR(t, key, "site-1", emptyExtensions, emptyExtensions), c, []string{"csr-parse"}},
		{"17 names", csr(t, func(r *x509.CertificateRequest) {
			r.Subject.CommonName = "agg.example.org"
			for i := range 17 {
				r.DNSNames = append(r.DNSNames, strings.Repeat("a", i+1)+".example.org")
			}
		}), a, []string{"csr-sans"}},
		{"another's signature", reencode(t, good, func(d []byte) []byte {
			d[len(d)-1] ^= 1
			return d
		}), c, []string{"csr-self-signature"}},
		{"SHA-1", csrWith(t, rsa3072[identity.Collaborator](), func(r *x509.CertificateRequest) { r.SignatureAlgorithm = x509.SHA1WithRSA }), c, []string{"csr-signature-algorithm"}},
		{"RSASSA-PSS", csrWith(t, rsa3072[identity.Collaborator](), func(r *x509.CertificateRequest) { r.SignatureAlgorithm = x509.SHA256WithRSAPSS }), c, []string{"csr-signature-algorithm"}},
		{"DSA", dsaCSR(t, key), c, []string{"csr-self-signature", "key-type"}},
		{"RSA 2048", csrWith(t, rsaKey(t, 2048), nil), c, []string{"key-rsa-size"}},
		{"RSA 3073", csrWith(t, rsaKey(t, 3073), nil), c, []string{"key-rsa-size"}},
		{"P-224", csrWith(t, curveKey(t, elliptic.P224()), nil), c, []string{"key-curve"}},
		{"RSA publisher", csrWith(t, rsa3072[identity.Publisher](), nil), p, []string{"key-type"}},
		{"P-384 publisher", csrWith(t, newKey(t, identity.P384), nil), p, []string{"key-type"}},
		{"CA:TRUE", csr(t, ext(t, true, struct{ CA bool }{true}, 2, 5, 29, 19)), c, []string{"ext-ca"}},
		{"a path length", csr(t, ext(t, true, struct{ N int }{3}, 2, 5, 29, 19)), c, []string{"ext-ca"}},
		{"keyCertSign", csr(t, ext(t, true, asn1.BitString{Bytes: []byte{0x84}, BitLength: 8}, 2, 5, 29, 15)), c, []string{"ext-key-usage"}},
		{"cRLSign", csr(t, ext(t, true, asn1.BitString{Bytes: []byte{0x02}, BitLength: 8}, 2, 5, 29, 15)), c, []string{"ext-key-usage"}},
		{"serverAuth for a collaborator", csr(t, ext(t, false, []asn1.ObjectIdentifier{identity.Aggregator.ExtKeyUsageOID()}, 2, 5, 29, 37)), c, []string{"ext-extended-key-usage"}},
		{"anyExtendedKeyUsage", csr(t, ext(t, false, []asn1.ObjectIdentifier{{2, 5, 29, 37, 0}}, 2, 5, 29, 37)), c, []string{"ext-extended-key-usage"}},
		{"unknown critical extension", csr(t, ext(t, true, 1, 1, 2, 3, 4)), c, []string{"ext-critical-unknown"}},
		{"critical name constraints", csr(t, ext(t, true, 1, 2, 5, 29, 30)), c, []string{"ext-critical-unknown"}},
		{"garbage in key usage", csr(t, ext(t, false, "x", 2, 5, 29, 15)), c, []string{"csr-parse"}},
		{"another policy", csr(t, ext(t, false, []struct{ ID asn1.ObjectIdentifier }{{asn1.ObjectIdentifier{2, 5, 29, 32, 0}}}, 2, 5, 29, 32)), c, []string{"role-mismatch"}},
		{"no common name", csr(t, cn("")), c, []string{"name-common-name"}},
		{"two common names", csr(t, func(r *x509.CertificateRequest) {
			r.Subject.ExtraNames = []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "site-1"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "site-2"},
			}
		}), c, []string{"name-common-name"}},
		{"another name", csr(t, cn("site-2")), c, []string{"name-mismatch"}},
		{"upper case", csr(t, cn("Site-1")), c, []string{"name-mismatch"}},
		{"trailing space", csr(t, cn("site-1 ")), c, []string{"name-mismatch"}},
		{"right-to-left override", csr(t, cn("site-1\u202e")), c, []string{"name-mismatch"}},
		{"e-mail in the subject", csr(t, func(r *x509.CertificateRequest) {
			r.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@b.c"}}
		}), c, []string{"san-email"}},
		{"e-mail", csr(t, func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@b.c"} }), c, []string{"san-email"}},
		{"other name", csr(t, sanOf(t, 0, marshal(t, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}))), c, []string{"san-other"}},
		{"directory name", csr(t, sanOf(t, 4, marshal(t, pkix.Name{CommonName: "x"}.ToRDNSequence()))), c, []string{"san-other"}},
		{"registered identifier", csr(t, sanOf(t, 8, []byte{42, 3})), c, []string{"san-other"}},
		{"host name for a collaborator", csr(t, dns("site-1.example.org")), c, []string{"san-dns"}},
		{"address for a collaborator", csr(t, func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }), c, []string{"san-ip"}},
		{"another's URI", csr(t, uri("https://fed.example.org/fl/v1/collaborator/site-2")), c, []string{"san-uri"}},
		{"URI of another role", csr(t, uri("https://fed.example.org/fl/v1/aggregator/site-1")), c, []string{"san-uri"}},
		{"URI with a query", csr(t, uri("https://fed.example.org/fl/v1/collaborator/site-1?x")), c, []string{"san-uri"}},
		{"wildcard", csr(t, agg("agg.example.org", "*.example.org")), a, []string{"san-dns"}},
		{"single label", csr(t, agg("agg.example.org", "agg")), a, []string{"san-dns"}},
		{"underscore", csr(t, agg("agg.example.org", "a_b.example.org")), a, []string{"san-dns"}},
		{"trailing dot", csr(t, agg("agg.example.org", "agg2.example.org.")), a, []string{"san-dns"}},
		{"address as DNS name", csr(t, agg("agg.example.org", "127.0.0.1")), a, []string{"san-dns"}},
		{"NUL in a DNS name", csr(t, func(r *x509.CertificateRequest) {
			agg()(r)
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: marshal(t, []asn1.RawValue{
				{Class: 2, Tag: 2, Bytes: []byte("agg.example.org")}, {Class: 2, Tag: 2, Bytes: []byte("a.example.org\x00.evil.org")},
			})}}
		}), a, []string{"san-dns"}},
		{"a name twice", csr(t, agg("agg.example.org", "agg.example.org")), a, []string{"san-duplicate"}},
		{"common name not among the names", csr(t, agg("other.example.org")), a, []string{"name-mismatch"}},
		{"unspecified address", csr(t, func(r *x509.CertificateRequest) {
			agg("agg.example.org")(r)
			r.IPAddresses = []net.IP{net.IPv4zero}
		}), a, []string{"san-ip"}},
		{"several at once", csrWith(t, rsaKey(t, 2048), func(r *x509.CertificateRequest) {
			r.EmailAddresses = []string{"a@b.c"}
			ext(t, true, struct{ CA bool }{true}, 2, 5, 29, 19)(r)
		}), c, []string{"key-rsa-size", "san-email", "ext-ca"}},
	}
	ca, dir := newCA(t, nil)
	before := entries(t, dir)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := issuer.ParseRequest(tt.pem)
			if err == nil {
				approved := identity.Identity{Role: tt.role, Name: names(tt.role)}
				_, err = ca.Sign(context.Background(), req, approved, issuer.Options{})
			}
			if got := ids(err); !slices.Equal(got, tt.want) {
				t.Errorf("refused for %q, want %q: %v", got, tt.want, err)
			}
			if err != nil && !errors.Is(err, identity.ErrInvalid) {
				t.Errorf("%v is no identity.ErrInvalid", err)
			}
		})
	}
	if after := entries(t, dir); !slices.Equal(after, before) {
		t.Errorf("refusals left records: %v", after)
	}
}

// entries lists the records of the log in dir.
func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	ca, err := issuer.Open(dir, at(start))
	if err != nil {
		t.Fatal(err)
	}
	records, err := ca.Records()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		names = append(names, r.String())
	}
	return names
}

// Refusals that depend on more than the request.
func TestRefusalsInContext(t *testing.T) {
	ctx := context.Background()
	collaborator := identity.Identity{Role: identity.Collaborator}
	ca, dir := newCA(t, nil)
	key := newKey(t, identity.P256)
	first := request(t, key, identity.Collaborator, "site-1")
	if _, err := ca.Sign(ctx, first, collaborator, issuer.Options{}); err != nil {
		t.Fatal(err)
	}
	caKeyPEM, err := os.ReadFile(filepath.Join(dir, "network-ca", "private", "network-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := identity.ParseKey(caKeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	reopened := func(now time.Time) *issuer.CA {
		again, err := issuer.Open(dir, at(now))
		if err != nil {
			t.Fatal(err)
		}
		unlock(t, again, nil)
		return again
	}
	late := reopened(start.AddDate(4, 11, 0))
	fresh := func(r identity.Role, name string) *issuer.Request {
		return request(t, newKey(t, identity.P256), r, name)
	}
	tests := []struct {
		name     string
		ca       *issuer.CA
		req      *issuer.Request
		approved identity.Identity
		o        issuer.Options
		want     []string // nil: signed
		kind     error
	}{
		{"the same request again", ca, first, collaborator, issuer.Options{}, []string{"csr-repeated"}, identity.ErrInvalid},
		{"the name again", ca, fresh(identity.Collaborator, "site-1"), collaborator, issuer.Options{}, []string{"name-taken"}, identity.ErrInvalid},
		{"the name again, replacing", ca, fresh(identity.Collaborator, "site-1"), collaborator, issuer.Options{Replace: true}, nil, nil},
		{"the same request again, replacing", ca, first, collaborator, issuer.Options{Replace: true}, nil, nil},
		{"a key of another name", ca, request(t, key, identity.Collaborator, "site-2"), collaborator, issuer.Options{}, []string{"key-other-name"}, identity.ErrInvalid},
		{"a key of another role", ca, request(t, key, identity.Publisher, "site-1"), identity.Identity{Role: identity.Publisher}, issuer.Options{}, []string{"key-other-name"}, identity.ErrInvalid},
		{"the CA's own key", ca, request(t, caKey, identity.Collaborator, "site-3"), collaborator, issuer.Options{}, []string{"key-of-ca"}, identity.ErrInvalid},
		{"another role than requested", ca, fresh(identity.Reviewer, "bob"), identity.Identity{Role: identity.Publisher}, issuer.Options{}, []string{"role-mismatch"}, identity.ErrInvalid},
		{"a word of OpenFL's", ca, parse(t, csr(t, func(c *x509.CertificateRequest) { c.Subject.CommonName = "trained" })), collaborator, issuer.Options{}, []string{"name-invalid"}, identity.ErrInvalid},
		{"too long a life", ca, fresh(identity.Collaborator, "site-4"), collaborator, issuer.Options{Days: 398}, []string{"lifetime-profile"}, identity.ErrInvalid},
		{"a negative life", ca, fresh(identity.Collaborator, "site-4"), collaborator, issuer.Options{Days: -1}, []string{"lifetime-profile"}, identity.ErrInvalid},
		{"a life beyond the CA's", late, fresh(identity.Collaborator, "site-5"), collaborator, issuer.Options{}, []string{"lifetime-issuer"}, identity.ErrInvalid},
		{"a life beyond the CA's, clamped", late, fresh(identity.Collaborator, "site-5"), collaborator, issuer.Options{Clamp: true}, nil, nil},
		{"an expired CA", reopened(start.AddDate(6, 0, 0)), fresh(identity.Collaborator, "site-6"), collaborator, issuer.Options{Clamp: true}, []string{"issuer-state"}, identity.ErrUntrusted},
		{"a CA of the future", reopened(start.AddDate(-1, 0, 0)), fresh(identity.Collaborator, "site-6"), collaborator, issuer.Options{}, []string{"issuer-state"}, identity.ErrUntrusted},
		{"another fingerprint", ca, fresh(identity.Collaborator, "site-7"), collaborator, issuer.Options{Fingerprint: first.Fingerprint}, []string{"fingerprint-mismatch"}, identity.ErrUntrusted},
		{"half a fingerprint", ca, first, collaborator, issuer.Options{Fingerprint: first.Fingerprint[:32], Replace: true}, []string{"fingerprint-mismatch"}, identity.ErrUntrusted},
		{"the fingerprint", ca, first, collaborator, issuer.Options{Fingerprint: strings.ToUpper(identity.Grouped(first.Fingerprint)), Replace: true}, nil, nil},
		{"OpenFL's fingerprint", ca, first, collaborator, issuer.Options{Fingerprint: first.OpenFL, Replace: true}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			issued, err := tt.ca.Sign(ctx, tt.req, tt.approved, tt.o)
			got := slices.Compact(ids(err))
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("refused for %q, want %q: %v", got, tt.want, err)
			}
			if tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("%v is no %v", err, tt.kind)
			}
			if tt.want == nil && issued.Certificate.NotAfter.After(tt.ca.Certificate(issuer.Network).NotAfter) {
				t.Error("the certificate outlives its CA")
			}
		})
	}
}

// What OpenFL itself requests is signed; what the profile has no place for is
// left out and listed.
func TestOpenFLRequest(t *testing.T) {
	ca, _ := newCA(t, nil)
	req := parse(t, csrWith(t, rsa3072[identity.Collaborator](), func(c *x509.CertificateRequest) {
		c.SignatureAlgorithm = x509.SHA384WithRSA
		c.DNSNames = []string{"site-1"}
		ext(t, true, struct{}{}, 2, 5, 29, 19)(c)
		ext(t, true, []asn1.ObjectIdentifier{identity.Collaborator.ExtKeyUsageOID()}, 2, 5, 29, 37)(c)
		ext(t, true, asn1.BitString{Bytes: []byte{0xa0}, BitLength: 3}, 2, 5, 29, 15)(c)
	}))
	p, err := ca.Review(req, identity.Identity{Role: identity.Collaborator}, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`DNS name "site-1"`, "key usage keyEncipherment"}
	if !slices.Equal(p.Ignored, want) {
		t.Errorf("ignored %q, want %q", p.Ignored, want)
	}
	issued, err := ca.Sign(context.Background(), req, p.Identity, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := issued.Certificate; len(c.DNSNames) != 0 || c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("issued DNS names %q, key usage %b", c.DNSNames, c.KeyUsage)
	}
}
