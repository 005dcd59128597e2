package issuer

import (
	"context"
	"crypto"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
)

// jury is a CA that requires two approvals, its reviewers, and one request that
// both have approved.
type jury struct {
	ca        *CA
	now       time.Time
	req       *Request
	motion    *Motion
	certs     map[string]*Issued
	keys      map[string]crypto.Signer
	approvals [][]byte
}

func newJury(t *testing.T) *jury {
	t.Helper()
	j := &jury{now: then, certs: map[string]*Issued{}, keys: map[string]crypto.Signer{}}
	clock := func() time.Time { return j.now }
	var err error
	if j.ca, err = Create(context.Background(), CreateOptions{Dir: filepath.Join(t.TempDir(), "ca"), Federation: "fed.example.org", Approvals: 2, Now: clock}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.ca.Unlock(Network, nil), j.ca.Unlock(Signing, nil)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bob", "eve"} {
		req, key := newRequest(t, identity.Reviewer, name)
		j.keys[name] = key
		if j.certs[name], err = j.ca.Sign(context.Background(), req, identity.Identity{Role: identity.Reviewer}, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	j.req, _ = newRequest(t, identity.Collaborator, "site-1")
	if j.motion, err = j.ca.Propose(j.req, identity.Identity{Role: identity.Collaborator}, Options{}, 30); err != nil {
		t.Fatal(err)
	}
	j.approvals = [][]byte{j.approve(t, "bob", j.motion), j.approve(t, "eve", j.motion)}
	return j
}

func newRequest(t *testing.T, r identity.Role, name string) (*Request, crypto.Signer) {
	t.Helper()
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := identity.NewRequest(key, r, name)
	if err != nil {
		t.Fatal(err)
	}
	req, err := ParseRequest(identity.EncodeRequest(der))
	if err != nil {
		t.Fatal(err)
	}
	return req, key
}

func (j *jury) approve(t *testing.T, who string, m *Motion) []byte {
	t.Helper()
	a, err := Approve(j.keys[who], j.certs[who].Certificate, m)
	if err != nil {
		t.Fatal(err)
	}
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (j *jury) sign(o Options) error {
	o.Approvals = j.approvals
	_, err := j.ca.Sign(context.Background(), j.req, identity.Identity{Role: identity.Collaborator}, o)
	return err
}

func TestApprovals(t *testing.T) {
	edit := func(i int, from, to string) func(*testing.T, *jury) {
		return func(t *testing.T, j *jury) {
			a, err := ParseApproval(j.approvals[i])
			if err != nil {
				t.Fatal(err)
			}
			a.Proposal = []byte(strings.Replace(string(a.Proposal), from, to, 1))
			if j.approvals[i], err = a.Encode(); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name string
		do   func(*testing.T, *jury)
		want string // the identifier of the refusal, "" for none
	}{
		{"two reviewers", func(*testing.T, *jury) {}, ""},
		{"one", func(_ *testing.T, j *jury) { j.approvals = j.approvals[:1] }, "approval-missing"},
		{"none", func(_ *testing.T, j *jury) { j.approvals = nil }, "approval-missing"},
		{"one twice", func(_ *testing.T, j *jury) { j.approvals[1] = j.approvals[0] }, "approval-repeated"},
		{"garbage", func(_ *testing.T, j *jury) { j.approvals[1] = []byte("{}") }, "approval-invalid"},
		{"not canonical", func(_ *testing.T, j *jury) { j.approvals[1] = append([]byte(" "), j.approvals[1]...) }, "approval-invalid"},
		{"a signature taken for another proposal", edit(1, `"days":365`, `"days":364`), "approval-untrusted"},
		{"a longer life", edit(0, `"days":365`, `"days":397`), "approval-untrusted"},
		{"two proposals", func(t *testing.T, j *jury) {
			m, err := j.ca.Propose(j.req, identity.Identity{Role: identity.Collaborator}, Options{}, 30)
			if err != nil {
				t.Fatal(err)
			}
			j.approvals[1] = j.approve(t, "eve", m)
		}, "approval-mismatch"},
		{"expired", func(_ *testing.T, j *jury) { j.now = j.now.AddDate(0, 0, 31) }, "approval-expired"},
		{"from the future", func(t *testing.T, j *jury) {
			j.now = j.now.Add(3 * time.Hour)
			m, err := j.ca.Propose(j.req, identity.Identity{Role: identity.Collaborator}, Options{}, 30)
			if err != nil {
				t.Fatal(err)
			}
			j.approvals = [][]byte{j.approve(t, "bob", m), j.approve(t, "eve", m)}
			j.now = then
		}, "approval-expired"},
		{"a reviewer's certificate is over", func(_ *testing.T, j *jury) { j.now = j.now.AddDate(0, 0, 366) }, "approval-untrusted"},
		{"a reviewer was revoked", func(t *testing.T, j *jury) {
			if err := j.ca.appendRecords(&Record{Format: recordFormat, Kind: KindRevoked, Serial: j.certs["eve"].Record.Serial, Issuer: Signing, Reason: "keyCompromise", IssuedAt: then}); err != nil {
				t.Fatal(err)
			}
		}, "approval-untrusted"},
		{"used before", func(t *testing.T, j *jury) {
			if err := j.sign(Options{}); err != nil {
				t.Fatal(err)
			}
			// The same again, when the certificate is over and nothing is replaced.
			line, err := j.motion.Encode()
			if err != nil {
				t.Fatal(err)
			}
			ca, err := Open(j.ca.dir, j.ca.now)
			if err != nil {
				t.Fatal(err)
			}
			records, err := ca.Records()
			if err != nil {
				t.Fatal(err)
			}
			_, _, why := ca.judgeApproval(j.approvals[0], records, mustMotion(t, line), j.now)
			if why == nil || why.ID != "approval-used" {
				t.Errorf("used again: %v", why)
			}
		}, "csr-repeated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJury(t)
			tt.do(t, j)
			err := j.sign(Options{})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				records, err := j.ca.Records()
				if last := records[len(records)-1]; err != nil || len(last.Approvals) != 2 || last.Approvals[0].Reviewer != "bob" || last.Proposal == "" {
					t.Errorf("record %+v, %v", last, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "("+tt.want+")") || !errors.Is(err, identity.ErrUntrusted) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func mustMotion(t *testing.T, line []byte) *Motion {
	t.Helper()
	m, err := ParseMotion(line)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Who is no reviewer of this federation signs nothing.
func TestApproveRefuses(t *testing.T) {
	j := newJury(t)
	for name, do := range map[string]func() error{
		"another's key": func() error {
			_, err := Approve(j.keys["eve"], j.certs["bob"].Certificate, j.motion)
			return err
		},
		"a CA": func() error { _, err := Approve(j.ca.keys[Signing], j.ca.certs[Signing], j.motion); return err },
		"themselves": func() error {
			m := *j.motion
			m.Role, m.Name = identity.Reviewer, "bob"
			_, err := Approve(j.keys["bob"], j.certs["bob"].Certificate, &m)
			return err
		},
		"another federation": func() error {
			m := *j.motion
			m.Federation = "other.example.org"
			_, err := Approve(j.keys["bob"], j.certs["bob"].Certificate, &m)
			return err
		},
	} {
		if err := do(); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzApproval(f *testing.F) {
	m := &Motion{
		Format: motionFormat, ID: strings.Repeat("0", 32), Federation: "fed.example.org", Role: identity.Collaborator, Name: "site-1",
		Hosts: []string{}, Days: 365, Replaces: []string{}, Created: then, Expires: then.AddDate(0, 0, 30),
	}
	line, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	approval, err := (&Approval{Format: approvalFormat, Proposal: line, Certificate: []byte{1}, Signature: []byte{1}}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(approval)
	f.Fuzz(func(t *testing.T, data []byte) {
		text := strings.TrimSuffix(string(data), "\n")
		if m, err := ParseMotion(data); err == nil {
			if again, err := m.Encode(); err != nil || string(again) != text {
				t.Errorf("%q reads as %q", data, again)
			}
		}
		if a, err := ParseApproval(data); err == nil {
			if again, err := a.Encode(); err != nil || string(again) != text {
				t.Errorf("%q reads as %q", data, again)
			}
		}
	})
}
