package trust

import (
	"crypto/x509"
	"time"

	"fx/ca/identity"
)

// CheckAnswer says whom a CA's answer certifies, if all of it hangs together:
// the certificate verifies against the answer's own chain of its kind, and
// both chains and all revocation lists are sound. Whether its root is the
// right one, and the key the requester's own, is for the caller to judge.
func CheckAnswer(answer *identity.Answer, at time.Time) (identity.Identity, error) {
	id, err := identity.FromCertificate(answer.Leaf)
	if err != nil {
		return identity.Identity{}, err
	}
	network, signing, err := checkCAs(answer, at)
	if err != nil {
		return identity.Identity{}, err
	}
	a := network
	if id.Role.Signs() {
		a = signing
	}
	return a.Verify([]*x509.Certificate{answer.Leaf}, id.Role, at)
}

// CheckUpdate says whether a CA's update hangs together: both chains and all
// revocation lists are sound. Whether its root is the right one is for the
// caller to judge.
func CheckUpdate(update *identity.Answer, at time.Time) error {
	_, _, err := checkCAs(update, at)
	return err
}

func checkCAs(answer *identity.Answer, at time.Time) (network, signing *Anchors, err error) {
	if network, err = New(answer.NetworkChain(), answer.CRLs); err != nil {
		return nil, nil, err
	}
	if signing, err = New(answer.SigningChain(), answer.CRLs); err != nil {
		return nil, nil, err
	}
	for _, ca := range append(network.Certificates(), signing.Certificates()...) {
		if err := network.issued(ca, at); err != nil {
			return nil, nil, err
		}
	}
	return network, signing, nil
}

// issued requires that a CA certificate is itself in order under these roots.
func (a *Anchors) issued(ca *x509.Certificate, at time.Time) error {
	if _, err := ca.Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: a.subordinate, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return identity.Untrustedf("the certificate of %q is not in order: %w", ca.Subject, err)
	}
	return nil
}
