package issuer

import (
	"bytes"
	"encoding/asn1"
	"fmt"

	"fx/ca/identity"
)

// checkExtensions refuses a request that asks for more than the role's profile
// gives, and lists what will be left out of what it asks for.
func checkExtensions(req *Request, r identity.Role, no *Refusals) (ignored []string) {
	for _, e := range req.CSR.Extensions {
		switch {
		case e.Id.Equal(identity.OIDSubjectAltName): // judged as names
		case e.Id.Equal(identity.OIDBasicConstraints):
			checkBasicConstraints(e.Value, no)
		case e.Id.Equal(identity.OIDKeyUsage):
			ignored = append(ignored, checkKeyUsage(e.Value, no)...)
		case e.Id.Equal(identity.OIDExtKeyUsage):
			checkExtKeyUsage(e.Value, r, no)
		case e.Id.Equal(identity.OIDPolicies):
			checkPolicies(e.Value, r, no)
		case e.Critical:
			no.add("ext-critical-unknown", "the request has the critical extension %s, which this CA does not issue", e.Id)
		default:
			ignored = append(ignored, fmt.Sprintf("extension %s", e.Id))
		}
	}
	extensionRequest := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14} // RFC 2985 section 5.4.2
	requests := 0
	for _, a := range req.attributes {
		if a.Equal(extensionRequest) {
			requests++
		} else {
			ignored = append(ignored, fmt.Sprintf("attribute %s", a))
		}
	}
	if requests > 1 {
		no.add("ext-duplicate", "the request asks for extensions in %d places", requests)
	}
	return ignored
}

func checkBasicConstraints(der []byte, no *Refusals) {
	var c struct {
		IsCA       bool `asn1:"optional"`
		MaxPathLen int  `asn1:"optional,default:-1"`
	}
	if rest, err := asn1.Unmarshal(der, &c); err != nil || len(rest) > 0 {
		no.add("csr-parse", "the basic constraints of the request cannot be read")
	} else if c.IsCA || c.MaxPathLen != -1 {
		no.add("ext-ca", "the request asks for a CA certificate")
	}
}

// checkKeyUsage refuses the bits keyCertSign (5) and cRLSign (6) of RFC 5280
// section 4.2.1.3 and names the other bits that will be left out.
func checkKeyUsage(der []byte, no *Refusals) (ignored []string) {
	var bits asn1.BitString
	if rest, err := asn1.Unmarshal(der, &bits); err != nil || len(rest) > 0 {
		no.add("csr-parse", "the key usage of the request cannot be read")
		return nil
	}
	names := []string{
		"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
		"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	}
	for i := range bits.BitLength {
		switch {
		case bits.At(i) == 0 || i == 0:
		case i == 5 || i == 6:
			no.add("ext-key-usage", "the request asks for the key usage %s", names[i])
		case i < len(names):
			ignored = append(ignored, "key usage "+names[i])
		default:
			ignored = append(ignored, fmt.Sprintf("key usage bit %d", i))
		}
	}
	return ignored
}

func checkExtKeyUsage(der []byte, r identity.Role, no *Refusals) {
	var usages []asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(der, &usages); err != nil || len(rest) > 0 {
		no.add("csr-parse", "the extended key usage of the request cannot be read")
		return
	}
	for _, u := range usages {
		if !u.Equal(r.ExtKeyUsageOID()) {
			no.add("ext-extended-key-usage", "the request asks for the extended key usage %s, which a %s does not get; is the role right?", u, r)
		}
	}
}

// checkPolicies compares the role that the requester put into the request with
// the one that the custodian said. Other policies ask for another profile.
func checkPolicies(der []byte, r identity.Role, no *Refusals) {
	var policies []struct {
		ID         asn1.RawValue
		Qualifiers asn1.RawValue `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(der, &policies); err != nil || len(rest) > 0 {
		no.add("csr-parse", "the policies of the request cannot be read")
		return
	}
	for _, p := range policies {
		if role, ok := roleOfPolicy(p.ID); !ok {
			no.add("role-mismatch", "the request asks for a certificate policy that a %s does not get", r)
		} else if role != r {
			no.add("role-mismatch", "the request is for the role %s, not %s", role, r)
		}
	}
}

func roleOfPolicy(v asn1.RawValue) (identity.Role, bool) {
	for _, r := range identity.Roles() {
		if der, err := r.Policy().MarshalBinary(); err == nil && v.Tag == asn1.TagOID && bytes.Equal(der, v.Bytes) {
			return r, true
		}
	}
	return "", false
}
