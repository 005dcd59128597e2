//go:build faults && unix

package issuer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
				prepare(t, before, act)
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
func prepare(t *testing.T, dir string, a act) {
	t.Helper()
	if err := acts["init"].do(dir); err != nil {
		t.Fatal(err)
	}
	writeRequest(t, dir, "site-0")
	if err := errors.Join(signOne(dir), os.Remove(filepath.Join(dir, "answer")), os.Remove(filepath.Join(dir, "csr"))); err != nil {
		t.Fatal(err)
	}
	name := a.name
	if name == "" {
		name = "site-1"
	}
	writeRequest(t, dir, name)
	if a.old {
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
func checkSurvivor(t *testing.T, when, dir, name string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(dir, "ca")); name == "init" && errors.Is(err, fs.ErrNotExist) {
		if err := acts["init"].do(dir); err != nil {
			t.Errorf("%s: a CA cannot be made any more: %v", when, err)
		}
		return
	}
	records := checkAccount(t, when, dir, name == "migrate")
	checkHandedOut(t, when, dir, records)
	if n := len(records); name == "batch" && n != 4 && n != 104 {
		t.Errorf("%s: %d records: a part of a batch", when, n)
	}
	again := acts[name].again
	if again == nil {
		return
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "answer")), again(dir)); err != nil {
		t.Errorf("%s: it cannot be done any more: %v", when, err)
		return
	}
	when += ", then done again"
	checkHandedOut(t, when, dir, checkAccount(t, when, dir, false))
	checkPublished(t, when, dir)
	if _, err := os.Lstat(filepath.Join(dir, "ca", issuedDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: the old records are still in use", when)
	}
}

// checkAccount judges everything that was recorded.
func checkAccount(t *testing.T, when, dir string, old bool) []*Record {
	t.Helper()
	ca, err := Open(filepath.Join(dir, "ca"), nil)
	if err != nil {
		t.Fatalf("%s: the CA does not open: %v", when, err)
	}
	records, err := ca.Records()
	if err != nil {
		t.Fatalf("%s: the log cannot be read: %v", when, err)
	}
	if _, err := ca.CheckRecords(); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	for _, k := range Kinds() {
		if err := ca.Unlock(k, nil); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	serials := map[string]bool{}
	for _, r := range records {
		if r.Kind == KindIssued && serials[r.Serial] {
			t.Errorf("%s: the serial %s stands twice", when, r.Serial)
		}
		serials[r.Serial] = true
	}
	l, err := ca.Log()
	if err == nil {
		err = l.Audit()
	} else if old {
		err = nil
	}
	if err != nil {
		t.Errorf("%s: %v", when, err)
	}
	return records
}

// checkHandedOut compares what others can have with what is recorded.
func checkHandedOut(t *testing.T, when, dir string, records []*Record) {
	t.Helper()
	certs, lists := map[string]bool{}, map[string]bool{}
	for _, r := range records {
		certs[string(r.Certificate)], lists[r.Digest] = true, true
	}
	answer := func(file string, parse func([]byte) (*identity.Answer, error)) {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		a, err := parse(data)
		if err != nil {
			t.Fatalf("%s: half of %s was written: %v", when, file, err)
		}
		all := slices.Concat(a.Roots, a.Links, a.Network, a.Signing)
		if a.Leaf != nil {
			all = append(all, a.Leaf)
		}
		for _, c := range all {
			if !certs[string(c.Raw)] {
				t.Errorf("%s: a certificate of %s was handed out in %s and not recorded", when, c.Subject, file)
			}
		}
		for _, l := range a.CRLs {
			if !lists[identity.Fingerprint(l.Raw)] {
				t.Errorf("%s: a revocation list of %s was handed out in %s and not recorded", when, l.Issuer, file)
			}
		}
	}
	answer("answer", identity.ParseAnswer)
	answer("ca/"+UpdateFile, identity.ParseUpdate)
	files, err := filepath.Glob(filepath.Join(dir, "ca", "*.crl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err != nil || !lists[identity.Fingerprint(data)] {
			t.Errorf("%s: the revocation list %q is not recorded (%v)", when, f, err)
		}
	}
}

// checkPublished requires that what participants are sent is complete.
func checkPublished(t *testing.T, when, dir string) {
	t.Helper()
	ca := mustOpen(t, dir)
	lists, err := ca.Lists()
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for _, l := range lists {
		if l.Problem != "" || l.Pending > 0 {
			t.Errorf("%s: the list of the %s: %d pending, %s", when, l.Issuer, l.Pending, l.Problem)
		}
	}
	if current, err := ca.UpdateIsCurrent(); !current || err != nil {
		t.Errorf("%s: %s is not what the CA is now (%v)", when, UpdateFile, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "ca", UpdateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	update, err := identity.ParseUpdate(data)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for _, k := range Kinds() {
		sent := slices.Concat(update.Roots, update.Network, update.Signing)
		if c := ca.Certificate(k); !slices.ContainsFunc(sent, c.Equal) {
			t.Errorf("%s: the newest certificate of the %s is not in %s", when, k, UpdateFile)
		}
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
