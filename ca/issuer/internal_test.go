package issuer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
)

// Weak RSA keys cannot be had from a generator, so their moduli are made here.
func TestWeakRSA(t *testing.T) {
	one, two := big.NewInt(1), big.NewInt(2)
	prime := func(bits int) *big.Int {
		p, err := rand.Prime(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := prime(1536)
	next := new(big.Int).Add(p, two)
	for !next.ProbablyPrime(0) {
		next.Add(next, two)
	}
	good := new(big.Int).Mul(p, prime(1536))
	// A multiple of the primorial plus a power of 65537 looks like ROCA.
	m := big.NewInt(1)
	for q := int64(3); q <= 167; q++ {
		if big.NewInt(q).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(q))
		}
	}
	roca := new(big.Int)
	high := new(big.Int).Lsh(one, uint(3072-m.BitLen()))
	for k := int64(1); roca.BitLen() != 3072 || hasSmallFactor(roca); k++ {
		roca.Exp(big.NewInt(65537), big.NewInt(k), m)
		roca.Add(roca, new(big.Int).Mul(m, high))
		if roca.Bit(0) == 0 {
			roca.Add(roca, m)
		}
	}
	tests := []struct {
		name string
		n    *big.Int
		e    int
		want []string
	}{
		{"good", good, 65537, nil},
		{"exponent 3", good, 3, []string{"key-rsa-exponent"}},
		{"even", new(big.Int).Add(good, one), 65537, []string{"key-rsa-weak"}},
		{"small factor", new(big.Int).Mul(big.NewInt(3989), good), 65537, []string{"key-rsa-weak"}},
		{"close primes", new(big.Int).Mul(p, next), 65537, []string{"key-rsa-weak"}},
		{"ROCA", roca, 65537, []string{"key-rsa-weak"}},
		{"too large", new(big.Int).Lsh(one, 16384), 65537, []string{"key-rsa-size"}},
	}
	for _, tt := range tests {
		var no Refusals
		checkRSA(&rsa.PublicKey{N: tt.n, E: tt.e}, false, &no)
		var got []string
		for _, r := range no {
			if r.ID != "key-rsa-size" || tt.name == "too large" {
				got = append(got, r.ID)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: refused for %q, want %q", tt.name, got, tt.want)
		}
	}
	if isROCA(good) || isFermatClose(good) || hasSmallFactor(good) {
		t.Error("a good modulus looks weak")
	}
}

// The lint is the last line of defence: it must notice every deviation of a
// certificate that the CA's own key has signed.
func TestLintNoticesEveryDeviation(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := Create(context.Background(), CreateOptions{
		Dir: filepath.Join(t.TempDir(), "ca"), Federation: "fed.example.org", Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Unlock(Network, nil); err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := identity.NewRequest(key, identity.Aggregator, "agg.example.org", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	req, err := ParseRequest(identity.EncodeRequest(der))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.Review(req, identity.Identity{Role: identity.Aggregator}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*x509.Certificate)
		want   string
	}{
		{"as it should be", func(*x509.Certificate) {}, ""},
		{"a CA", func(c *x509.Certificate) { c.IsCA = true }, "basic constraints"},
		{"no basic constraints", func(c *x509.Certificate) { c.BasicConstraintsValid = false }, "basic constraints"},
		{"no key usage", func(c *x509.Certificate) { c.KeyUsage = 0 }, "key usage"},
		{"more key usage", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, "key usage"},
		{"no extended key usage", func(c *x509.Certificate) { c.ExtKeyUsage = nil }, "extended key usage"},
		{"more extended key usage", func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }, "extended key usage"},
		{"no policy", func(c *x509.Certificate) { c.Policies = nil }, "policies"},
		{"another policy", func(c *x509.Certificate) { c.Policies = []x509.OID{identity.Reviewer.Policy()} }, "policies"},
		{"no URI", func(c *x509.Certificate) { c.URIs = nil }, "URIs"},
		{"another host", func(c *x509.Certificate) { c.DNSNames = []string{"evil.example.org"} }, "DNS names"},
		{"another address", func(c *x509.Certificate) { c.IPAddresses = nil }, "addresses"},
		{"an e-mail address", func(c *x509.Certificate) { c.EmailAddresses = []string{"a@b.c"} }, "e-mail"},
		{"another name", func(c *x509.Certificate) { c.Subject.CommonName = "evil.example.org" }, "subject"},
		{"more subject", func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"x"} }, "subject"},
		{"a long life", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }, "a lifetime"},
		{"a shorter life than confirmed", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(0, -1, 0) }, "the validity is not what was confirmed"},
		{"another URI", func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "evil.example.org"}} }, "URIs"},
		{"beyond the issuer", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(9, 0, 0) }, "a validity beyond the issuer"},
		{"backwards", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(-time.Hour) }, "validity"},
		{"an unknown extension", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}
		}, "extensions"},
		{"a distribution point", func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://x/y"} }, "extensions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			template, err := leafTemplate(p)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(template)
			c, err := certify(rand.Reader, template, ca.certs[Network], p.publicKey, ca.keys[Network])
			if err != nil {
				t.Fatal(err)
			}
			err = ca.lintLeaf(c, p)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "thrown away: "+tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
	t.Run("another key identifier", func(t *testing.T) {
		template, err := leafTemplate(p)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.SubjectKeyId = big.NewInt(1), []byte{1}
		der, err := x509.CreateCertificate(rand.Reader, template, ca.certs[Network], p.publicKey, ca.keys[Network])
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		err = ca.lintLeaf(c, p)
		for _, want := range []string{"serial", "subject key identifier"} {
			if err == nil || !strings.Contains(err.Error(), "thrown away: "+want) {
				t.Errorf("got %v, want something about %q", err, want)
			}
		}
	})
	t.Run("another key", func(t *testing.T) {
		template, err := leafTemplate(p)
		if err != nil {
			t.Fatal(err)
		}
		other, err := identity.NewKey(identity.P256)
		if err != nil {
			t.Fatal(err)
		}
		c, err := certify(rand.Reader, template, ca.certs[Network], other.Public(), ca.keys[Network])
		if err != nil {
			t.Fatal(err)
		}
		if err := ca.lintLeaf(c, p); err == nil || !strings.Contains(err.Error(), "the public key is not the request's") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another CA", func(t *testing.T) {
		if err := ca.Unlock(Signing, nil); err != nil {
			t.Fatal(err)
		}
		template, err := leafTemplate(p)
		if err != nil {
			t.Fatal(err)
		}
		c, err := certify(rand.Reader, template, ca.certs[Signing], p.publicKey, ca.keys[Signing])
		if err != nil {
			t.Fatal(err)
		}
		if err := ca.lintLeaf(c, p); err == nil || !strings.Contains(err.Error(), "issuer") {
			t.Errorf("got %v", err)
		}
	})
}

// The same for the CAs' own certificates, and what they are when they issue.
func TestLintNoticesEveryDeviationOfACA(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := Create(context.Background(), CreateOptions{
		Dir: filepath.Join(t.TempDir(), "ca"), Federation: "fed.example.org", Domains: []string{"example.org"}, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Unlock(Root, nil); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*x509.Certificate)
		want   string
	}{
		"as it should be":         {func(*x509.Certificate) {}, ""},
		"CAs below it":            {func(c *x509.Certificate) { c.MaxPathLen = 1 }, "basic constraints"},
		"no CA":                   {func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false }, "basic constraints"},
		"for signers as well":     {func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) }, "extended key usage"},
		"without its constraints": {func(c *x509.Certificate) { c.PermittedDNSDomains, c.ExcludedIPRanges = nil, nil }, "extensions"},
		"a long life":             {func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }, "a lifetime"},
		"another name":            {func(c *x509.Certificate) { c.Subject.CommonName = "Signing CA G1" }, "subject"},
	} {
		template, err := issuingTemplate(&ca.State, Network, 1, now)
		if err != nil {
			t.Fatal(err)
		}
		tt.change(template)
		c, err := certify(rand.Reader, template, ca.certs[Root], ca.certs[Network].PublicKey, ca.keys[Root])
		if err != nil {
			t.Fatal(err)
		}
		err = lintCA(c, ca.certs[Root], &ca.State, Network, 1)
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), "thrown away: "+tt.want) {
			t.Errorf("%s: got %v, want something about %q", name, err, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		kind   Kind
		change func(*x509.Certificate)
		want   string
	}{
		"as it should be":         {Network, func(*x509.Certificate) {}, ""},
		"no CA":                   {Network, func(c *x509.Certificate) { c.IsCA = false }, "is no CA's"},
		"may not sign":            {Network, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, "may not sign certificates"},
		"expired":                 {Network, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, "expired on"},
		"of the future":           {Network, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, "is not valid before"},
		"another root's":          {Network, func(c *x509.Certificate) { c.RawIssuer = nil }, "was not issued by the root"},
		"not signed by the root":  {Network, func(c *x509.Certificate) { c.Signature = slices.Repeat([]byte{1}, 9) }, "was not signed by the root"},
		"under an expired root":   {Root, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, "the root is valid"},
		"under a root to come":    {Root, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, "the root is valid"},
		"the other CA is no part": {Signing, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, ""},
	} {
		good, changed := ca.certs[tt.kind], *ca.certs[tt.kind]
		tt.change(&changed)
		ca.certs[tt.kind] = &changed
		err := ca.checkIssuer(Network, now)
		ca.certs[tt.kind] = good
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want something about %q", name, err, tt.want)
		}
	}
}

func TestSerials(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		n, err := newSerial(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if len(n.Bytes()) != 20 || n.Bytes()[0]&0x80 != 0 || seen[n.String()] {
			t.Fatalf("serial %x", n)
		}
		seen[n.String()] = true
	}
}
