package issuer

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fx/ca/identity"
)

// Lifetimes of revocation lists in days. Half of it is the overlap: a list is
// to be renewed when half of its time has passed.
const (
	DefaultCRLDays = 14
	MostCRLDays    = 35
)

// UpdateFile holds, in a CA folder, what every participant is to import after a
// revocation list or a rotation: all CA certificates and lists in one PEM file.
const UpdateFile = "update.pem"

// List is a revocation list that was recorded and may be handed out.
type List struct {
	Record *Record
	CRL    *x509.RevocationList
	File   string // DER, in the CA folder
}

// ListOptions says what revocation lists are to be made.
type ListOptions struct {
	Days int  // they are good for; 0 is [DefaultCRLDays]
	Root bool // also of roots that have revoked nothing, as strict verifiers ask for
}

// listIssuers lists whose keys [CA.IssueCRLs] needs: every generation of
// network and signing CA that is not expired, and of a root that has revoked
// one of the CAs or has made a list before. Each must be opened with [CA.UnlockLists].
func (ca *CA) listIssuers(a *account, now time.Time, root bool) (found []*generation) {
	for _, k := range []Kind{Network, Signing, Root} {
		for _, g := range ca.generations[k] {
			if now.After(g.newest().NotAfter) || k == Root && !root && !ca.rootRevoked(a, g.n) {
				continue
			}
			found = append(found, g)
		}
	}
	return found
}

// rootRevoked reports whether a root ever has revoked a certificate or made a
// list. Only then it makes one unasked, for a list that is not renewed in time
// stops everything.
func (ca *CA) rootRevoked(a *account, n int) bool {
	if a.lists[listKey(Root, n)] != nil {
		return true
	}
	for _, r := range a.revoked {
		if r.Issuer == Root && max(r.Generation, 1) == n {
			return true
		}
	}
	return false
}

// UnlockLists opens the keys that [CA.IssueCRLs] needs; a passphrase is not
// used for keys stored in clear. revoking are serials that are about to be
// revoked, which may need a root's key.
func (ca *CA) UnlockLists(passphrase []byte, o ListOptions, revoking ...string) error {
	a, err := ca.openAccount()
	if err != nil {
		return err
	}
	needed := ca.listIssuers(a, ca.now(), o.Root)
	for _, serial := range revoking {
		if r := a.bySerial[serial]; r != nil && r.Issuer == Root {
			needed = append(needed, ca.generations[Root][max(r.Generation, 1)-1])
		}
	}
	for _, g := range needed {
		if g.key != nil {
			continue
		}
		if err := ca.unlock(g, passphrase); err != nil {
			return err
		}
	}
	return nil
}

// IssueCRLs makes a new revocation list of every CA that can have revoked
// something, records them, and
// puts them into the CA folder: crl.pem, one DER file a CA, and [UpdateFile].
func (ca *CA) IssueCRLs(ctx context.Context, o ListOptions) ([]*List, error) {
	days := o.Days
	if days == 0 {
		days = DefaultCRLDays
	}
	if days < 1 || days > MostCRLDays {
		return nil, identity.Invalidf("cannot make revocation lists for %d days; 1 to %d are allowed", days, MostCRLDays)
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
	var lists []*List
	var records []*Record
	for _, g := range ca.listIssuers(a, now, o.Root) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("cannot make revocation lists: %w", err)
		}
		l, err := ca.makeList(g, a, now, days)
		if err != nil {
			return nil, err
		}
		lists, records = append(lists, l), append(records, l.Record)
	}
	if err := ca.appendRecords(records...); err != nil {
		return nil, err
	}
	return lists, ca.publish(lists, a)
}

func (ca *CA) makeList(g *generation, a *account, now time.Time, days int) (*List, error) {
	if g.key == nil {
		return nil, fmt.Errorf("cannot make a revocation list: the key of the %s is locked", keyName(g.kind, g.n))
	}
	number := int64(1)
	if last := a.lists[listKey(g.kind, g.n)]; last != nil {
		number = last.Number + 1
	}
	issuer := g.newest()
	t := &x509.RevocationList{
		Number: big.NewInt(number), ThisUpdate: now.Add(-backdateLeaf), NextUpdate: now.Add(time.Duration(days) * day),
		SignatureAlgorithm: signatureAlgorithm(issuer.PublicKey),
	}
	if t.ThisUpdate.Before(issuer.NotBefore) {
		t.ThisUpdate = issuer.NotBefore
	}
	t.RevokedCertificateEntries = entriesOf(g, a, now)
	for i := range t.RevokedCertificateEntries { // a list that is dated back knows of nothing later
		if e := &t.RevokedCertificateEntries[i]; e.RevocationTime.After(t.ThisUpdate) {
			e.RevocationTime = t.ThisUpdate
		}
	}
	if t.NextUpdate.After(issuer.NotAfter) {
		t.NextUpdate = issuer.NotAfter
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, issuer, g.key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a revocation list: %v", err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("cannot read the revocation list that was made: %v", err)
	}
	if err := lintList(crl, t, issuer); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &List{
		CRL: crl, File: filepath.Join(ca.dir, keyName(g.kind, g.n)+".crl"),
		Record: &Record{
			Format: recordFormat, Kind: KindCRL, Issuer: g.kind, Generation: g.n, Federation: ca.State.Federation,
			NotBefore: crl.ThisUpdate, NotAfter: crl.NextUpdate, IssuedAt: now,
			Number: number, Entries: len(crl.RevokedCertificateEntries), Digest: hex.EncodeToString(sum[:]),
		},
	}, nil
}

// entriesOf lists what a generation has revoked, by serial number. A
// certificate leaves the list when it has been expired for longer than any list
// lives (RFC 5280 section 3.3: it must have been on one list after that).
func entriesOf(g *generation, a *account, now time.Time) []x509.RevocationListEntry {
	var serials []string // of 40 digits each: their order is that of the numbers
	for serial, r := range a.revoked {
		issued := a.bySerial[serial]
		if issued != nil && r.Issuer == g.kind && max(r.Generation, 1) == g.n && now.Sub(issued.NotAfter) <= MostCRLDays*day {
			serials = append(serials, serial)
		}
	}
	slices.Sort(serials)
	entries := make([]x509.RevocationListEntry, 0, len(serials))
	for _, serial := range serials {
		number, err := hex.DecodeString(serial)
		if err != nil {
			continue // bySerial holds well-formed serials only
		}
		r := a.revoked[serial]
		entries = append(entries, x509.RevocationListEntry{
			SerialNumber: new(big.Int).SetBytes(number), RevocationTime: r.IssuedAt, ReasonCode: reasonCodes[r.Reason],
		})
	}
	return entries
}

// lintList checks a list before anybody sees it; the standard library signs
// with any key and takes any number.
func lintList(crl, want *x509.RevocationList, issuer *x509.Certificate) error {
	var no Refusals
	must := func(ok bool, what string) {
		if !ok {
			no.add("lint", "the revocation list of %q was made wrong and is thrown away: %s", issuer.Subject, what)
		}
	}
	err := crl.CheckSignatureFrom(issuer)
	must(err == nil, fmt.Sprintf("signature: %v", err))
	must(bytes.Equal(crl.RawIssuer, issuer.RawSubject), "issuer")
	must(bytes.Equal(crl.AuthorityKeyId, issuer.SubjectKeyId), "authority key identifier")
	must(crl.Number != nil && crl.Number.Cmp(want.Number) == 0 && crl.Number.Sign() > 0, "number")
	must(crl.NextUpdate.After(crl.ThisUpdate), "times")
	must(len(crl.Extensions) == 2, "extensions")
	must(len(crl.RevokedCertificateEntries) == len(want.RevokedCertificateEntries), "entries")
	for i := 1; i < len(crl.RevokedCertificateEntries); i++ {
		must(crl.RevokedCertificateEntries[i-1].SerialNumber.Cmp(crl.RevokedCertificateEntries[i].SerialNumber) < 0, "a serial number twice")
	}
	return no.err()
}

// publish writes the newest lists and what participants import. Lists of
// expired CAs end here.
func (ca *CA) publish(lists []*List, a *account) error {
	var crls []*x509.RevocationList
	for _, l := range lists {
		crls = append(crls, l.CRL)
		if err := identity.ReplaceFile(l.File, l.CRL.Raw, 0o644); err != nil {
			return err
		}
	}
	if len(crls) > 0 {
		if err := identity.ReplaceFile(filepath.Join(ca.dir, identity.CRLFile), identity.EncodeCRLs(crls...), 0o644); err != nil {
			return err
		}
	}
	if len(crls) == 0 {
		return ca.writeChains(a)
	}
	return ca.writeAll(ca.answer(a, crls))
}

// writeChains writes the chain files and [UpdateFile] anew, after what the
// CA certificates and lists are now.
func (ca *CA) writeChains(a *account) error {
	answer, err := ca.answers(a)
	if err != nil {
		return err
	}
	return ca.writeAll(*answer(nil))
}

func (ca *CA) writeAll(all identity.Answer) error {
	for name, data := range map[string][]byte{
		identity.ChainFile:        identity.EncodeCertificates(all.NetworkChain()...),
		identity.SigningChainFile: identity.EncodeCertificates(all.SigningChain()...),
		UpdateFile:                all.Encode(),
	} {
		if err := identity.ReplaceFile(filepath.Join(ca.dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ShortName is how a list's issuer is called on the command line.
func (l *List) ShortName() string {
	return strings.TrimSuffix(filepath.Base(l.File), ".crl")
}
