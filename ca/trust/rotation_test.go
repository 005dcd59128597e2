package trust_test

import (
	"path/filepath"
	"testing"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/ca/trust"
)

// site is a participant's certificate folder at one point of a federation's
// life; what happens at the CA later does not reach it.
type site struct {
	role identity.Role
	name string
	dir  string
}

func (f *federation) join(t *testing.T, r identity.Role, name string) site {
	t.Helper()
	key := must(identity.NewKey(identity.P256))(t)
	der := must(identity.NewRequest(key, r, name))(t)
	req := must(issuer.ParseRequest(identity.EncodeRequest(der)))(t)
	issued := must(f.ca.Sign(t.Context(), req, identity.Identity{Role: r}, issuer.Options{Replace: true}))(t)
	s := site{r, name, t.TempDir()}
	at := &federation{dir: s.dir}
	at.put(t, r, name, key, issued.Certificate)
	at.chains(t, issued.Answer.NetworkChain(), issued.Answer.SigningChain())
	if len(issued.Answer.CRLs) > 0 {
		write(t, filepath.Join(s.dir, identity.CRLFile), identity.EncodeCRLs(issued.Answer.CRLs...))
	}
	return s
}

// connect handshakes a collaborator with an aggregator over real mutual TLS.
func connect(t *testing.T, aggregator, collaborator site) (serverErr, clientErr error) {
	t.Helper()
	server, _, err := trust.ServerTLS(trust.Config{CertDir: aggregator.dir, Role: aggregator.role, Name: aggregator.name, Now: at(start)})
	if err != nil {
		t.Fatal(err)
	}
	client, _, err := trust.ClientTLS(trust.Config{CertDir: collaborator.dir, Role: collaborator.role, Name: collaborator.name, Now: at(start)}, aggregator.name)
	if err != nil {
		t.Fatal(err)
	}
	return handshake(t, server, client)
}

// While a rotation is under way everybody talks with everybody: those who have
// nothing but certificates of before, those of each step, and those of after.
func TestRotationKeepsOldAndNewTogether(t *testing.T) {
	f := newFederation(t)
	var aggregators, collaborators []site
	join := func() {
		n := string(rune('a' + len(collaborators)))
		aggregators = append(aggregators, f.join(t, identity.Aggregator, "agg-"+n+".example.org"))
		collaborators = append(collaborators, f.join(t, identity.Collaborator, "site-"+n))
	}
	join()
	for _, k := range []issuer.Kind{issuer.Network, issuer.Root, issuer.Signing, issuer.Network} {
		if _, err := f.ca.Rotate(t.Context(), k, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.ca.UnlockLists(nil, issuer.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.ca.IssueCRLs(t.Context(), issuer.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		join()
	}
	for i, a := range aggregators {
		for j, c := range collaborators {
			if s, cl := connect(t, a, c); s != nil || cl != nil {
				t.Errorf("aggregator of step %d with collaborator of step %d: server %v, client %v", i, j, s, cl)
			}
		}
	}
	if s, c := connect(t, newFederation(t).join(t, identity.Aggregator, "agg-z.example.org"), collaborators[4]); s == nil && c == nil {
		t.Error("another federation's aggregator is accepted")
	}
}
