package issuer

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"fx/ca/identity"
	"fx/schema"
)

// Expected is one line of a roster: who is to get a certificate, and the
// fingerprint that this person said.
type Expected struct {
	Name        string `json:"name"`
	Role        string `json:"role"`
	Fingerprint string `json:"fingerprint"`
}

// Limits of a roster.
const (
	MaxRoster   = 4 << 20
	maxExpected = 20_000
)

// ParseRoster reads a roster: JSON or YAML, a document whose key participants
// is the list, or CSV with the header name,role,fingerprint. Which of them the
// ending of the file name says. No name of a role and no fingerprint stands in
// it twice. Errors wrap [identity.ErrInvalid] or are schema.Findings.
func ParseRoster(name string, data []byte) ([]Expected, error) {
	var doc struct {
		Participants []Expected `json:"participants"`
	}
	var err error
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		err = schema.DecodeJSON(name, data, MaxRoster, &doc)
	case ".yaml", ".yml":
		err = schema.DecodeYAML(name, data, MaxRoster, &doc)
	case ".csv":
		doc.Participants, err = parseCSV(data)
	default:
		err = identity.Invalidf("a roster's name ends in .yaml, .json or .csv")
	}
	if err != nil {
		return nil, err
	}
	return checkRoster(doc.Participants)
}

func parseCSV(data []byte) ([]Expected, error) {
	if len(data) > MaxRoster {
		return nil, identity.Invalidf("it has %d bytes; at most %d are allowed", len(data), MaxRoster)
	}
	header := []string{"name", "role", "fingerprint"}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r.FieldsPerRecord, r.Comment, r.TrimLeadingSpace = len(header), '#', true
	first, err := r.Read()
	if err != nil || !slices.Equal(first, header) {
		return nil, identity.Invalidf("its first line is not %s", strings.Join(header, ","))
	}
	var list []Expected
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, identity.Invalidf("%v", err)
		}
		list = append(list, Expected{row[0], row[1], row[2]})
	}
}

func checkRoster(list []Expected) ([]Expected, error) {
	if len(list) == 0 || len(list) > maxExpected {
		return nil, identity.Invalidf("it has %d participants; 1 to %d are allowed", len(list), maxExpected)
	}
	names, prints := map[string]int{}, map[string]int{}
	for i := range list {
		e := &list[i]
		role, err := identity.ParseRole(e.Role)
		if err == nil {
			err = identity.CheckName(role, e.Name)
		}
		if err != nil {
			return nil, identity.Invalidf("participant %d: %w", i+1, err)
		}
		e.Fingerprint = identity.Ungrouped(e.Fingerprint)
		if n := len(e.Fingerprint); n != 64 && n != 96 || !isHex(e.Fingerprint) {
			return nil, identity.Invalidf("participant %d (%s): the fingerprint %q has not the 64 digits of SHA-256 or the 96 of OpenFL's", i+1, e.Name, e.Fingerprint)
		}
		if before, ok := names[nameKey(role, e.Name)]; ok {
			return nil, identity.Invalidf("participant %d: %s %s is participant %d already", i+1, e.Role, e.Name, before)
		}
		if before, ok := prints[e.Fingerprint]; ok {
			return nil, identity.Invalidf("participant %d (%s): its fingerprint is that of participant %d", i+1, e.Name, before)
		}
		names[nameKey(role, e.Name)], prints[e.Fingerprint] = i+1, i+1
	}
	return list, nil
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

// Match finds the line of a roster for a request: by fingerprint. The refusal
// says whether the name is expected with another fingerprint or not at all.
func Match(roster map[string]Expected, req *Request) (Expected, error) {
	for _, f := range []string{req.Fingerprint, req.OpenFL} {
		if e, ok := roster[f]; ok {
			return e, nil
		}
	}
	var no Refusals
	cn := req.CSR.Subject.CommonName
	for _, e := range roster {
		if e.Name == cn {
			no.add("fingerprint-mismatch", "the roster has another fingerprint for %q: this is not the request that the requester made", cn)
			return Expected{}, no
		}
	}
	no.add("not-in-roster", "neither the fingerprint nor the name %q is in the roster", cn)
	return Expected{}, no
}

// ByFingerprint indexes a roster for [Match].
func ByFingerprint(list []Expected) map[string]Expected {
	m := make(map[string]Expected, len(list))
	for _, e := range list {
		m[e.Fingerprint] = e
	}
	return m
}
