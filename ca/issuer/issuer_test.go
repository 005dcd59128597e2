package issuer_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/issuer"
)

const federation = "fed.example.org"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// newCA makes an unlocked CA without a passphrase whose clock stands at start.
func newCA(t testing.TB, change func(*issuer.CreateOptions)) (*issuer.CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	o := issuer.CreateOptions{Dir: dir, Federation: federation, Now: at(start)}
	if change != nil {
		change(&o)
	}
	ca, err := issuer.Create(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	unlock(t, ca, o.Passphrase)
	return ca, dir
}

func unlock(t testing.TB, ca *issuer.CA, passphrase []byte) {
	t.Helper()
	for _, k := range issuer.Kinds() {
		if err := ca.Unlock(k, passphrase); err != nil {
			t.Fatal(err)
		}
	}
}

func newKey(t testing.TB, kt identity.KeyType) crypto.Signer {
	t.Helper()
	key, err := identity.NewKey(kt)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsa3072 holds one RSA key a role: making one takes long.
var rsa3072 = map[identity.Role]func() crypto.Signer{
	identity.Aggregator: sync.OnceValue(makeRSA), identity.Collaborator: sync.OnceValue(makeRSA), identity.Publisher: sync.OnceValue(makeRSA),
}

func newLeafKey(t testing.TB, r identity.Role, kt identity.KeyType) crypto.Signer {
	if kt == identity.RSA3072 {
		return rsa3072[r]()
	}
	return newKey(t, kt)
}

func makeRSA() crypto.Signer {
	key, err := identity.NewKey(identity.RSA3072)
	if err != nil {
		panic(err)
	}
	return key
}

func request(t testing.TB, key crypto.Signer, r identity.Role, name string, hosts ...string) *issuer.Request {
	t.Helper()
	der, err := identity.NewRequest(key, r, name, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, identity.EncodeRequest(der))
}

func parse(t testing.TB, pemText []byte) *issuer.Request {
	t.Helper()
	req, err := issuer.ParseRequest(pemText)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func names(r identity.Role) string {
	if r == identity.Aggregator {
		return "agg.example.org"
	}
	return "site-1"
}

// The profiles, as the outside sees them: one row a role, for every type of
// issuing key.
func TestProfiles(t *testing.T) {
	profiles := []struct {
		role  identity.Role
		usage x509.ExtKeyUsage
		dns   []string
		ips   int
		days  int
	}{
		{identity.Aggregator, x509.ExtKeyUsageServerAuth, []string{"agg.example.org", "localhost"}, 1, 365},
		{identity.Collaborator, x509.ExtKeyUsageClientAuth, nil, 0, 365},
		{identity.Publisher, x509.ExtKeyUsageCodeSigning, nil, 0, 365},
		{identity.Reviewer, x509.ExtKeyUsageCodeSigning, nil, 0, 365},
	}
	for _, keyType := range identity.Aggregator.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			ca, _ := newCA(t, func(o *issuer.CreateOptions) { o.KeyType = keyType })
			for _, p := range profiles {
				var hosts []string
				if p.role == identity.Aggregator {
					hosts = []string{"localhost", "127.0.0.1"}
				}
				for _, leafType := range p.role.KeyTypes() {
					name := names(p.role)
					key := newLeafKey(t, p.role, leafType)
					req := request(t, key, p.role, name, hosts...)
					issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: p.role}, issuer.Options{Replace: true})
					if err != nil {
						t.Fatalf("%s with %s: %v", p.role, leafType, err)
					}
					c := issued.Certificate
					if id, err := identity.FromCertificate(c); err != nil || id != (identity.Identity{Federation: federation, Role: p.role, Name: name}) {
						t.Errorf("%s: identity %v, %v", p.role, id, err)
					}
					if !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{p.usage}) || c.KeyUsage != x509.KeyUsageDigitalSignature || c.IsCA {
						t.Errorf("%s: usages %v %b, CA %v", p.role, c.ExtKeyUsage, c.KeyUsage, c.IsCA)
					}
					if !slices.Equal(c.DNSNames, p.dns) || len(c.IPAddresses) != p.ips || len(c.URIs) != 1 {
						t.Errorf("%s: names %v %v %v", p.role, c.DNSNames, c.IPAddresses, c.URIs)
					}
					if got := c.NotAfter.Sub(c.NotBefore) + time.Second; got != time.Duration(p.days)*24*time.Hour {
						t.Errorf("%s: lifetime %v", p.role, got)
					}
					if !c.NotBefore.Equal(start.Add(-5 * time.Minute)) {
						t.Errorf("%s: not before %v", p.role, c.NotBefore)
					}
					if len(c.SubjectKeyId) != 20 || len(c.AuthorityKeyId) != 20 || c.SerialNumber.BitLen() > 159 {
						t.Errorf("%s: identifiers %x %x, serial %x", p.role, c.SubjectKeyId, c.AuthorityKeyId, c.SerialNumber)
					}
					if len(c.CRLDistributionPoints)+len(c.OCSPServer)+len(c.IssuingCertificateURL) > 0 {
						t.Errorf("%s: the certificate points at the network", p.role)
					}
				}
			}
		})
	}
}

func TestAuthorities(t *testing.T) {
	ca, dir := newCA(t, nil)
	for k, pathLen := range map[issuer.Kind]int{issuer.Root: 1, issuer.Network: 0, issuer.Signing: 0} {
		c := ca.Certificate(k)
		if !c.IsCA || c.MaxPathLen != pathLen || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
			t.Errorf("%s: CA %v, pathlen %d, usage %b", k, c.IsCA, c.MaxPathLen, c.KeyUsage)
		}
	}
	for _, name := range []string{identity.ChainFile, identity.SigningChainFile} {
		if certs, err := identity.ReadCertificates(filepath.Join(dir, name)); err != nil || len(certs) != 2 {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
	}
	for _, k := range issuer.Kinds() {
		info, err := os.Stat(filepath.Join(dir, string(k), "private", string(k)+".key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("key of %s: %v, %v", k, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("CA folder: %v, %v", info.Mode(), err)
	}
}

func TestNameConstraints(t *testing.T) {
	ca, _ := newCA(t, func(o *issuer.CreateOptions) {
		o.Domains, o.IPRanges = []string{"example.org", "localhost"}, []string{"127.0.0.0/8"}
	})
	c := ca.Certificate(issuer.Network)
	if !c.PermittedDNSDomainsCritical || !slices.Equal(c.PermittedDNSDomains, []string{"example.org", "localhost"}) || len(c.PermittedIPRanges) != 1 {
		t.Errorf("constraints %v %v %v", c.PermittedDNSDomainsCritical, c.PermittedDNSDomains, c.PermittedIPRanges)
	}
	req := request(t, newKey(t, identity.P256), identity.Aggregator, "agg.example.org", "localhost", "127.0.0.1")
	if _, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Aggregator}, issuer.Options{}); err != nil {
		t.Error(err)
	}
	for _, host := range []string{"agg.example.net", "badexample.org", "10.0.0.1"} {
		req := request(t, newKey(t, identity.P256), identity.Aggregator, host)
		_, err := ca.Review(req, identity.Identity{Role: identity.Aggregator}, issuer.Options{})
		if !slices.Contains(ids(err), "san-domain") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestDomainsExcludeAddresses(t *testing.T) {
	ca, _ := newCA(t, func(o *issuer.CreateOptions) { o.Domains = []string{"example.org"} })
	if c := ca.Certificate(issuer.Network); len(c.ExcludedIPRanges) != 2 || len(c.PermittedIPRanges) != 0 {
		t.Errorf("addresses permitted %v, excluded %v; want none permitted and all excluded", c.PermittedIPRanges, c.ExcludedIPRanges)
	}
	ca, _ = newCA(t, func(o *issuer.CreateOptions) { o.Domains, o.IPRanges = []string{"example.org"}, []string{"10.0.0.0/8"} })
	req := request(t, newKey(t, identity.P256), identity.Aggregator, "10.0.0.1")
	_, err := ca.Review(req, identity.Identity{Role: identity.Aggregator}, issuer.Options{})
	if !slices.Contains(ids(err), "san-domain") {
		t.Errorf("an address alone: %v", err)
	}
}

// What the lint dislikes is neither recorded nor handed out. The clock jumps
// between review and lint, so that the new certificate is not valid any more.
func TestWhatTheLintRefusesIsThrownAway(t *testing.T) {
	_, dir := newCA(t, nil)
	now := start
	ca, err := issuer.Open(dir, func() time.Time {
		before := now
		now = now.AddDate(2, 0, 0)
		return before
	})
	if err != nil {
		t.Fatal(err)
	}
	unlock(t, ca, nil)
	req := request(t, newKey(t, identity.P256), identity.Collaborator, "site-1")
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, issuer.Options{})
	if !slices.Equal(ids(err), []string{"lint"}) || issued != nil {
		t.Errorf("got %v, %v", issued, err)
	}
	if n := len(entries(t, dir)); n != len(issuer.Kinds()) {
		t.Errorf("%d records, want those of the CAs alone", n)
	}
}

func TestKeysAtRest(t *testing.T) {
	passphrase := []byte("correct horse battery")
	_, dir := newCA(t, func(o *issuer.CreateOptions) { o.Passphrase = passphrase })
	ca, err := issuer.Open(dir, at(start))
	if err != nil {
		t.Fatal(err)
	}
	if locked, err := ca.Locked(issuer.Network); err != nil || !locked {
		t.Errorf("locked: %v, %v", locked, err)
	}
	if err := ca.Unlock(issuer.Network, []byte("incorrect horse battery")); !errors.Is(err, issuer.ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if err := ca.Unlock(issuer.Network, nil); !errors.Is(err, issuer.ErrPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
	req := request(t, newKey(t, identity.P256), identity.Collaborator, "site-1")
	if _, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, issuer.Options{}); err == nil {
		t.Error("signed with a locked key")
	}
	if err := ca.Unlock(issuer.Network, passphrase); err != nil {
		t.Error(err)
	}
	for _, k := range issuer.Kinds() {
		data, err := os.ReadFile(filepath.Join(dir, string(k), "private", string(k)+".key"))
		if err != nil || !strings.HasPrefix(string(data), "-----BEGIN ENCRYPTED PRIVATE KEY-----") {
			t.Errorf("%s: the key is stored in clear (%v)", k, err)
		}
	}
}

func TestUnlockRefusesAnothersKey(t *testing.T) {
	ca, dir := newCA(t, nil)
	other, err := identity.EncodeKey(newKey(t, identity.P256))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "network-ca", "private", "network-ca.key")
	if err := os.WriteFile(path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ca.Unlock(issuer.Network, nil); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("got %v", err)
	}
}

func TestCreateLeavesNothingHalfMade(t *testing.T) {
	_, dir := newCA(t, nil)
	parent := filepath.Dir(dir)
	before, err := os.ReadFile(filepath.Join(dir, "ca.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]issuer.CreateOptions{
		"over an existing CA": {Dir: dir, Federation: federation},
		"bad name":            {Dir: filepath.Join(parent, "x"), Federation: "Fed"},
		"single label":        {Dir: filepath.Join(parent, "x"), Federation: "fed"},
		"short passphrase":    {Dir: filepath.Join(parent, "x"), Federation: federation, Passphrase: []byte("short")},
		"empty passphrase":    {Dir: filepath.Join(parent, "x"), Federation: federation, Passphrase: []byte{}},
		"bad domain":          {Dir: filepath.Join(parent, "x"), Federation: federation, Domains: []string{"*.example.org"}},
		"bad range":           {Dir: filepath.Join(parent, "x"), Federation: federation, IPRanges: []string{"10.0.0.1/8"}},
		"bad key type":        {Dir: filepath.Join(parent, "x"), Federation: federation, KeyType: "rsa1024"},
	} {
		if _, err := issuer.Create(context.Background(), o); err == nil {
			t.Errorf("%s: a CA was made", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := issuer.Create(ctx, issuer.CreateOptions{Dir: filepath.Join(parent, "x"), Federation: federation}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "ca.json")); err != nil || string(after) != string(before) {
		t.Errorf("the existing CA was touched: %v", err)
	}
}

func TestRecords(t *testing.T) {
	ca, dir := newCA(t, nil)
	req := request(t, newKey(t, identity.P256), identity.Collaborator, "site-1")
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator, Name: "site-1"}, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	records, err := ca.Records()
	if err != nil || len(records) != 4 { // three CAs and one participant
		t.Fatalf("%d records, %v", len(records), err)
	}
	r := records[3]
	if string(r.Certificate) != string(issued.Certificate.Raw) || r.Request != req.Fingerprint || r.Name != "site-1" || r.Issuer != issuer.Network {
		t.Errorf("record %+v", r)
	}
	if again := entries(t, dir); len(again) != 4 || again[3] != "issued collaborator site-1, serial "+r.Serial {
		t.Errorf("read again: %q", again)
	}
}

// Nothing may be signed while the account of what was signed cannot be read.
func TestDamagedRecordStopsSigning(t *testing.T) {
	ca, dir := newCA(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "log", "000000000003.log"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	req := request(t, newKey(t, identity.P256), identity.Collaborator, "site-1")
	if _, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, issuer.Options{}); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("got %v", err)
	}
}

func TestTwoSignersCannotBothCertifyAName(t *testing.T) {
	_, dir := newCA(t, nil)
	results, together := make(chan error, 8), make(chan struct{})
	for range cap(results) {
		ca, err := issuer.Open(dir, at(start))
		if err != nil {
			t.Fatal(err)
		}
		unlock(t, ca, nil)
		req := request(t, newKey(t, identity.P256), identity.Collaborator, "site-1")
		go func() {
			<-together
			_, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, issuer.Options{})
			results <- err
		}()
	}
	close(together)
	signed := 0
	for range cap(results) {
		if err := <-results; err == nil {
			signed++
		} else if !slices.Equal(ids(err), []string{"name-taken"}) {
			t.Error(err)
		}
	}
	if signed != 1 {
		t.Errorf("%d of %d signers certified the name", signed, cap(results))
	}
}

func TestAnswer(t *testing.T) {
	ca, _ := newCA(t, nil)
	req := request(t, newKey(t, identity.P256), identity.Reviewer, "bob")
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Reviewer}, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := identity.ParseAnswer(issued.Answer.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !a.Leaf.Equal(issued.Certificate) || len(a.Roots) != 1 || !a.Roots[0].Equal(ca.Certificate(issuer.Root)) ||
		len(a.Network) != 1 || !a.Network[0].Equal(ca.Certificate(issuer.Network)) || len(a.Signing) != 1 || !a.Signing[0].Equal(ca.Certificate(issuer.Signing)) {
		t.Errorf("answer %+v", a)
	}
}

func ids(err error) (ids []string) {
	if r, ok := errors.AsType[issuer.Refusals](err); ok {
		for _, x := range r {
			ids = append(ids, x.ID)
		}
	}
	return ids
}
