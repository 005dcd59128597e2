package issuer

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

// Record is the account of one certificate: one file issued/SERIAL.json, written
// once, durably, before the certificate is handed out.
type Record struct {
	Format      string        `json:"format"` // "fx-issued/1"
	Serial      string        `json:"serial"` // hexadecimal, 40 digits
	Issuer      Kind          `json:"issuer"`
	Role        identity.Role `json:"role,omitempty"` // "" for the CAs themselves
	Name        string        `json:"name"`           // participant's name, or the CA's kind
	Federation  string        `json:"federation"`
	Request     string        `json:"request_sha256,omitempty"` // of the request's DER
	Key         string        `json:"key_sha256"`               // of the SubjectPublicKeyInfo
	NotBefore   time.Time     `json:"not_before"`
	NotAfter    time.Time     `json:"not_after"`
	IssuedAt    time.Time     `json:"issued_at"`
	Replaces    []string      `json:"replaces,omitempty"` // serials of unexpired certificates of the same name
	Certificate []byte        `json:"certificate"`        // DER, base64
}

const (
	recordFormat = "fx-issued/1"
	maxRecord    = 256 << 10
)

// write stores the record; a serial that was used before is an error.
func (r *Record) write(dir string) error {
	data, err := encodeJSON(r)
	if err != nil {
		return err
	}
	return identity.CreateFile(filepath.Join(dir, issuedDir, r.Serial+".json"), data, 0o644)
}

// readRecords reads the account of all certificates, in order of their serials.
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
	if err == nil && filepath.Base(path) != r.Serial+".json" {
		err = identity.Invalidf("it records the serial %q", r.Serial)
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
	if !fs.ValidPath(r.Serial) || strings.ContainsRune(r.Serial, '/') || len(r.Certificate) == 0 {
		return nil, identity.Invalidf("it has no serial or no certificate")
	}
	return r, nil
}
