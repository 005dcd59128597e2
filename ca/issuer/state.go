package issuer

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

// State is ca.json: what was decided when the CA was made.
type State struct {
	Format     string           `json:"format"` // "fx-ca/1"
	Federation string           `json:"federation"`
	SKIMethod  string           `json:"ski_method"` // how subject key identifiers are made
	KeyType    identity.KeyType `json:"key_type"`   // of the issuing keys
	Domains    []string         `json:"domains"`    // DNS domains that aggregators may be in; empty: any
	IPRanges   []string         `json:"ip_ranges"`  // addresses that aggregators may have, if there are domains or ranges
	Created    time.Time        `json:"created"`
	// Generations counts the keys that each CA has had; a CA that is not in it
	// was never rotated. Writing it is the last step of a rotation.
	Generations map[Kind]int `json:"generations,omitempty"`
}

const (
	// maxGenerations bounds what is read; ten years need three or four.
	maxGenerations = 99
	stateFormat    = "fx-ca/1"
	// skiMethod is RFC 7093 section 2 method 1: the leftmost 160 bits of the
	// SHA-256 of the subject public key's bits.
	skiMethod = "rfc7093-1"
)

func parseState(data []byte) (*State, error) {
	s := &State{}
	if err := schema.DecodeJSON(stateFile, data, maxState, s); err != nil {
		return nil, err
	}
	switch {
	case s.Format != stateFormat:
		return nil, identity.Invalidf("its format is %q; this program knows %q", s.Format, stateFormat)
	case s.SKIMethod != skiMethod:
		return nil, identity.Invalidf("its ski_method is %q; this program knows %q", s.SKIMethod, skiMethod)
	case !slices.Contains(identity.Aggregator.KeyTypes(), s.KeyType):
		return nil, identity.Invalidf("its key_type %q is unknown", s.KeyType)
	}
	for k, n := range s.Generations {
		if !slices.Contains(Kinds(), k) || n < 1 || n > maxGenerations {
			return nil, identity.Invalidf("its generation %d of %q is none", n, k)
		}
	}
	return s, identity.CheckFederation(s.Federation)
}

func encodeJSON(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode: %v", err)
	}
	return append(data, '\n'), nil
}
