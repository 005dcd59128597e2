package issuer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"fx/ca/identity"
)

const (
	testWork  = 2 // scrypt would cost a second each
	testWords = "incorrect horse battery"
)

func backup(t testing.TB, ca *CA) []byte {
	t.Helper()
	data, err := ca.export([]byte(testWords), testWork)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func restore(dir string, data []byte, o ImportOptions) (*CA, error) {
	o.Dir = dir
	if o.Passphrase == nil {
		o.Passphrase = []byte(testWords)
	}
	ca, _, err := Import(context.Background(), data, o)
	return ca, err
}

// A restored CA has every file, goes on where it was, and knows what it issued.
func TestRestore(t *testing.T) {
	ca, dir := openCA(t)
	first := sign(t, ca, "site-1")
	data := backup(t, ca)
	again, err := restore(filepath.Join(t.TempDir(), "ca"), data, ImportOptions{Now: ca.now})
	if err != nil {
		t.Fatal(err)
	}
	want, got := tree(t, dir), tree(t, again.dir)
	delete(want, lockFile)
	if len(want) != len(got) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s differs", name)
		}
	}
	for _, k := range Kinds() {
		if err := again.Unlock(k, nil); err != nil {
			t.Error(err)
		}
	}
	second := sign(t, again, "site-2")
	if second.Record.Serial == first.Record.Serial {
		t.Error("the serial was used again")
	}
	l, err := again.Log()
	if err != nil || l.Audit() != nil || l.Checkpoint().Size != 5 {
		t.Errorf("log after restoring: %v", err)
	}
}

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = info.Mode().String() + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// An old backup must not be taken for the CA of today.
func TestRestoreOldBackup(t *testing.T) {
	ca, dir := openCA(t)
	old := backup(t, ca)
	sign(t, ca, "site-1")
	l, err := ca.Log()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restore(dir, old, ImportOptions{}); !errors.Is(err, identity.ErrUntrusted) || !strings.Contains(err.Error(), "older than the CA") {
		t.Errorf("over the newer one: %v", err)
	}
	elsewhere := filepath.Join(t.TempDir(), "ca")
	if _, err := restore(elsewhere, old, ImportOptions{Since: l.Checkpoint()}); !errors.Is(err, identity.ErrUntrusted) || !strings.Contains(err.Error(), "record 3 is missing") {
		t.Errorf("against a checkpoint: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(elsewhere)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := restore(elsewhere, backup(t, ca), ImportOptions{Since: l.Checkpoint()}); err != nil {
		t.Errorf("the newest: %v", err)
	}
	if _, err := restore(dir, backup(t, ca), ImportOptions{}); err == nil || !strings.Contains(err.Error(), "its log has 4 records, the backup's 4") {
		t.Errorf("over the same: %v", err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	ca, _ := openCA(t)
	good := backup(t, ca)
	if _, err := ca.Export([]byte("short")); err == nil {
		t.Error("a short passphrase was taken")
	}
	if _, err := restore(filepath.Join(t.TempDir(), "ca"), good, ImportOptions{Passphrase: []byte("another horse battery")}); err == nil || !strings.Contains(err.Error(), "passphrase is wrong") {
		t.Errorf("another passphrase: %v", err)
	}
	for name, data := range map[string][]byte{
		"cut off":    good[:len(good)-20],
		"changed":    bytes.Replace(good, good[len(good)-40:len(good)-30], []byte("0123456789"), 1),
		"no backup":  []byte("hello"),
		"outside":    sealed(t, &tar.Header{Name: "../x", Mode: 0o644}),
		"absolute":   sealed(t, &tar.Header{Name: "/x", Mode: 0o644}),
		"hidden":     sealed(t, &tar.Header{Name: "log/.new-1", Mode: 0o644}),
		"deep":       sealed(t, &tar.Header{Name: "a/b/c/d", Mode: 0o644}),
		"link":       sealed(t, &tar.Header{Name: "ca.json", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}),
		"twice":      sealed(t, &tar.Header{Name: "ca.json", Mode: 0o644}, &tar.Header{Name: "ca.json", Mode: 0o644}),
		"no CA":      sealed(t, &tar.Header{Name: "ca.json", Mode: 0o644}),
		"not sealed": plainTar(t, &tar.Header{Name: "ca.json", Mode: 0o644}),
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		_, err := restore(dir, data, ImportOptions{})
		if err == nil {
			t.Errorf("%s: was restored", name)
		}
		if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", name, left, err)
		}
	}
}

func plainTar(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sealed(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	recipient, err := age.NewScryptRecipient(testWords)
	if err != nil {
		t.Fatal(err)
	}
	recipient.SetWorkFactor(testWork)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipient)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(plainTar(t, headers...))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzUnpack: whatever a backup holds, nothing is written outside its folder.
func FuzzUnpack(f *testing.F) {
	f.Add(plainTar(f, &tar.Header{Name: "ca.json", Mode: 0o644}))
	f.Add(plainTar(f, &tar.Header{Name: "../ca.json", Mode: 0o644}))
	f.Add(plainTar(f, &tar.Header{Name: "root-ca/private/root-ca.key", Mode: 0o644}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "ca")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_ = unpack(bytes.NewReader(data), dir)
		if names, err := os.ReadDir(parent); err != nil || len(names) != 1 {
			t.Errorf("outside: %v, %v", names, err)
		}
	})
}
