package issuer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"fx/ca/identity"
)

// Limits of a backup, in bytes and files.
const (
	MaxBackup      = 1 << 30
	maxBackupFiles = 1 << 20

	// workFactor is the logarithm of scrypt's N: about a second, and 256 MB.
	workFactor     = 18
	mostWorkFactor = 20
)

// Export makes a backup of the whole CA folder: a tar archive, encrypted under a
// passphrase in the format of age (scrypt, ChaCha20-Poly1305), so that stock
// tools can open it in ten years. The log is audited before. Keys go into it as
// they are at rest; keys in an HSM do not, only where they are.
func (ca *CA) Export(passphrase []byte) ([]byte, error) {
	return ca.export(passphrase, workFactor)
}

func (ca *CA) export(passphrase []byte, work int) ([]byte, error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return nil, err
	}
	unlock, err := ca.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	l, err := ca.Log()
	if err != nil {
		return nil, err
	}
	if err := l.Audit(); err != nil {
		return nil, fmt.Errorf("cannot back up CA %q: %w", ca.dir, err)
	}
	recipient, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt the backup: %v", err)
	}
	recipient.SetWorkFactor(work)
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, recipient)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt the backup: %v", err)
	}
	w := tar.NewWriter(sealed)
	if err := pack(w, ca.dir); err != nil {
		return nil, fmt.Errorf("cannot back up CA %q: %w", ca.dir, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("cannot write the backup: %v", err)
	}
	if err := sealed.Close(); err != nil {
		return nil, fmt.Errorf("cannot encrypt the backup: %v", err)
	}
	if out.Len() > MaxBackup {
		return nil, fmt.Errorf("cannot back up CA %q: the backup has more than %d bytes", ca.dir, MaxBackup)
	}
	return out.Bytes(), nil
}

// pack writes every file of the folder but the lock and writes that never ended.
func pack(w *tar.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() || name == lockFile || strings.HasPrefix(e.Name(), ".new-") {
			return nil
		}
		if !e.Type().IsRegular() {
			return identity.Invalidf("%q is no regular file", path)
		}
		data, err := identity.ReadFile(path, MaxBackup)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if err := checkMember(name, int64(len(data))); err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: int64(memberMode(name)), Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
}

// checkMember says what cannot be a file of a CA folder.
func checkMember(name string, size int64) error {
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\:\x00") || strings.Count(name, "/") > 2 || len(name) > 99 {
		return identity.Invalidf("%q is no name of a CA's file", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return identity.Invalidf("%q is no name of a CA's file", name)
		}
	}
	if size < 0 || size > MaxBackup {
		return identity.Invalidf("%q has %d bytes, allowed are %d", name, size, MaxBackup)
	}
	return nil
}

// memberMode keeps keys to their owner, whatever a backup says.
func memberMode(name string) os.FileMode {
	if strings.Contains(name, "/private/") {
		return 0o600
	}
	return 0o644
}

// unpack writes the files of a decrypted backup below dir. All of it is
// untrusted, although it was encrypted: passphrases are told.
func unpack(r io.Reader, dir string) error {
	archive, left := tar.NewReader(r), int64(MaxBackup)
	for n := 0; ; n++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return identity.Invalidf("it is damaged: %v", err)
		}
		if n >= maxBackupFiles {
			return identity.Invalidf("it has more than %d files", maxBackupFiles)
		}
		if h.Typeflag != tar.TypeReg {
			return identity.Invalidf("%q is no regular file", h.Name)
		}
		if err := checkMember(h.Name, h.Size); err != nil {
			return err
		}
		if left -= h.Size; left < 0 {
			return identity.Invalidf("it has more than %d bytes", MaxBackup)
		}
		data, err := io.ReadAll(io.LimitReader(archive, h.Size))
		if err != nil || int64(len(data)) != h.Size {
			return identity.Invalidf("it is damaged within %q: %v", h.Name, err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		mode := os.FileMode(0o755)
		if memberMode(h.Name) == 0o600 {
			mode = 0o700
		}
		if err := os.MkdirAll(filepath.Dir(path), mode); err != nil {
			return fmt.Errorf("cannot make a folder: %v", err)
		}
		if err := identity.CreateFile(path, data, memberMode(h.Name)); err != nil {
			return err
		}
	}
}
