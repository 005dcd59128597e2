package issuer_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/ca/identity"
	"fx/ca/issuer"
)

// Requests that OpenSSL makes, as a requester would type it: those that are
// sound are signed, the others are refused, and nothing is recorded.
func TestOpenSSLRequests(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skipf("no OpenSSL: %v", err)
	}
	const p256 = "ec -pkeyopt ec_paramgen_curve:P-256"
	tests := []struct {
		name, key, subject, config string
		role                       identity.Role
		allow                      bool
		want                       string // "": signed
	}{
		{"plain", p256, "/CN=site-1", "", identity.Collaborator, false, ""},
		{"RSA 3072", "rsa -pkeyopt rsa_keygen_bits:3072", "/C=DE/O=Some Hospital/CN=site-2", "", identity.Collaborator, false, ""},
		{"RSA 2048, allowed by name", "rsa -pkeyopt rsa_keygen_bits:2048", "/CN=site-3", "", identity.Collaborator, true, ""},
		{"aggregator", p256, "/CN=agg.example.org", "subjectAltName = DNS:agg.example.org, IP:10.0.0.1", identity.Aggregator, false, ""},
		{"RSA 2048", "rsa -pkeyopt rsa_keygen_bits:2048", "/CN=site-9", "", identity.Collaborator, false, "key-rsa-size"},
		{"RSA 1024, though 2048 is allowed", "rsa -pkeyopt rsa_keygen_bits:1024", "/CN=site-9", "", identity.Collaborator, true, "key-rsa-size"},
		{"exponent 3", "rsa -pkeyopt rsa_keygen_bits:3072 -pkeyopt rsa_keygen_pubexp:3", "/CN=site-9", "", identity.Collaborator, false, "key-rsa-exponent"},
		{"secp256k1", "ec -pkeyopt ec_paramgen_curve:secp256k1", "/CN=site-9", "", identity.Collaborator, false, "csr-parse"},
		{"brainpool", "ec -pkeyopt ec_paramgen_curve:brainpoolP256r1", "/CN=site-9", "", identity.Collaborator, false, "csr-parse"},
		{"Ed448", "ed448", "/CN=site-9", "", identity.Collaborator, false, "csr-signature-algorithm key-type"},
		{"X25519 cannot sign itself", "", "", "", identity.Collaborator, false, "csr-pem"},
		{"CA", p256, "/CN=site-9", "basicConstraints = critical, CA:TRUE", identity.Collaborator, false, "ext-ca"},
		{"certificate signing", p256, "/CN=site-9", "keyUsage = keyCertSign, cRLSign", identity.Collaborator, false, "ext-key-usage"},
		{"time stamping", p256, "/CN=site-9", "extendedKeyUsage = timeStamping", identity.Collaborator, false, "ext-extended-key-usage"},
		{"must staple", p256, "/CN=site-9", "tlsfeature = critical, status_request", identity.Collaborator, false, "ext-critical-unknown"},
		{"other name", p256, "/CN=site-9", "subjectAltName = otherName:1.3.6.1.4.1.311.20.2.3;UTF8:admin@example.org", identity.Collaborator, false, "san-other"},
		{"directory name", p256, "/CN=site-9", "subjectAltName = dirName:d\n[d]\nCN = root", identity.Collaborator, false, "san-other"},
		{"registered identifier", p256, "/CN=site-9", "subjectAltName = RID:1.2.3.4", identity.Collaborator, false, "san-other"},
		{"e-mail", p256, "/CN=site-9/emailAddress=a@example.org", "", identity.Collaborator, false, "san-email"},
		{"wildcard", p256, "/CN=agg-9.example.org", "subjectAltName = DNS:agg-9.example.org, DNS:*.example.org", identity.Aggregator, false, "san-dns"},
		{"URI of a file", p256, "/CN=site-9", "subjectAltName = URI:file:///etc/passwd", identity.Collaborator, false, "san-uri"},
		{"no name", p256, "/O=Nobody", "", identity.Collaborator, false, "name-common-name"},
		{"two names", p256, "/CN=site-9/CN=site-1", "", identity.Collaborator, false, "name-common-name"},
		{"name of a tag", p256, "/CN=trained", "", identity.Collaborator, false, "name-invalid"},
	}
	ca, dir := newCA(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := entries(t, dir)
			approved := identity.Identity{Role: tt.role}
			if tt.want == "name-common-name" {
				approved.Name = "site-9"
			}
			req, err := issuer.ParseRequest(openSSLRequest(t, tt.key, tt.subject, tt.config))
			if err == nil {
				_, err = ca.Sign(context.Background(), req, approved, issuer.Options{AllowWeak: tt.allow})
			}
			got := slices.Compact(ids(err))
			if strings.Join(got, " ") != tt.want || (err == nil) != (tt.want == "") {
				t.Errorf("refused for %q, want %q: %v", got, tt.want, err)
			}
			if err != nil && !slices.Equal(entries(t, dir), before) {
				t.Error("a refusal left a record")
			}
		})
	}
}

// openSSLRequest makes a key and a request; no key type means a block that is
// no request.
func openSSLRequest(t *testing.T, key, subject, config string) []byte {
	t.Helper()
	dir := t.TempDir()
	keyFile, configFile := filepath.Join(dir, "key.pem"), filepath.Join(dir, "config")
	if key == "" {
		key = "x25519"
	}
	openSSL(t, append([]string{"genpkey", "-out", keyFile, "-algorithm"}, strings.Fields(key)...)...)
	if key == "x25519" {
		return openSSL(t, "pkey", "-in", keyFile, "-pubout")
	}
	text := "[req]\ndistinguished_name = n\n[n]\n"
	args := []string{"req", "-new", "-utf8", "-key", keyFile, "-subj", subject, "-config", configFile}
	if config != "" {
		text += "[v3]\n" + config + "\n"
		args = append(args, "-reqexts", "v3")
	}
	write(t, configFile, []byte(text))
	return openSSL(t, args...)
}

func openSSL(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("openssl", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("openssl %q: %v: %s", args, err, exit.Stderr)
		}
		t.Fatalf("openssl %q: %v", args, err)
	}
	return out
}

// The archive in which OpenFL sends a request, sound and otherwise.
func TestZipRequests(t *testing.T) {
	ca, _ := newCA(t, nil)
	good := csr(t, nil)
	key, err := identity.EncodeKey(newKey(t, identity.P256))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) issuer.ZipFile { return issuer.ZipFile{Name: name, Data: data} }
	many := make([]issuer.ZipFile, 17)
	for i := range many {
		many[i] = file(strings.Repeat("a", i+1), nil)
	}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"as OpenFL makes it":     {zipOf(t, file("col_site-1.csr", good)), ""},
		"with a note":            {zipOf(t, file("README", []byte("hello")), file("client/col_site-1.csr", good)), ""},
		"with the private key":   {zipOf(t, file("col_site-1.csr", good), file("col_site-1.key", key)), "csr-zip"},
		"two requests":           {zipOf(t, file("a.csr", good), file("b.csr", good)), "csr-zip"},
		"no request":             {zipOf(t, file("a.crt", good)), "csr-zip"},
		"too many files":         {zipOf(t, many...), "csr-zip"},
		"a bomb":                 {zipOf(t, file("a.csr", make([]byte, 8<<20))), "csr-zip"},
		"damaged":                {zipOf(t, file("a.csr", good))[:100], "csr-zip"},
		"a request that is none": {zipOf(t, file("a.csr", []byte("hello"))), "csr-pem"},
	} {
		req, err := issuer.ParseRequest(tt.data)
		if err == nil {
			_, err = ca.Review(req, identity.Identity{Role: identity.Collaborator}, issuer.Options{})
		}
		if got := strings.Join(ids(err), " "); got != tt.want {
			t.Errorf("%s: refused for %q, want %q: %v", name, got, tt.want, err)
		}
	}
}

// FuzzZip hands anything to the reader of archives and of rosters.
func FuzzZip(f *testing.F) {
	f.Add(zipOf(f, issuer.ZipFile{Name: "a.csr", Data: csr(f, nil)}), ".zip")
	f.Add([]byte("name,role,fingerprint\nsite-1,collaborator,"+strings.Repeat("ab", 32)+"\n"), ".csv")
	f.Add([]byte("participants: [{name: a, role: reviewer, fingerprint: 00}]"), ".yaml")
	f.Add([]byte(`{"participants": []}`), ".json")
	f.Fuzz(func(t *testing.T, data []byte, ending string) {
		if _, err := issuer.ParseRequest(data); err != nil && len(ids(err)) == 0 {
			t.Errorf("an error without a refusal: %v", err)
		}
		if list, err := issuer.ParseRoster("roster"+ending, data); err == nil && len(list) == 0 {
			t.Error("an empty roster")
		}
	})
}

func zipOf(t testing.TB, files ...issuer.ZipFile) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w, err := z.Create(f.Name)
		if err == nil {
			_, err = w.Write(f.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
