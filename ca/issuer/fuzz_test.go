package issuer_test

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"fx/ca/identity"
	"fx/ca/issuer"
)

// Whatever a request says, it is refused, or what would be issued names exactly
// what was approved.
func FuzzRequest(f *testing.F) {
	ca, _ := newCA(f, nil)
	f.Add(csr(f, nil))
	f.Add(csr(f, func(c *x509.CertificateRequest) { c.DNSNames = []string{"site-1"} }))
	f.Add(csr(f, sanOf(f, 0, []byte{1, 2, 3})))
	f.Add(csr(f, ext(f, true, 1, 1, 2, 3)))
	for _, r := range identity.Roles() {
		der, err := identity.NewRequest(newKey(f, identity.P256), r, names(r))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(identity.EncodeRequest(der))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, text := range [][]byte{data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: data})} {
			req, err := issuer.ParseRequest(text)
			if err != nil {
				if len(ids(err)) == 0 {
					t.Fatalf("an error without a refusal: %v", err)
				}
				continue
			}
			for _, r := range identity.Roles() {
				approved := identity.Identity{Federation: federation, Role: r, Name: names(r)}
				p, err := ca.Review(req, approved, issuer.Options{})
				if err == nil && p.Identity != approved {
					t.Fatalf("approved %v, proposed %v", approved, p.Identity)
				}
			}
		}
	})
}
