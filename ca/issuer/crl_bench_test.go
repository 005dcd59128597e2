package issuer

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"fx/ca/identity"
)

// A revocation list of 100,000 certificates: chosen from the account, signed,
// checked, and written as DER and PEM. The relying party's share is apart.
func BenchmarkList100000(b *testing.B) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	dir := filepath.Join(b.TempDir(), "ca")
	ca, err := Create(context.Background(), CreateOptions{Dir: dir, Federation: "fed.example.org", Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	if err := ca.Unlock(Network, nil); err != nil {
		b.Fatal(err)
	}
	a := newAccount(nil)
	for i := range 100_000 {
		serial := hex.EncodeToString(new(big.Int).Add(big.NewInt(int64(i)), new(big.Int).Lsh(big.NewInt(1), 158)).FillBytes(make([]byte, 20)))
		a.add(&Record{Kind: KindIssued, Serial: serial, Issuer: Network, Role: identity.Collaborator, Name: fmt.Sprint("site-", i), NotAfter: now.AddDate(1, 0, 0)})
		a.add(&Record{Kind: KindRevoked, Serial: serial, Issuer: Network, IssuedAt: now, Reason: "keyCompromise"})
	}
	var list *List
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			if list, err = ca.makeList(ca.current(Network), a, now, 14); err != nil || list.Record.Entries != 100_000 {
				b.Fatal(err)
			}
			if err := ca.publish([]*List{list}, a); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(list.CRL.Raw)), "bytes")
	})
	b.Run("bare", func(b *testing.B) { // what the standard library alone needs
		for b.Loop() {
			t := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 14), RevokedCertificateEntries: entriesOf(ca.current(Network), a, now)}
			if _, err := x509.CreateRevocationList(nil, t, ca.certs[Network], ca.keys[Network]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
