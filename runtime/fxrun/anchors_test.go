package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.step.sm/crypto/pemutil"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/ca/trust"
)

// newCollaborator makes a CA and a collaborator's certificate, and puts the
// chain where the aggregator looks for it.
func newCollaborator(t *testing.T) (certDir string, leaf, network *x509.Certificate, networkKey crypto.Signer) {
	t.Helper()
	caDir := filepath.Join(t.TempDir(), "ca")
	ca, err := issuer.Create(t.Context(), issuer.CreateOptions{Dir: caDir, Federation: "fed.example.org", Passphrase: []byte(passphrase)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := identity.NewRequest(key, identity.Collaborator, "hospital-a")
	if err != nil {
		t.Fatal(err)
	}
	req, err := issuer.ParseRequest(identity.EncodeRequest(der))
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Unlock(issuer.Network, []byte(passphrase)); err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator, Name: "hospital-a"}, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	certDir = t.TempDir()
	chain := identity.EncodeCertificates(ca.Certificate(issuer.Root), ca.Certificate(issuer.Network))
	if err := os.WriteFile(filepath.Join(certDir, identity.ChainFile), chain, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := pemutil.Read(filepath.Join(caDir, "network-ca", "private", "network-ca.key"), pemutil.WithPassword([]byte(passphrase)))
	if err != nil {
		t.Fatal(err)
	}
	return certDir, issued.Certificate, ca.Certificate(issuer.Network), opened.(crypto.Signer)
}

func TestRevocationTakesEffectWithoutARestart(t *testing.T) {
	dir, leaf, network, key := newCollaborator(t)
	loaded, err := trust.Load(filepath.Join(dir, identity.ChainFile), filepath.Join(dir, identity.CRLFile))
	if err != nil {
		t.Fatal(err)
	}
	a := newAnchors(trust.Config{CertDir: dir}, loaded, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if id, err := a.verify([]*x509.Certificate{leaf}, time.Now()); err != nil || id.Name != "hospital-a" {
		t.Fatalf("before: %v, %v; want hospital-a", id, err)
	}

	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: leaf.SerialNumber, RevocationTime: time.Now()}},
	}, network, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseRevocationList(crl)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, identity.CRLFile), identity.EncodeCRLs(parsed), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = a.verify([]*x509.Certificate{leaf}, time.Now())
	if _, ok := errors.AsType[*trust.RevokedError](err); !ok {
		t.Errorf("after: %v, want that it is revoked", err)
	}

	if err := os.WriteFile(filepath.Join(dir, identity.CRLFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = a.verify([]*x509.Certificate{leaf}, time.Now())
	if _, ok := errors.AsType[*trust.RevokedError](err); !ok {
		t.Errorf("with an unreadable list: %v, want that the last good one stays in force", err)
	}

	if err := os.Remove(filepath.Join(dir, identity.CRLFile)); err != nil {
		t.Fatal(err)
	}
	_, err = a.verify([]*x509.Certificate{leaf}, time.Now())
	if _, ok := errors.AsType[*trust.RevokedError](err); !ok {
		t.Errorf("without the list: %v, want that the last good one stays in force", err)
	}
}
