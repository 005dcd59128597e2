package issuer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fx/ca/identity"
)

// reasonCodes are the reasons of RFC 5280 section 5.3.1 that a CA of ours
// gives; holds and delta lists do not exist here.
var reasonCodes = map[string]int{
	"unspecified": 0, "keyCompromise": 1, "cACompromise": 2, "affiliationChanged": 3, "superseded": 4,
	"cessationOfOperation": 5, "privilegeWithdrawn": 9,
}

// Reasons lists what [CA.Revoke] accepts, the most frequent first.
func Reasons() []string {
	return []string{
		"superseded", "cessationOfOperation", "affiliationChanged", "keyCompromise", "privilegeWithdrawn", "cACompromise", "unspecified",
	}
}

// Revoke records that certificates are no longer to be trusted: by serial
// number, all or none. It takes effect where the next revocation list arrives;
// see [CA.IssueCRLs]. It cannot be undone. Errors wrap [identity.ErrInvalid] if
// a serial or the reason is unknown or a certificate was revoked before.
func (ca *CA) Revoke(ctx context.Context, serials []string, reason string) ([]*Record, error) {
	if _, ok := reasonCodes[reason]; !ok {
		return nil, identity.Invalidf("%q is no reason to revoke; there is %v", reason, Reasons())
	}
	unlock, err := ca.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	a, err := ca.openAccount()
	if err != nil {
		return nil, err
	}
	now := ca.now().UTC().Truncate(time.Second)
	var records []*Record
	for _, serial := range slices.Compact(slices.Sorted(slices.Values(serials))) {
		r := a.bySerial[serial]
		switch {
		case r == nil:
			return nil, identity.Invalidf("cannot revoke: this CA has issued no certificate with the serial number %q", serial)
		case a.revoked[serial] != nil:
			return nil, identity.Invalidf("cannot revoke: %s was revoked on %s", r.describe(), a.revoked[serial].IssuedAt.Format(time.RFC3339))
		case r.Name == string(Root) && r.Issuer == Root && ca.isSelfSigned(serial):
			return nil, identity.Invalidf("cannot revoke: %s is a root; no list can say that a root is revoked, tell everybody and start anew", r.describe())
		}
		records = append(records, &Record{
			Format: recordFormat, Kind: KindRevoked, Serial: serial, Issuer: r.Issuer, Generation: r.Generation,
			Role: r.Role, Name: r.Name, Federation: r.Federation, Key: r.Key, IssuedAt: now, Reason: reason,
		})
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot revoke: %w", err)
	}
	return records, ca.appendRecords(records...)
}

// describe names what a record is about in messages.
func (r *Record) describe() string {
	if r.Role == "" {
		return fmt.Sprintf("the certificate %s of the %s", r.Serial, r.Name)
	}
	return fmt.Sprintf("the certificate %s of %s %s", r.Serial, r.Role, r.Name)
}

func (ca *CA) isSelfSigned(serial string) bool {
	for _, g := range ca.generations[Root] {
		if serialHex(g.certs[g.n]) == serial {
			return true
		}
	}
	return false
}
