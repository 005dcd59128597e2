package command

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"fx/ca/identity"
)

// An old answer cannot undo a revocation, nor take another CA's list away.
func TestNewestCRLs(t *testing.T) {
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		t.Fatal(err)
	}
	crl := func(ca string, number int64) *x509.RevocationList {
		t.Helper()
		issuer := &x509.Certificate{Subject: pkix.Name{CommonName: ca}, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(number), ThisUpdate: time.Unix(0, 0), NextUpdate: time.Unix(1, 0),
		}, issuer, key)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	path := filepath.Join(t.TempDir(), identity.CRLFile)
	for _, tt := range []struct{ answer, want int64 }{{5, 5}, {6, 6}, {5, 6}, {7, 7}} {
		merged, err := newestCRLs(path, []*x509.RevocationList{crl("network", tt.answer)})
		if err != nil {
			t.Fatal(err)
		}
		if merged[0].Number.Int64() != tt.want {
			t.Errorf("list %d of an answer leaves %d in place, want %d", tt.answer, merged[0].Number, tt.want)
		}
		if err := identity.ReplaceFile(path, identity.EncodeCRLs(merged...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	merged, err := newestCRLs(path, []*x509.RevocationList{crl("signing", 1)})
	if err != nil || len(merged) != 2 {
		t.Errorf("%d lists (%v), want that of the signing CA and that of the network CA", len(merged), err)
	}
}
