package trust

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pkitsDiffers lists the tests in which we say otherwise than the suite, and
// why. All but the last are refusals of what the suite accepts, the safe side.
var pkitsDiffers = []struct {
	tests  string // numbers
	reason string
}{
	{"4.1.4 4.1.5", "DSA is not supported"},
	{"4.3.3 4.3.4 4.3.5 4.3.10 4.3.11", "names are compared byte by byte, as RFC 5280 section 7.1 allows: our CA writes them one way"},
	{"4.5.1 4.5.3 4.5.4 4.6.15 4.6.17 4.9.6 4.11.7 4.12.7 4.12.9 4.13.19", "a CA file whose subject is its issuer must be a root; our generations have different names"},
	{"4.5.6", "a key that signs lists and nothing else is no CA of ours"},
	{"4.13.1 4.13.4 4.13.5 4.13.6 4.13.11 4.13.14 4.13.18 4.13.27", "constraints of directory names are not understood, and critical"},
	{"4.13.25 4.13.36", "an excluded host of e-mail addresses and URIs is read as its subdomains too"},
	{"4.13.24", "accepted: an e-mail constraint; FromCertificate refuses every certificate with an e-mail address"},
}

// pkitsApart says why a test is not run: its verdict rests on something that is
// not there.
func pkitsApart(number string, defaults bool) string {
	switch {
	case strings.HasPrefix(number, "4.4."), strings.HasPrefix(number, "4.14."), strings.HasPrefix(number, "4.15."),
		number == "4.7.4", number == "4.7.5":
		return "about revocation lists, which do not ship with the Go source; vectors_test.go has its own"
	case !defaults:
		return "asks for policies; here the leaf's one policy is its role, compared exactly"
	}
	return ""
}

// TestPKITS runs the NIST Public Key Interoperability Test Suite, which ships
// with the Go source, through chain building and revocation. Who a certificate
// names is not part of it.
func TestPKITS(t *testing.T) {
	dir := filepath.Join(build.Default.GOROOT, "src", "crypto", "x509", "testdata", "nist-pkits")
	data, err := os.ReadFile(filepath.Join(dir, "vectors.json"))
	if err != nil {
		t.Skipf("the Go source is not here: %v", err)
	}
	var vectors []struct {
		Name                        string
		CertPath                    []string
		ShouldValidate              bool
		InitialPolicySet            []string
		InitialPolicyMappingInhibit bool
		InitialExplicitPolicy       bool
		InitialAnyPolicyInhibit     bool
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	expected := map[string]string{}
	for _, d := range pkitsDiffers {
		for _, number := range strings.Fields(d.tests) {
			expected[number] = d.reason
		}
	}
	agree, differ, apart := 0, 0, 0
	for _, v := range vectors {
		number, _, _ := strings.Cut(v.Name, " ")
		defaults := slices.Equal(v.InitialPolicySet, []string{"anyPolicy"}) && !v.InitialPolicyMappingInhibit && !v.InitialExplicitPolicy && !v.InitialAnyPolicyInhibit
		if pkitsApart(number, defaults) != "" {
			apart++
			continue
		}
		err := judgePKITS(dir, v.CertPath, at)
		reason, known := expected[number]
		switch same := (err == nil) == v.ShouldValidate; {
		case same && known:
			t.Errorf("%s: agrees, though it should differ: %s", v.Name, reason)
		case same:
			agree++
		case known:
			differ++
		default:
			t.Errorf("%s: got %v, want valid: %v", v.Name, err, v.ShouldValidate)
		}
	}
	t.Logf("of %d tests %d agree, %d differ for a reason, %d are apart", len(vectors), agree, differ, apart)
	if agree < 100 {
		t.Errorf("only %d tests ran and agree", agree)
	}
}

func judgePKITS(dir string, certPath []string, at time.Time) error {
	var certs []*x509.Certificate
	for _, name := range certPath {
		der, err := os.ReadFile(filepath.Join(dir, "certs", name))
		if err != nil {
			return err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		certs = append(certs, c)
	}
	leaf := certs[len(certs)-1]
	a, err := New(certs[:len(certs)-1], nil)
	if err != nil {
		return err
	}
	ways, err := a.ways([]*x509.Certificate{leaf}, at)
	if err != nil {
		return err
	}
	err = fmt.Errorf("no way")
	for _, w := range ways {
		if err = a.judge(w, "", at); err == nil {
			return nil
		}
	}
	return err
}
