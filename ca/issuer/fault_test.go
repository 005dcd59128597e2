//go:build faults && unix

package issuer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fx/ca/identity"
)

// Run with `go test -tags faults -run Killed ./ca/issuer`: the test binary runs
// itself as a CA whose process is killed at every moment between two durable
// writes, one after the other.

const actVariable = "FX_FAULT_ACT" // what the child does: NAME DIR

func TestMain(m *testing.M) {
	if act, dir, _ := strings.Cut(os.Getenv(actVariable), " "); act != "" {
		if err := acts[act].do(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// acts are what a CA does that outlives the process.
var acts = map[string]struct {
	do    func(dir string) error
	old   bool // the CA is one of an older version, without a log
	least int  // moments that there are at least
}{
	"init": {do: func(dir string) error {
		_, err := Create(context.Background(), CreateOptions{Dir: filepath.Join(dir, "ca"), Federation: "fed.example.org"})
		return err
	}, least: 40},
	"sign":    {do: signOne, least: 10},
	"migrate": {do: signOne, old: true, least: 7},
	"revoke": {do: func(dir string) error {
		return recordMore(dir, func(serial string) []*Record {
			return []*Record{{Format: recordFormat, Kind: KindRevoked, Serial: serial, Issuer: Network, Reason: "keyCompromise", Federation: "fed.example.org", IssuedAt: then}}
		})
	}, least: 5},
	"crl": {do: func(dir string) error {
		err := recordMore(dir, func(string) []*Record {
			return []*Record{{Format: recordFormat, Kind: KindCRL, Issuer: Network, Number: 1, Federation: "fed.example.org", IssuedAt: then}}
		})
		return errors.Join(err, identity.ReplaceFile(filepath.Join(dir, "list.pem"), []byte("a list"), 0o644))
	}, least: 10},
	"batch": {do: func(dir string) error {
		return recordMore(dir, func(string) (records []*Record) {
			for i := range 100 {
				records = append(records, &Record{Format: recordFormat, Kind: KindCRL, Issuer: Signing, Number: int64(i + 1), Federation: "fed.example.org", IssuedAt: then})
			}
			return records
		})
	}, least: 5},
}

// signOne signs as `fxctl ca sign` does: the answer is written last.
func signOne(dir string) error {
	ca, err := Open(filepath.Join(dir, "ca"), nil)
	if err != nil {
		return err
	}
	if err := ca.Unlock(Network, nil); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "csr"))
	if err != nil {
		return err
	}
	req, err := ParseRequest(data)
	if err != nil {
		return err
	}
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, Options{Replace: true})
	if err != nil {
		return err
	}
	return identity.CreateFile(filepath.Join(dir, "answer"), issued.Answer.Encode(), 0o644)
}

func recordMore(dir string, make func(serial string) []*Record) error {
	ca, err := Open(filepath.Join(dir, "ca"), nil)
	if err != nil {
		return err
	}
	if err := ca.Unlock(Network, nil); err != nil {
		return err
	}
	records, err := ca.Records()
	if err != nil {
		return err
	}
	return ca.appendRecords(make(records[0].Serial)...)
}

func TestKilledAtEveryMoment(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := t.TempDir()
			if name != "init" {
				prepare(t, before, act.old)
			}
			n := 1
			for ; ; n++ {
				dir := filepath.Join(t.TempDir(), "dir")
				if err := os.CopyFS(dir, os.DirFS(before)); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), actVariable+"="+name+" "+dir, fmt.Sprintf("FX_FAULT=%d", n))
				out, err := cmd.CombinedOutput()
				if err == nil {
					break // there are not so many moments
				}
				if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("killed at %d: %v\n%s", n, err, out)
				}
				checkSurvivor(t, fmt.Sprintf("killed at %d", n), dir, name)
			}
			if n-1 < act.least {
				t.Errorf("only %d moments to be killed at; there are at least %d", n-1, act.least)
			}
			t.Logf("killed at %d moments", n-1)
		})
	}
}

// prepare makes a CA that has signed once, and a request.
func prepare(t *testing.T, dir string, old bool) {
	t.Helper()
	if err := acts["init"].do(dir); err != nil {
		t.Fatal(err)
	}
	writeRequest(t, dir, "site-0")
	if err := errors.Join(signOne(dir), os.Remove(filepath.Join(dir, "answer")), os.Remove(filepath.Join(dir, "csr"))); err != nil {
		t.Fatal(err)
	}
	writeRequest(t, dir, "site-1")
	if old {
		makeOld(t, filepath.Join(dir, "ca"))
	}
}

func writeRequest(t *testing.T, dir, name string) {
	t.Helper()
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := identity.NewRequest(key, identity.Collaborator, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "csr"), identity.EncodeRequest(der), 0o600); err != nil {
		t.Fatal(err)
	}
}

// makeOld turns the log into the files of an older version.
func makeOld(t *testing.T, dir string) {
	t.Helper()
	ca, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	records, err := ca.Records()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, logDir)), os.Mkdir(filepath.Join(dir, issuedDir), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		before := *r
		before.Format, before.Kind = oldFormat, ""
		data, err := encodeJSON(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, issuedDir, r.Serial+".json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkSurvivor is what must hold wherever the process died: the CA opens, its
// log verifies, no serial stands twice, what was handed out is recorded, and the
// act can be done again.
func checkSurvivor(t *testing.T, when, dir, act string) {
	t.Helper()
	ca, err := Open(filepath.Join(dir, "ca"), nil)
	if act == "init" {
		_, there := os.Lstat(filepath.Join(dir, "ca"))
		if errors.Is(there, fs.ErrNotExist) {
			if err := acts["init"].do(dir); err != nil {
				t.Errorf("%s: a CA cannot be made any more: %v", when, err)
			}
			return
		}
	}
	if err != nil {
		t.Fatalf("%s: the CA does not open: %v", when, err)
	}
	records, err := ca.Records()
	if err != nil {
		t.Fatalf("%s: the log cannot be read: %v", when, err)
	}
	serials := map[string]bool{}
	for _, r := range records {
		if r.Kind == KindIssued && serials[r.Serial] {
			t.Errorf("%s: the serial %s stands twice", when, r.Serial)
		}
		serials[r.Serial] = true
	}
	if l, err := ca.Log(); err == nil {
		if err := l.Audit(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	} else if act != "migrate" {
		t.Errorf("%s: %v", when, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "answer")); err == nil {
		a, err := identity.ParseAnswer(data)
		if err != nil {
			t.Fatalf("%s: half an answer was handed out: %v", when, err)
		}
		if last := records[len(records)-1]; !bytes.Equal(last.Certificate, a.Leaf.Raw) {
			t.Errorf("%s: a certificate was handed out and not recorded", when)
		}
	}
	if act == "init" {
		return
	}
	_ = os.Remove(filepath.Join(dir, "answer"))
	if act == "sign" || act == "migrate" {
		defer func() {
			if _, err := os.Lstat(filepath.Join(dir, "ca", issuedDir)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: the old records are still in use", when)
			}
		}()
		if err := signOne(dir); err != nil {
			t.Errorf("%s: cannot sign any more: %v", when, err)
		}
		if l, err := mustOpen(t, dir).Log(); err != nil || l.Audit() != nil {
			t.Errorf("%s: after signing again: %v", when, err)
		}
	} else if n := len(records); act == "batch" && n != 4 && n != 104 {
		t.Errorf("%s: %d records: a part of a batch", when, n)
	}
}

func mustOpen(t *testing.T, dir string) *CA {
	t.Helper()
	ca, err := Open(filepath.Join(dir, "ca"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}
