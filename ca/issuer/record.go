package issuer

import (
	"fmt"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

// Record is the account of one act of the CA, written once, durably, before its
// result is handed out: the certificate, the revocation, the list.
type Record struct {
	Format      string        `json:"format"`                       // "fx-record/1"
	Kind        string        `json:"kind,omitempty"`               // what was done
	Serial      string        `json:"serial,omitempty"`             // hexadecimal, 40 digits: of what was issued or revoked
	Issuer      Kind          `json:"issuer"`                       // of a rotation: which CA
	Generation  int           `json:"generation,omitempty"`         // of the issuer; 0 is 1
	Role        identity.Role `json:"role,omitempty"`               // "" for the CAs themselves
	Name        string        `json:"name,omitempty"`               // participant's name, or the CA's kind
	Federation  string        `json:"federation"`                   //
	Request     string        `json:"request_sha256,omitempty"`     // of the request's DER
	Key         string        `json:"key_sha256,omitempty"`         // of the SubjectPublicKeyInfo
	NotBefore   time.Time     `json:"not_before,omitzero"`          // of a list: this update
	NotAfter    time.Time     `json:"not_after,omitzero"`           // of a list: next update
	IssuedAt    time.Time     `json:"issued_at"`                    // when it was done
	Replaces    []string      `json:"replaces,omitempty"`           // serials of unexpired certificates of the same name
	Certificate []byte        `json:"certificate,omitempty"`        // DER, base64
	Reason      string        `json:"reason,omitempty"`             // of a revocation, as RFC 5280 section 5.3.1 spells it
	Number      int64         `json:"crl_number,omitempty"`         // of a list
	Entries     int           `json:"crl_entries,omitempty"`        // of a list
	Digest      string        `json:"crl_sha256,omitempty"`         // of a list's DER
	Required    int           `json:"approvals_required,omitempty"` // of the root: how many approvals every later certificate needs
	Proposal    string        `json:"proposal_sha256,omitempty"`    // what was approved
	Approvals   []Endorsement `json:"approvals,omitempty"`          // by whom
}

// Endorsement names, in a record, a reviewer who approved what was done.
type Endorsement struct {
	Reviewer string `json:"reviewer"`
	Serial   string `json:"serial"`          // of the reviewer's certificate
	Approval string `json:"approval_sha256"` // of the approval's file
}

// What records are about.
const (
	KindIssued  = "issued"
	KindRevoked = "revoked"
	KindCRL     = "crl"
	KindRotated = "rotated"
)

const (
	recordFormat = "fx-record/1"
	oldFormat    = "fx-issued/1" // a file issued/SERIAL.json, before there was a log
	maxRecord    = 256 << 10
)

// id names what the record is about: no act can be recorded twice.
func (r *Record) id() string {
	switch r.Kind {
	case KindRevoked:
		return "revoked-" + r.Serial
	case KindCRL:
		return fmt.Sprintf("crl-%s-g%d-%d", r.Issuer, max(r.Generation, 1), r.Number)
	case KindRotated:
		return fmt.Sprintf("rotated-%s-g%d-%.16s", r.Issuer, r.Generation, r.Key)
	}
	return r.Serial
}

// String says in a few words what the record is about.
func (r *Record) String() string {
	s := r.Kind
	if r.Role != "" {
		s += " " + string(r.Role)
	}
	if r.Name != "" {
		s += " " + r.Name
	}
	if r.Kind == KindCRL {
		s += fmt.Sprintf(" %d of the %s", r.Number, r.Issuer)
	}
	if r.Serial != "" {
		s += ", serial " + r.Serial
	}
	return s
}

// encode writes the one form in which a record is valid.
func (r *Record) encode() ([]byte, error) { return encodeLine(r) }

// parseRecord reads what encode writes and nothing else.
func parseRecord(data []byte) (*Record, error) {
	r := &Record{}
	if err := decodeLine("record", data, maxRecord, r); err != nil {
		return nil, err
	}
	if r.Format != recordFormat {
		return nil, identity.Invalidf("its format is %q; this program knows %q", r.Format, recordFormat)
	}
	return r, r.check()
}

func (r *Record) check() error {
	if strings.Trim(r.Serial, "0123456789abcdef") != "" {
		return identity.Invalidf("its serial %q is not in hexadecimal digits", r.Serial)
	}
	switch r.Kind {
	case KindIssued:
		if len(r.Serial) != 40 || len(r.Certificate) == 0 {
			return identity.Invalidf("it has no serial or no certificate")
		}
	case KindRevoked:
		if _, ok := reasonCodes[r.Reason]; len(r.Serial) != 40 || !ok {
			return identity.Invalidf("it has no serial or no known reason")
		}
	case KindCRL, KindRotated:
	default:
		return identity.Invalidf("it is of the unknown kind %q", r.Kind)
	}
	return nil
}

// parseOldRecord reads a file of the format that was in use before the log.
func parseOldRecord(data []byte) (*Record, error) {
	r := &Record{}
	if err := schema.DecodeJSON("record", data, maxRecord, r); err != nil {
		return nil, err
	}
	if r.Format != oldFormat {
		return nil, identity.Invalidf("its format is %q; this program knows %q", r.Format, oldFormat)
	}
	r.Format = recordFormat
	if r.Kind == "" {
		r.Kind = KindIssued
	}
	return r, r.check()
}
