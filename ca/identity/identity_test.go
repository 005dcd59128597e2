package identity_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fx/ca/identity"
)

func TestURI(t *testing.T) {
	for _, id := range []identity.Identity{
		{Federation: "fed.example.org", Role: identity.Collaborator, Name: "site-1"},
		{Federation: "fed.example.org", Role: identity.Aggregator, Name: "agg.example.org"},
		{Federation: "fed.example.org", Role: identity.Aggregator, Name: "10.0.0.1"},
		{Federation: "fed.example.org", Role: identity.Aggregator, Name: "fd00::1"},
		{Federation: "a.b", Role: identity.Reviewer, Name: "7"},
	} {
		if got, err := identity.ParseURI(id.URI()); err != nil || got != id {
			t.Errorf("%s: %v, %v", id.URI(), got, err)
		}
	}
	for _, bad := range []string{
		"", "https://", "http://fed.example.org/fl/v1/collaborator/site-1", "https://fed.example.org/fl/v1/collaborator",
		"https://fed.example.org/fl/v1/collaborator/", "https://fed.example.org/fl/v1/collaborator/site-1/",
		"https://fed.example.org/fl/v1/collaborator/site-1/x", "https://fed.example.org/fl/v1/collaborator/site-1?q",
		"https://fed.example.org/fl/v1/collaborator/site-1#f", "https://fed.example.org:443/fl/v1/collaborator/site-1",
		"https://u@fed.example.org/fl/v1/collaborator/site-1", "https://Fed.example.org/fl/v1/collaborator/site-1",
		"https://fed.example.org/fl/v1/Collaborator/site-1", "https://fed.example.org/fl/v1/collaborator/Site-1",
		"https://fed.example.org/fl/v1/collaborator/site%2d1", "https://fed.example.org/fl/v1/../v1/collaborator/site-1",
		"https://fed.example.org/fl/v2/collaborator/site-1", "https://fed/fl/v1/collaborator/site-1",
		"https://fed.example.org/fl/v1/collaborator/..", "https://fed.example.org./fl/v1/collaborator/site-1",
		"https://fed.example.org//fl/v1/collaborator/site-1", "urn:fl:collaborator:site-1",
	} {
		if id, err := identity.ParseURI(bad); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%q: %v, %v", bad, id, err)
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		role identity.Role
		name string
		ok   bool
	}{
		{identity.Collaborator, "site-1", true},
		{identity.Collaborator, long, true},
		{identity.Collaborator, long + "a", false},
		{identity.Collaborator, "", false},
		{identity.Collaborator, "a.b", false},
		{identity.Collaborator, "Site", false},
		{identity.Collaborator, "a_b", false},
		{identity.Collaborator, "-a", false},
		{identity.Collaborator, "a-", false},
		{identity.Collaborator, "a b", false},
		{identity.Collaborator, "ä", false},
		{identity.Collaborator, "a\u202e", false},
		{identity.Collaborator, "model", false},
		{identity.Collaborator, "trained", false},
		{identity.Collaborator, "aggregator-2", false},
		{identity.Publisher, "model", true},
		{identity.Aggregator, "agg.example.org", true},
		{identity.Aggregator, "localhost", true},
		{identity.Aggregator, "127.0.0.1", true},
		{identity.Aggregator, "::1", true},
		{identity.Aggregator, "0:0::1", false},
		{identity.Aggregator, "127.1", false},
		{identity.Aggregator, "agg", false},
		{identity.Aggregator, "agg.example.org.", false},
		{identity.Aggregator, "*.example.org", false},
		{identity.Aggregator, "1.2.3", false},
		{identity.Aggregator, "fe80::1%eth0", false},
		{identity.Aggregator, strings.Repeat("a.", 40) + "org", false},
	}
	for _, tt := range tests {
		if err := identity.CheckName(tt.role, tt.name); (err == nil) != tt.ok || err != nil && !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s %q: %v", tt.role, tt.name, err)
		}
	}
}

func TestFilesAreOpenFLs(t *testing.T) {
	tests := []struct {
		role           identity.Role
		name, crt, key string
	}{
		{identity.Aggregator, "agg.example.org", "cert/server/agg_agg.example.org.crt", "cert/server/agg_agg.example.org.key"},
		{identity.Collaborator, "one", "cert/client/col_one.crt", "cert/client/col_one.key"},
		{identity.Reviewer, "bob", "cert/signer/bob.crt", "cert/signer/bob.key"},
	}
	for _, tt := range tests {
		crt, key, csr := identity.Files("cert", tt.role, tt.name)
		if filepath.ToSlash(crt) != tt.crt || filepath.ToSlash(key) != tt.key || csr != strings.TrimSuffix(crt, "crt")+"csr" {
			t.Errorf("%s: %s %s %s", tt.role, crt, key, csr)
		}
	}
}

func TestRolePoliciesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range identity.Roles() {
		if oid := r.Policy().String(); seen[oid] {
			t.Errorf("%s shares the policy %s", r, oid)
		} else {
			seen[oid] = true
		}
	}
	if got, want := identity.Aggregator.Policy().String(), "1.2.840.113556.1.8000.2554.39789.64240.2545.18474.44907.4828348.7616170.1"; got != want {
		t.Errorf("policy %s, want %s: it is in certificates that exist", got, want)
	}
}

func TestKeysRoundTrip(t *testing.T) {
	for _, kt := range identity.Aggregator.KeyTypes() {
		key, err := identity.NewKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		text, err := identity.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "k.key")
		if err := identity.CreateFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if back, err := identity.ReadKey(path); err != nil || !identity.SameKey(back.Public(), key.Public()) {
			t.Errorf("%s: %v", kt, err)
		}
	}
}

func TestReadKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := identity.ReadKey(dir); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := identity.ReadKey(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for name, text := range map[string]string{
		"empty":       "",
		"too large":   strings.Repeat("#\n", 40<<10),
		"encrypted":   "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"garbage":     "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		path := filepath.Join(dir, "k")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.ReadKey(path); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreateFileNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "a"), filepath.Join(dir, "target")
	if err := identity.CreateFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := identity.CreateFile(path, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if err := identity.CreateFile(link, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a link: %v", err)
	}
	if err := identity.ReplaceFile(link, []byte("two"), 0o600); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link was followed: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "one" {
		t.Errorf("%q, %v", data, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestPEMIsStrict(t *testing.T) {
	block := "-----BEGIN X-----\nAAAA\n-----END X-----\n"
	for name, tt := range map[string]struct {
		text string
		n    int
	}{
		"one": {block, 1}, "two": {block + "\n" + block, 2}, "comment": {"# hello\n" + block + "# bye\n", 1}, "CRLF": {strings.ReplaceAll(block, "\n", "\r\n"), 1},
		"no last newline": {strings.TrimSuffix(block, "\n"), 1},
		"empty":           {"", 0}, "text before": {"hello\n" + block, 0}, "text after": {block + "x", 0}, "text between": {block + "x\n" + block, 0},
		"three": {block + block + block, 0}, "damaged": {"-----BEGIN X-----\nA!AA\n-----END X-----\n", 0}, "empty block": {"-----BEGIN X-----\n-----END X-----\n", 0},
		"other end": {"-----BEGIN X-----\nAAAA\n-----END Y-----\n", 0}, "headers": {"-----BEGIN X-----\na: b\n\nAAAA\n-----END X-----\n", 0},
		"damaged, then good": {"-----BEGIN X-----\nA!AA\n-----END X-----\n" + block, 0}, "nested": {"-----BEGIN X-----\n" + block, 0},
	} {
		blocks, err := identity.ParsePEM([]byte(tt.text), 2)
		if len(blocks) != tt.n || (err == nil) != (tt.n > 0) || err != nil && !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %d blocks, %v", name, len(blocks), err)
		}
	}
}

func TestFingerprints(t *testing.T) {
	f := identity.Fingerprint([]byte("abc"))
	if f != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(f)
	}
	for _, s := range []string{identity.Grouped(f), strings.ToUpper(f), "SHA256:" + f, " " + f + "\n"} {
		if got := identity.Ungrouped(s); got != f {
			t.Errorf("%q: %s", s, got)
		}
	}
}

func TestRequest(t *testing.T) {
	key, err := identity.NewKey(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	der, err := identity.NewRequest(key, identity.Aggregator, "agg.example.org", "localhost", "127.0.0.1", "agg.example.org")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil || csr.Subject.CommonName != "agg.example.org" || len(csr.DNSNames) != 2 || len(csr.IPAddresses) != 1 {
		t.Errorf("%v: %v %v %v", err, csr.Subject, csr.DNSNames, csr.IPAddresses)
	}
	if _, err := identity.NewRequest(key, identity.Collaborator, "site-1", "localhost"); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a collaborator with a host name: %v", err)
	}
	if _, err := identity.NewRequest(key, identity.Aggregator, "agg.example.org", "*.example.org"); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a wildcard: %v", err)
	}
}

// What parses is written back to something that parses to the same blocks.
func FuzzPEM(f *testing.F) {
	f.Add([]byte("# c\n-----BEGIN X-----\nAAAA\n-----END X-----\n"))
	f.Add([]byte("-----BEGIN X-----\r\nAAAA\r\n-----END X-----\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		blocks, err := identity.ParsePEM(data, 4)
		if err != nil {
			if !errors.Is(err, identity.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if n := bytes.Count(append([]byte("\n"), data...), []byte("\n-----BEGIN ")); n != len(blocks) {
			t.Fatalf("%d blocks of %d were returned", len(blocks), n)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := identity.ParseAnswer(data)
		if err != nil {
			if !errors.Is(err, identity.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		b, err := identity.ParseAnswer(a.Encode())
		if err != nil || !bytes.Equal(a.Encode(), b.Encode()) {
			t.Fatalf("an answer changes when it is written and read again: %v", err)
		}
	})
}
