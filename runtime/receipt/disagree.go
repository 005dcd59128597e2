package receipt

import (
	"crypto/x509"
	"fmt"
	"slices"

	"fx/bundle"
	"fx/bundle/approval"
)

// Chain is the signer's certificate as those who judge certificates take it.
func (s *Signed) Chain() []*x509.Certificate { return []*x509.Certificate{s.Leaf} }

// Disagrees says in what the receipt is not about a bundle and the signatures that
// lie beside it: sidecar has the SHA-256 of their lines, in order. The policy is not compared:
// every site has its own.
func (s *Signed) Disagrees(v *bundle.Verified, f *bundle.Federation, sidecar []string) []string {
	var found []string
	differs := func(what, receipt, bundle string) {
		if receipt != bundle {
			found = append(found, fmt.Sprintf("%s is %q in the receipt, %q in the bundle", what, receipt, bundle))
		}
	}
	differs("the federation id", s.FederationID, f.Plan.FederationID)
	differs("the aggregator id", s.AggregatorID, f.Plan.AggregatorID)
	differs("the plan's hash", s.Plan.Hash, f.Plan.Hash)
	differs("the compression pipeline", s.Pipeline, f.Plan.Compression.Template)
	differs("the bundle's name", s.Bundle.Name, v.Name())
	differs("the bundle's version", s.Bundle.Version, v.Version())
	if sum, err := planSHA256(v); err != nil || sum != s.Plan.SHA256 {
		differs("the plan's SHA-256", s.Plan.SHA256, sum)
	}
	if host := f.Plan.Network.Host; s.Leaf.VerifyHostname(host) != nil && !slices.Contains(s.Leaf.DNSNames, host) {
		found = append(found, fmt.Sprintf("the signer's certificate is not for the plan's aggregator %q", host))
	}
	found = append(found, s.course(f)...)
	judged := v.Decision().Signatures
	for _, a := range s.Signatures {
		i := slices.Index(sidecar, a.SHA256)
		switch {
		case i < 0:
			found = append(found, fmt.Sprintf("the signature of %s %s, SHA-256 %s, is not beside the bundle", a.Role, a.Name, a.SHA256))
		case !judged[i].Counts:
			found = append(found, fmt.Sprintf("the signature of %s %s does not count: %s", a.Role, a.Name, judged[i].Reason))
		case judged[i].Identity != a.Identity || judged[i].KeySHA256 != a.KeySHA256:
			found = append(found, fmt.Sprintf("the signature of %s %s was made by %s", a.Role, a.Name, judged[i].Identity))
		}
	}
	for _, predicate := range []string{approval.ReleaseType, approval.ReviewType} {
		if len(v.Decision().Counted(predicate)) > 0 && !slices.ContainsFunc(s.Signatures, func(a Signature) bool {
			return (a.Role == "publisher") == (predicate == approval.ReleaseType)
		}) {
			found = append(found, fmt.Sprintf("no signature of the kind %s is in the receipt", predicate))
		}
	}
	return found
}
