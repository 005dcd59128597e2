package main

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/ca/identity"
)

// refuseVectors takes every ruined bundle of bundle/testdata/vectors, has alice
// and bob sign what its manifest says, so that nothing but the bytes is wrong,
// and requires that fxrun refuses it for the cause that the file's name begins
// with.
func refuseVectors(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(filepath.Join(args[0], "*.fxb"))
	ts.Check(err)
	if len(files) < 40 {
		ts.Fatalf("%d vectors in %q", len(files), args[0])
	}
	alice, bob := readPerson(ts, identity.Publisher, "alice"), readPerson(ts, identity.Reviewer, "bob")
	good, err := approval.ReadSidecar(ts.MkAbs("fed.fxb.sigs.jsonl"))
	ts.Check(err)
	target := ts.MkAbs("ruined.fxb")
	for _, file := range files {
		data, err := os.ReadFile(file)
		ts.Check(err)
		ts.Check(os.WriteFile(target, data, 0o644))
		sidecar := good // of no use where no manifest can be read
		if b, err := bundle.OpenFile(target); err == nil {
			sidecar = signVector(ts, b.Subject(), alice, bob)
			ts.Check(b.Close())
		}
		ts.Check(sidecar.Write(approval.SidecarPath(target)))
		name := filepath.Base(file)
		cause, _, _ := strings.Cut(name, ".")
		exits(ts, false, []string{"3", "fxrun", "ping", "--bundle", target, "--name", "hospital-a", "--json"})
		if out, want := ts.ReadFile("stdout"), fmt.Sprintf("%q: %q", "cause", cause); !strings.Contains(out, want) {
			ts.Fatalf("%s: fxrun says %s, want %s", name, out, want)
		}
	}
}

func signVector(ts *testscript.TestScript, s approval.Subject, alice, bob person) *approval.Sidecar {
	s.FileSHA256 = s.BundleID // only stock tools look at it
	now := time.Now()
	release, err := approval.SignRelease(alice.key, alice.leaf, s, approval.Release{
		Name: s.Name, Version: s.Version, TreeSHA256: s.TreeSHA256, CreatedAt: approval.Time(now), Tool: "test",
	})
	ts.Check(err)
	review, err := approval.SignReview(bob.key, bob.leaf, s, approval.Review{
		Decision: approval.Approved, ReviewedAt: approval.Time(now), ValidFrom: approval.Time(now), ValidUntil: approval.Time(now.AddDate(0, 0, 1)),
	})
	ts.Check(err)
	sidecar, err := (&approval.Sidecar{}).Add(release)
	ts.Check(err)
	sidecar, err = sidecar.Add(review)
	ts.Check(err)
	return sidecar
}

// person is a signer's key and certificate.
type person struct {
	key  crypto.Signer
	leaf *x509.Certificate
}

func readPerson(ts *testscript.TestScript, role identity.Role, name string) person {
	crt, keyFile, _ := identity.Files(ts.MkAbs("cert"), role, name)
	certs, err := identity.ReadCertificates(crt)
	ts.Check(err)
	key, err := identity.ReadKey(keyFile)
	ts.Check(err)
	return person{key, certs[0]}
}
