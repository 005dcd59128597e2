package receipt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

func sum(c string) string { return strings.Repeat(c, 64) }

// sample is a receipt of two rounds, the second without a result of "two".
func sample() *Receipt {
	return &Receipt{
		FederationID: "plan.yaml_12345678", AggregatorID: "aggregator_plan.yaml_12345678",
		Bundle: Bundle{ID: sum("b"), Name: "ward", Version: "1.0.0"}, Plan: Plan{Path: "plan/plan.yaml", SHA256: sum("c"), Hash: sum("d")},
		Policy: Policy{Name: "built-in"}, Signatures: []Signature{}, Tasks: []Task{{"train", "x"}}, Pipeline: "NoCompression",
		Roster:     []Member{{"one", []Certificate{{SHA256: sum("1")}}}, {"two", []Certificate{}}},
		FirstRound: 3, InitialModel: sum("3"), Complete: true, Unproven: []string{},
		Rounds: []Round{
			{Round: 3, Done: []string{"one", "two"}, Stragglers: []string{}, Closing: sum("5"), Outcome: sum("6"), Model: sum("4"),
				Results: []Result{{"train", "one", 10, sum("7")}, {"train", "two", -1, sum("8")}}},
			{Round: 4, Done: []string{"one"}, Stragglers: []string{"two"}, Closing: sum("9"), Outcome: sum("a"), Model: sum("5"), State: sum("e"),
				Results: []Result{{"train", "one", 10, sum("7")}}},
		},
		Best: &Model{4, sum("4")}, Last: &Model{4, sum("4")}, Final: Model{5, sum("5")},
	}
}

func certificate(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agg"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func signedSample(t testing.TB) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	data, err := sample().Sign(key, certificate(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Every kind of key that an aggregator may have can sign.
func TestSignAndParse(t *testing.T) {
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	rsa3072, err4 := rsa.GenerateKey(rand.Reader, 3072)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"P-256": p256, "P-384": p384, "Ed25519": ed, "RSA": rsa3072} {
		data, err := sample().Sign(key, certificate(t, key))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Payload[len(s.Payload)/2] ^= 1
		if err := s.Verify(); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s: with one bit changed %v, want ErrUntrusted", name, err)
		}
	}
	if _, err := sample().Sign(p256, certificate(t, p384)); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("the key of another certificate: %v, want ErrUntrusted", err)
	}
}

// No byte of a receipt can change without anybody noticing.
func TestEveryFlipIsNoticed(t *testing.T) {
	data := signedSample(t)
	for i := range data {
		bent := bytes.Clone(data)
		bent[i] ^= 1
		s, err := Parse(bent)
		if err == nil {
			err = s.Verify()
		}
		if err == nil && bytes.Equal(s.Leaf.Raw, mustParse(t, data).Leaf.Raw) {
			t.Errorf("byte %d can change", i)
		}
		if err != nil && !errors.Is(err, schema.ErrInvalid) && !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("byte %d: %v, want ErrInvalid or ErrUntrusted", i, err)
		}
	}
}

func mustParse(t testing.TB, data []byte) *Signed {
	t.Helper()
	s, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReceiptsThatContradictThemselves(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := certificate(t, key)
	for want, change := range map[string]func(*Receipt){
		"final_model":                     func(r *Receipt) { r.Final.SHA256 = sum("f") },
		"last_model":                      func(r *Receipt) { r.Last = nil },
		"best_model":                      func(r *Receipt) { r.Best.Round = 5 },
		"its number is 7":                 func(r *Receipt) { r.Rounds[1].Round = 7 },
		"closing_sha256 is no SHA-256":    func(r *Receipt) { r.Rounds[0].Closing = "5" },
		"state_sha256 is no SHA-256":      func(r *Receipt) { r.Rounds[1].State = "E" },
		"is there twice":                  func(r *Receipt) { r.Rounds[0].Results[1].Collaborator = "one" },
		"not among those that are done":   func(r *Receipt) { r.Rounds[1].Results[0].Collaborator = "two" },
		"the roster is not sorted":        func(r *Receipt) { r.Roster[0].Name = "zero" },
		`the roster is ["one"], the rou`:  func(r *Receipt) { r.Roster = r.Roster[:1] },
		`the roster is ["one" "two" "tw`:  func(r *Receipt) { r.Roster = append(r.Roster, r.Roster[1]) },
		`round 4: "one" is there twice`:   func(r *Receipt) { r.Rounds[1].Stragglers = []string{"one"} },
		"policy.sha256":                   func(r *Receipt) { r.Policy.SHA256 = "none" },
		"initial_model_sha256":            func(r *Receipt) { r.InitialModel = "" },
		"first_round is -1":               func(r *Receipt) { r.FirstRound = -1 },
		`"two" for task "train" has no S`: func(r *Receipt) { r.Rounds[0].Results[1].SHA256 = "8" },
	} {
		r := sample()
		change(r)
		data, err := r.Sign(key, leaf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(data); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want ErrInvalid with %q", err, want)
		}
	}
}

func TestHolds(t *testing.T) {
	for digest, want := range map[string]string{
		sum("5"): "the final model", sum("4"): "the best model, with which round 4 began", sum("3"): "the initial model", sum("0"): "",
	} {
		if got := sample().Holds(digest); got != want {
			t.Errorf("%s: %q, want %q", digest[:4], got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	data := signedSample(f)
	f.Add(data, []byte(nil))
	f.Add([]byte("{}\n"), mustParse(f, data).Payload)
	f.Fuzz(func(t *testing.T, file, payload []byte) {
		if s, err := Parse(file); err != nil && !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("error %v does not wrap ErrInvalid", err)
		} else if err == nil && s.Leaf == nil {
			t.Error("no certificate")
		}
		// The same with what only the signer could have written.
		at := bytes.Index(data, []byte(`"payload":"`)) + len(`"payload":"`)
		end := at + bytes.IndexByte(data[at:], '"')
		inside := bytes.Join([][]byte{data[:at], []byte(base64.StdEncoding.EncodeToString(payload)), data[end:]}, nil)
		s, err := Parse(inside)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Errorf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		if again, err := s.payload(); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("written again it is %q, %v; it was %q", again, err, payload)
		}
	})
}
