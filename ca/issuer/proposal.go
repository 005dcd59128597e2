package issuer

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

// Motion is what reviewers approve where a CA requires approvals: one
// certificate that the custodian wants to issue, in every respect. It is one line
// of canonical JSON, made by `fxctl ca propose`.
type Motion struct {
	Format     string        `json:"format"` // "fx-ca-proposal/1"
	ID         string        `json:"id"`     // random, so that no two proposals are the same
	Federation string        `json:"federation"`
	Root       string        `json:"root_sha256"` // fingerprint of the federation's root
	Request    string        `json:"request_sha256"`
	Key        string        `json:"key_sha256"` // of the SubjectPublicKeyInfo
	Role       identity.Role `json:"role"`
	Name       string        `json:"name"`
	Hosts      []string      `json:"hosts"`
	Days       int           `json:"days"`
	Replaces   []string      `json:"replaces"` // serials of certificates that are still valid
	Created    time.Time     `json:"created"`
	Expires    time.Time     `json:"expires"` // it cannot be used later
}

// MaxMotion and MaxApproval are the sizes of the two documents, in bytes.
const (
	MaxMotion   = 64 << 10
	MaxApproval = 256 << 10

	motionFormat = "fx-ca-proposal/1"
	// MaxMotionDays is the longest time in which a proposal can be used.
	MaxMotionDays = 90
)

// Propose makes the document that reviewers approve, after judging the request
// as [CA.Sign] would. Nothing is written, no key is needed.
func (ca *CA) Propose(req *Request, approved identity.Identity, o Options, valid int) (*Motion, error) {
	if valid < 1 || valid > MaxMotionDays {
		return nil, identity.Invalidf("a proposal can be used for 1 to %d days, not %d", MaxMotionDays, valid)
	}
	o.proposing = true
	p, err := ca.Review(req, approved, o)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("cannot make the proposal's id: %v", err)
	}
	now := ca.now().UTC().Truncate(time.Second)
	m := ca.motion(p, req, o)
	m.ID, m.Created, m.Expires = hex.EncodeToString(id[:]), now, now.AddDate(0, 0, valid)
	return m, nil
}

// motion is the part of a proposal that follows from the request and the options.
func (ca *CA) motion(p *Proposal, req *Request, o Options) *Motion {
	days := o.Days
	if days == 0 {
		days = DefaultDays(p.Identity.Role)
	}
	return &Motion{
		Format: motionFormat, Federation: p.Identity.Federation, Root: identity.Fingerprint(ca.certs[Root].Raw),
		Request: req.Fingerprint, Key: keyHash(req.CSR.RawSubjectPublicKeyInfo), Role: p.Identity.Role, Name: p.Identity.Name,
		Hosts: p.Hosts(), Days: days, Replaces: slices.Sorted(slices.Values(append([]string{}, p.Replaces...))),
	}
}

// Encode writes what [ParseMotion] reads.
func (m *Motion) Encode() ([]byte, error) { return encodeLine(m) }

// ParseMotion reads a proposal in the one form in which it is written; a final
// newline is allowed.
func ParseMotion(data []byte) (*Motion, error) {
	m := &Motion{}
	if err := decodeLine("proposal", bytes.TrimSuffix(data, []byte("\n")), MaxMotion, m); err != nil {
		return nil, err
	}
	if m.Format != motionFormat {
		return nil, identity.Invalidf("its format is %q; this program knows %q", m.Format, motionFormat)
	}
	if len(m.ID) != 32 || strings.Trim(m.ID, "0123456789abcdef") != "" {
		return nil, identity.Invalidf("its id is not 32 hexadecimal digits")
	}
	if m.Days < 1 || m.Created.IsZero() || !m.Expires.After(m.Created) || m.Expires.Sub(m.Created) > (MaxMotionDays+1)*day {
		return nil, identity.Invalidf("its lifetimes are no lifetimes")
	}
	return m, identity.CheckName(m.Role, m.Name)
}

// differs lists in what an approved proposal is another than what is to be
// signed now.
func (m *Motion) differs(now *Motion) (fields []string) {
	for name, same := range map[string]bool{
		"federation": m.Federation == now.Federation, "root": m.Root == now.Root, "request": m.Request == now.Request,
		"key": m.Key == now.Key, "role": m.Role == now.Role, "name": m.Name == now.Name, "hosts": slices.Equal(m.Hosts, now.Hosts),
		"days": m.Days == now.Days, "replaces": slices.Equal(m.Replaces, now.Replaces),
	} {
		if !same {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return fields
}

// encodeLine writes canonical JSON: one line, members in the order of the
// struct, no HTML escapes.
func encodeLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("cannot encode: %v", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeLine reads what encodeLine writes, and proves it by encoding again: what
// is unknown, repeated or follows does not come back. v must be a zero value. A
// log has many lines, so only what is wrong is read by the slower decoder, which
// says where.
func decodeLine(name string, data []byte, limit int, v any) error {
	if len(data) <= limit && json.Unmarshal(data, v) == nil {
		if again, err := encodeLine(v); err == nil && bytes.Equal(again, data) {
			return nil
		}
	}
	if err := schema.DecodeJSON(name, data, limit, v); err != nil {
		return err
	}
	return identity.Invalidf("the JSON is not in canonical form (member order, white space, escapes)")
}
