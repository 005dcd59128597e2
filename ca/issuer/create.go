package issuer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fx/ca/identity"
	"fx/ca/merklelog"
)

// CreateOptions says how a new CA is to be.
type CreateOptions struct {
	Dir        string           // the CA folder; must not exist or be empty
	Federation string           // fully qualified domain name
	KeyType    identity.KeyType // of network and signing CA; "" is P-256. The root is P-384
	Domains    []string         // DNS domains that aggregators may be in; empty: any
	IPRanges   []string         // addresses that aggregators may have (CIDR), where Domains or IPRanges limit them
	Approvals  int              // how many reviewers must approve every certificate; 0: none
	HSM        string           // URI of the token in which the keys are made; "" stores them in files
	Passphrase []byte           // nil stores the keys in clear; the PIN of the HSM
	Now        func() time.Time // nil is the system's clock
}

// MaxApprovals is how many approvals can be required at most.
const MaxApprovals = 16

// Check says what is wrong with the options, and fills in what was left out. Of
// the options themselves errors wrap [identity.ErrInvalid]; that Dir cannot be
// used is an error of its own.
func (o *CreateOptions) Check() error {
	if err := identity.CheckFederation(o.Federation); err != nil {
		return err
	}
	if o.KeyType == "" {
		o.KeyType = identity.P256
	}
	if _, err := identity.ParseKeyType(string(o.KeyType), identity.Aggregator.KeyTypes()); err != nil {
		return err
	}
	for _, d := range o.Domains {
		if err := identity.CheckHost(d); err != nil {
			return identity.Invalidf("the domain %w", err)
		}
	}
	for _, r := range o.IPRanges {
		if p, err := netip.ParsePrefix(r); err != nil || p != p.Masked() || p.String() != r {
			return identity.Invalidf("%q is no address range such as 10.1.0.0/16", r)
		}
	}
	if o.Approvals < 0 || o.Approvals > MaxApprovals {
		return identity.Invalidf("%d approvals cannot be required; allowed are 0 to %d", o.Approvals, MaxApprovals)
	}
	if o.HSM != "" {
		if err := errors.Join(CheckHSM(o.HSM), CheckHSMKeyType(o.KeyType)); err != nil {
			return err
		}
	} else if o.Passphrase != nil {
		if err := CheckPassphrase(o.Passphrase); err != nil {
			return err
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return vacant(o.Dir)
}

// vacant refuses a folder that holds anything, above all another CA. The CA is
// renamed into place, so a link would lose its target: the keys would lie
// elsewhere than the custodian said. The current folder cannot be replaced.
func vacant(dir string) error {
	if info, err := os.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("cannot create a CA in %q: it is a symbolic link; name the folder itself", dir)
	}
	if filepath.Clean(dir) == "." {
		return fmt.Errorf("cannot create a CA in %q: name a folder inside it that is to be made", dir)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot create a CA in %q: %v", dir, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, stateFile)); err == nil {
		return fmt.Errorf("cannot create a CA in %q: there is one already, and it is never overwritten", dir)
	}
	return fmt.Errorf("cannot create a CA in %q: the folder is not empty", dir)
}

// Create makes the root, the network CA and the signing CA of a federation. It
// is built beside Dir and renamed when whole, so that neither an error nor an
// interruption leaves half a CA.
func Create(ctx context.Context, o CreateOptions) (ca *CA, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	parent := filepath.Dir(filepath.Clean(o.Dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create a CA in %q: %v", o.Dir, err)
	}
	tmp, err := os.MkdirTemp(parent, ".new-ca-*") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("cannot create a CA in %q: %v", o.Dir, err)
	}
	var undo []func() error // keys that were made outside the folder
	defer func() {
		if err == nil {
			return
		}
		if _, there := os.Lstat(tmp); there == nil { // or it has its name already, and needs its keys
			for _, u := range undo {
				err = errors.Join(err, u())
			}
		}
		err = errors.Join(err, os.RemoveAll(tmp))
	}()
	if err := build(ctx, tmp, o, &undo); err != nil {
		return nil, err
	}
	whole, err := Open(tmp, o.Now)
	if err == nil {
		_, err = whole.Records()
	}
	if err != nil { // what is handed over can be used
		return nil, err
	}
	if err := place(tmp, o.Dir); err != nil {
		return nil, err
	}
	return Open(o.Dir, o.Now)
}

// place gives a folder that is whole its name.
func place(tmp, dir string) error {
	if err := vacant(dir); err != nil {
		return err
	}
	identity.Fault()
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot create a CA in %q: %v", dir, err)
	}
	identity.Fault()
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("cannot create a CA in %q: %v", dir, err)
	}
	identity.Fault()
	if err := identity.SyncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return fmt.Errorf("cannot create a CA in %q: %v", dir, err)
	}
	return nil
}

// build writes all files of a new CA into dir. What it makes outside, undo
// removes.
func build(ctx context.Context, dir string, o CreateOptions, undo *[]func() error) error {
	s := State{
		Format: stateFormat, Federation: o.Federation, SKIMethod: skiMethod, KeyType: o.KeyType,
		Domains: slices.Concat([]string{}, o.Domains), IPRanges: slices.Concat([]string{}, o.IPRanges),
		Created: o.Now().UTC().Truncate(time.Second),
	}
	ca := &CA{State: s, dir: dir, now: o.Now, certs: map[Kind]*x509.Certificate{}, keys: map[Kind]crypto.Signer{}}
	for _, k := range Kinds() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot create a CA in %q: %w", o.Dir, err)
		}
		if err := ca.buildOne(k, o, undo); err != nil {
			return err
		}
	}
	if err := ca.recordCreation(o); err != nil {
		return err
	}
	for _, k := range Kinds() {
		if err := identity.CreateFile(crtFile(dir, k), identity.EncodeCertificates(ca.certs[k]), 0o644); err != nil {
			return err
		}
	}
	for name, k := range map[string]Kind{identity.ChainFile: Network, identity.SigningChainFile: Signing} {
		if err := identity.CreateFile(filepath.Join(dir, name), identity.EncodeCertificates(ca.certs[Root], ca.certs[k]), 0o644); err != nil {
			return err
		}
	}
	data, err := encodeJSON(&s)
	if err != nil {
		return err
	}
	return identity.CreateFile(filepath.Join(dir, stateFile), data, 0o644)
}

// buildOne makes one CA's key and its certificate, and checks it.
func (ca *CA) buildOne(k Kind, o CreateOptions, undo *[]func() error) error {
	keyType := o.KeyType
	if k == Root {
		keyType = identity.P384
	}
	key, err := ca.makeKey(k, 1, keyType, o.HSM, o.Passphrase)
	if err != nil {
		return err
	}
	*undo = append(*undo, key.undo)
	if err := key.store(keyFile(ca.dir, k), o.Passphrase); err != nil {
		return err
	}
	ca.keys[k] = key.Signer
	t := rootTemplate(&ca.State, 1, ca.State.Created)
	if k != Root {
		if t, err = issuingTemplate(&ca.State, k, 1, ca.State.Created); err != nil {
			return err
		}
	}
	cert, err := certify(rand.Reader, t, ca.certs[Root], ca.keys[k].Public(), ca.keys[Root])
	if err != nil {
		return err
	}
	ca.certs[k] = cert
	if err := lintCA(cert, ca.certs[Root], &ca.State, k, 1); err != nil {
		return err
	}
	return nil
}

// recordCreation begins the log with the CAs' own certificates.
func (ca *CA) recordCreation(o CreateOptions) error {
	log, err := merklelog.Open(filepath.Join(ca.dir, logDir), Origin(ca.State.Federation), describe)
	if err != nil {
		return err
	}
	ca.book = &book{log: log, ids: map[string]bool{}}
	var records []*Record
	for _, k := range Kinds() {
		r := newRecord(ca.certs[k], Root, ca.State.Created)
		r.Name, r.Federation = string(k), ca.State.Federation
		if k == Root {
			r.Required = o.Approvals
		}
		records = append(records, r)
	}
	return ca.appendRecords(records...)
}
