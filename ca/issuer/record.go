package issuer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

// Record is the account of one act of the CA, written once, durably, before its
// result is handed out: the certificate, the revocation, the list.
type Record struct {
	Format      string        `json:"format"`               // "fx-issued/1"
	Kind        string        `json:"kind,omitempty"`       // what was done; "" is [KindIssued]
	Serial      string        `json:"serial,omitempty"`     // hexadecimal, 40 digits: of what was issued or revoked
	Issuer      Kind          `json:"issuer"`               // of a rotation: which CA
	Generation  int           `json:"generation,omitempty"` // of the issuer; 0 is 1
	Role        identity.Role `json:"role,omitempty"`       // "" for the CAs themselves
	Name        string        `json:"name,omitempty"`       // participant's name, or the CA's kind
	Federation  string        `json:"federation"`
	Request     string        `json:"request_sha256,omitempty"` // of the request's DER
	Key         string        `json:"key_sha256,omitempty"`     // of the SubjectPublicKeyInfo
	NotBefore   time.Time     `json:"not_before,omitzero"`      // of a list: this update
	NotAfter    time.Time     `json:"not_after,omitzero"`       // of a list: next update
	IssuedAt    time.Time     `json:"issued_at"`                // when it was done
	Replaces    []string      `json:"replaces,omitempty"`       // serials of unexpired certificates of the same name
	Certificate []byte        `json:"certificate,omitempty"`    // DER, base64
	Reason      string        `json:"reason,omitempty"`         // of a revocation, as RFC 5280 section 5.3.1 spells it
	Number      int64         `json:"crl_number,omitempty"`     // of a list
	Entries     int           `json:"crl_entries,omitempty"`    // of a list
	Digest      string        `json:"crl_sha256,omitempty"`     // of a list's DER
}

// What records are about.
const (
	KindIssued  = "issued"
	KindRevoked = "revoked"
	KindCRL     = "crl"
	KindRotated = "rotated"
)

const (
	recordFormat = "fx-issued/1"
	maxRecord    = 256 << 10
)

// file names the record: no act can be recorded twice.
func (r *Record) file() string {
	switch r.Kind {
	case KindRevoked:
		return "revoked-" + r.Serial + ".json"
	case KindCRL:
		return fmt.Sprintf("crl-%s-g%d-%d.json", r.Issuer, max(r.Generation, 1), r.Number)
	case KindRotated:
		return fmt.Sprintf("rotated-%s-g%d-%.16s.json", r.Issuer, r.Generation, r.Key)
	}
	return r.Serial + ".json"
}

// appendRecords is the one way into the account. When it returns, all records
// are durable; what was recorded before is an error. The caller holds the
// folder's lock.
func (ca *CA) appendRecords(records ...*Record) error { return writeRecords(ca.dir, records...) }

// Records are all records of the CA, in no order that means anything.
func (ca *CA) Records() ([]*Record, error) { return readRecords(ca.dir) }

func writeRecords(dir string, records ...*Record) error {
	files := make([]identity.NewFile, len(records))
	for i, r := range records {
		data, err := encodeJSON(r)
		if err != nil {
			return err
		}
		files[i] = identity.NewFile{Path: filepath.Join(dir, issuedDir, r.file()), Data: data}
	}
	return identity.CreateFiles(files, 0o644)
}

// readRecords reads the whole account, in no order that means anything.
func readRecords(dir string) ([]*Record, error) {
	entries, err := os.ReadDir(filepath.Join(dir, issuedDir))
	if err != nil {
		return nil, fmt.Errorf("cannot read the records of issued certificates: %v", err)
	}
	var records []*Record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".new-") {
			continue // a write that never ended; nothing was handed out
		}
		r, err := readRecord(filepath.Join(dir, issuedDir, e.Name()))
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

func readRecord(path string) (*Record, error) {
	data, err := identity.ReadFile(path, maxRecord)
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(data)
	if err == nil && filepath.Base(path) != r.file() {
		err = identity.Invalidf("it is the record %q", r.file())
	}
	if err != nil {
		return nil, identity.Invalidf("cannot use record %q: %w", path, err)
	}
	return r, nil
}

func parseRecord(data []byte) (*Record, error) {
	r := &Record{}
	if err := schema.DecodeJSON("record", data, maxRecord, r); err != nil {
		return nil, err
	}
	if r.Format != recordFormat {
		return nil, identity.Invalidf("its format is %q; this program knows %q", r.Format, recordFormat)
	}
	if r.Kind == "" {
		r.Kind = KindIssued
	}
	switch r.Kind {
	case KindIssued:
		if len(r.Serial) != 40 || len(r.Certificate) == 0 {
			return nil, identity.Invalidf("it has no serial or no certificate")
		}
	case KindRevoked:
		if _, ok := reasonCodes[r.Reason]; len(r.Serial) != 40 || !ok {
			return nil, identity.Invalidf("it has no serial or no known reason")
		}
	case KindCRL, KindRotated:
	default:
		return nil, identity.Invalidf("it is of the unknown kind %q", r.Kind)
	}
	return r, nil
}
