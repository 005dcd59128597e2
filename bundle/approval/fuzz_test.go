package approval_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"fx/bundle/approval"
	"fx/ca/identity"
	"fx/schema"
)

// FuzzSidecar: what is accepted is written back to the very same bytes, and
// judging it never panics.
func FuzzSidecar(f *testing.F) {
	t := testing.TB(f)
	ca := newAuthority(t, "signing CA")
	alice, bob := ca.signer(identity.Publisher, "alice", p256(t)), ca.signer(identity.Reviewer, "bob", ed(t))
	a, err := approval.SignRelease(alice.key, alice.cert, subject, releaseOf(subject))
	if err != nil {
		f.Fatal(err)
	}
	b, err := approval.SignReview(bob.key, bob.cert, subject, review())
	if err != nil {
		f.Fatal(err)
	}
	one, err := (&approval.Sidecar{}).Add(a)
	if err != nil {
		f.Fatal(err)
	}
	two, err := one.Add(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one.Bytes())
	f.Add(two.Bytes())
	f.Add([]byte("{}\n"))
	anchors := ca.anchors()
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := approval.ParseSidecar(data)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("got %v, want an invalid document", err)
			}
			return
		}
		if !bytes.Equal(s.Bytes(), data) {
			t.Fatal("accepted what it would not write")
		}
		if d := approval.Evaluate(approval.Policy{}, s, subject, anchors, now); d.Approved && !bytes.Equal(data, two.Bytes()) {
			t.Fatal("approved by other signatures than those made")
		}
	})
}

// FuzzPolicy: whatever is accepted still asks for a publisher and a reviewer.
func FuzzPolicy(f *testing.F) {
	for _, p := range goodPolicies {
		f.Add([]byte(p))
	}
	for _, p := range badPolicies {
		f.Add([]byte(p.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := approval.ParsePolicy("p.yaml", data)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("got %v, want an invalid document", err)
			}
			return
		}
		if d := approval.Evaluate(p, nil, subject, nil, now); d.Approved {
			t.Fatal("approves what nobody signed")
		}
	})
}

const both = "version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: 1}\n"

var goodPolicies = []string{
	both,
	both + "separation: [[publisher, reviewer]]\n",
	both + "separation: [[reviewer, publisher]]\n",
	both + "deny: [\"" + strings.Repeat("0a", 32) + "\"]\n",
	both + "limits: {bundleBytes: 20GiB, files: 20000, nonAsciiPaths: allow}\n",
	both + "revocation: {graceDays: 7, list: required}\nsite: hospital-a\n",
	both + "revocation: {list: optional}\n",
	"version: 1\nrequire:\n- {role: publisher, min: 1, names: [alice]}\n- {role: reviewer, min: 2, maxAge: 365d}\n- {role: reviewer, min: 1, names: [carol]}\n",
}

var badPolicies = []struct{ name, text string }{
	{"empty", ""},
	{"another version", strings.Replace(both, "1", "3", 1)},
	{"no reviewer", "version: 1\nrequire:\n- {role: publisher, min: 1}\n"},
	{"no publisher", "version: 1\nrequire:\n- {role: reviewer, min: 1}\n"},
	{"nobody", "version: 1\n"},
	{"none of them", strings.Replace(both, "reviewer, min: 1", "reviewer, min: 0", 1)},
	{"fewer than none", strings.Replace(both, "reviewer, min: 1", "reviewer, min: -1", 1)},
	{"too many", strings.Replace(both, "reviewer, min: 1", "reviewer, min: 17", 1)},
	{"a role that does not sign", both + "- {role: aggregator, min: 1}\n"},
	{"a scanner, which is not enforced", both + "- {role: scanner, min: 1}\n"},
	{"a switch that does not exist", both + "anyRejectedBlocks: false\n"},
	{"trust, which is not enforced", both + "trust: {}\n"},
	{"a limit that is not enforced", both + "limits: {pickle: deny}\n"},
	{"a misspelt field", strings.Replace(both, "reviewer, min: 1", "reviewer, min: 1, maxage: 1d", 1)},
	{"an age without unit", strings.Replace(both, "reviewer, min: 1", "reviewer, min: 1, maxAge: \"365\"", 1)},
	{"an age of nothing", strings.Replace(both, "reviewer, min: 1", "reviewer, min: 1, maxAge: 0d", 1)},
	{"another separation", both + "separation: [[publisher, aggregator]]\n"},
	{"a short id", both + "deny: [\"abc\"]\n"},
	{"a size without number", both + "limits: {bundleBytes: GiB}\n"},
	{"a size that overflows", both + "limits: {bundleBytes: 9000000000TiB}\n"},
	{"fewer files than none", both + "limits: {files: -1}\n"},
	{"another word", both + "limits: {nonAsciiPaths: maybe}\n"},
	{"a grace without end", both + "revocation: {graceDays: 91}\n"},
	{"a grace before the end", both + "revocation: {graceDays: -1}\n"},
	{"another word about lists", both + "revocation: {list: yes}\n"},
	{"no name of a site", both + "site: a/b\n"},
	{"two documents", both + "---\n" + both},
}

func TestParsePolicy(t *testing.T) {
	for _, text := range goodPolicies {
		p, err := approval.ParsePolicy("p.yaml", []byte(text))
		if err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if p.Name() != "p.yaml" || len(p.Digest()) != 64 {
			t.Errorf("name %q, digest %q", p.Name(), p.Digest())
		}
	}
	for _, test := range badPolicies {
		if _, err := approval.ParsePolicy("p.yaml", []byte(test.text)); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%s: got %v, want an invalid document", test.name, err)
		}
	}
}

// twoSubjects changes a line so that its statement is about two bundles.
func twoSubjects(t *testing.T, line string) string {
	t.Helper()
	before, rest, _ := strings.Cut(line, `"payload":"`)
	payload, after, _ := strings.Cut(rest, `"`)
	statement, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	other := `{"name":".fxb/manifest.json","digest":{"sha256":"` + strings.Repeat("0", 64) + `"}},{"name":".fxb/manifest.json"`
	changed := strings.Replace(string(statement), `{"name":".fxb/manifest.json"`, other, 1)
	return before + `"payload":"` + base64.StdEncoding.EncodeToString([]byte(changed)) + `"` + after
}

func TestSidecarRules(t *testing.T) {
	ca := newAuthority(t, "signing CA")
	alice := ca.signer(identity.Publisher, "alice", p256(t))
	a, err := approval.SignRelease(alice.key, alice.cert, subject, releaseOf(subject))
	if err != nil {
		t.Fatal(err)
	}
	one, err := (&approval.Sidecar{}).Add(a)
	if err != nil {
		t.Fatal(err)
	}
	line := string(one.Bytes())
	beforeSig, _, _ := strings.Cut(line, `[{"sig"`)
	for name, bad := range map[string]string{
		"twice":           line + line,
		"no line feed":    strings.TrimSuffix(line, "\n"),
		"blank line":      line + "\n",
		"CRLF":            strings.TrimSuffix(line, "\n") + "\r\n",
		"unknown member":  strings.Replace(line, `"dsseEnvelope"`, `"x":1,"dsseEnvelope"`, 1),
		"member twice":    strings.Replace(line, `{"mediaType"`, `{"mediaType":"","mediaType"`, 1),
		"another case":    strings.Replace(line, `"mediaType"`, `"MediaType"`, 1),
		"white space":     strings.Replace(line, `":"`, `": "`, 1),
		"another type":    strings.Replace(line, "in-toto+json", "in-toto+yaml", 1),
		"no signature":    beforeSig + "[]}}\n",
		"two signatures":  beforeSig + `[{"sig":"AAAA"},{"sig":"AAAA"}]}}` + "\n",
		"two subjects":    twoSubjects(t, line),
		"out of order":    line + "{}\n",
		"too many":        strings.Repeat(line, approval.MaxLines+1),
		"too long a line": `{"mediaType":"` + strings.Repeat("x", approval.MaxLine) + "\"}\n",
	} {
		if _, err := approval.ParseSidecar([]byte(bad)); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%s: got %v, want an invalid document", name, err)
		}
	}
	if _, err := one.Add(a); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("the same attestation twice: got %v", err)
	}
	// A bare key in place of the certificate is read, shown, and does not count.
	before, rest, _ := strings.Cut(line, `{"certificate"`)
	_, after, _ := strings.Cut(rest, `}}`)
	bare, err := approval.ParseSidecar([]byte(before + `{"publicKey":{"hint":"AAAA"}}` + after))
	if err != nil {
		t.Fatal(err)
	}
	d := approval.Evaluate(approval.Policy{}, bare, subject, ca.anchors(), now)
	if d.Approved || len(d.Signatures) != 1 || d.Signatures[0].Counts || !strings.Contains(d.Signatures[0].Reason, "bare key") {
		t.Errorf("a bare key: %+v", d.Signatures)
	}
	// A file goes out and comes back, and its absence is no error.
	path := approval.SidecarPath(t.TempDir() + "/x.fxb")
	none, err := approval.ReadSidecar(path)
	if err != nil || none.Len() != 0 {
		t.Errorf("no sidecar: got %v, %v", none, err)
	}
	if err := one.Write(path); err != nil {
		t.Fatal(err)
	}
	back, err := approval.ReadSidecar(path)
	if err != nil || !bytes.Equal(back.Bytes(), one.Bytes()) {
		t.Errorf("read back: %v", err)
	}
}
