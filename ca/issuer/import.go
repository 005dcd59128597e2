package issuer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"fx/ca/identity"
	"fx/ca/merklelog"
)

// ImportOptions says where a backup goes and what it must continue.
type ImportOptions struct {
	Dir        string                // the CA folder; must not exist or be empty
	Passphrase []byte                // of the backup
	Since      *merklelog.Checkpoint // one that was kept: an older backup is refused; nil does not compare
	Now        func() time.Time      // nil is the system's clock
}

// Import restores a CA from what [CA.Export] made. The folder appears under its
// name when it is whole and its log was audited. A backup that is older than the
// CA that is there, or than the checkpoint, is [identity.ErrUntrusted].
func Import(ctx context.Context, backup []byte, o ImportOptions) (ca *CA, l *Log, err error) {
	if len(backup) > MaxBackup {
		return nil, nil, identity.Invalidf("the backup has more than %d bytes", MaxBackup)
	}
	id, err := age.NewScryptIdentity(string(o.Passphrase))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use the passphrase: %v", err)
	}
	id.SetMaxWorkFactor(mostWorkFactor)
	plain, err := age.Decrypt(bytes.NewReader(backup), id)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, nil, errors.New("cannot open the backup: the passphrase is wrong")
	}
	if err != nil {
		return nil, nil, identity.Invalidf("cannot open the backup: %v", err)
	}
	parent := filepath.Dir(filepath.Clean(o.Dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, nil, fmt.Errorf("cannot restore a CA in %q: %v", o.Dir, err)
	}
	tmp, err := os.MkdirTemp(parent, ".new-ca-*") // mode 0700
	if err != nil {
		return nil, nil, fmt.Errorf("cannot restore a CA in %q: %v", o.Dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := unpack(plain, tmp); err != nil {
		return nil, nil, fmt.Errorf("cannot use the backup: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("cannot restore a CA in %q: %w", o.Dir, err)
	}
	if l, err = checkRestored(tmp, o); err != nil {
		return nil, nil, err
	}
	if err := place(tmp, o.Dir); err != nil {
		return nil, nil, err
	}
	ca, err = Open(o.Dir, o.Now)
	return ca, l, err
}

// checkRestored makes sure that a restored folder is a CA that can go on, and
// that no newer history is given up for it.
func checkRestored(tmp string, o ImportOptions) (*Log, error) {
	ca, err := Open(tmp, o.Now)
	if err != nil {
		return nil, fmt.Errorf("cannot use the backup: %w", err)
	}
	l, err := ca.Log()
	if err == nil {
		err = l.Audit()
	}
	for _, k := range Kinds() {
		if err == nil {
			_, err = ca.Locked(k) // that there is a key
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the backup: %w", err)
	}
	if o.Since != nil {
		if err := l.Since(o.Since); err != nil {
			return nil, fmt.Errorf("the backup does not continue the checkpoint: %w", err)
		}
	}
	return l, compareWith(o.Dir, l)
}

// compareWith refuses to restore over another CA and says which is newer.
func compareWith(dir string, l *Log) error {
	vacancy := vacant(dir)
	if vacancy == nil {
		return nil
	}
	there, err := Open(dir, nil)
	if err != nil {
		return vacancy
	}
	now, err := there.Log()
	if err != nil {
		return vacancy
	}
	if now.Since(l.Checkpoint()) == nil && now.Checkpoint().Size > l.Checkpoint().Size {
		return identity.Untrustedf("the backup is older than the CA in %q: its log ends after %d records, the CA's after %d; what was done since would be forgotten",
			dir, l.Checkpoint().Size, now.Checkpoint().Size)
	}
	return fmt.Errorf("%w (its log has %d records, the backup's %d)", vacancy, now.Checkpoint().Size, l.Checkpoint().Size)
}
