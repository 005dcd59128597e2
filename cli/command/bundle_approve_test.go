package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/fstest"
	"time"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/ca/identity"
)

// TestApproveWhatCannotRun: a publisher may sign what no runtime would run, but
// not with fxctl. A reviewer sees why it would not, and cannot approve it.
func TestApproveWhatCannotRun(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("FX_CA_PASSPHRASE", "correct horse battery staple")
	root := field(t, "root_fingerprint", "ca", "init", "--name", "fed.example.org")
	for role, name := range map[string]string{"publisher": "alice", "reviewer": "bob"} {
		said := field(t, "fingerprint", "cert", "request", "--role", role, "--name", name)
		answer := field(t, "answer", "ca", "sign", "cert/signer/"+name+".csr", "--role", role, "--fingerprint", said)
		field(t, "name", "cert", "import", answer, "--root-fingerprint", root)
	}
	publish(t, "odd.fxb", fstest.MapFS{"plan/plan.yaml": {Data: []byte("rounds: \x1b[2J\n"), Mode: 0o644}})

	var shown bytes.Buffer
	inspect := exec.Command("fxctl", "bundle", "inspect", "odd.fxb")
	inspect.Stdout = &shown
	if err := inspect.Run(); err != nil || !bytes.Contains(shown.Bytes(), []byte("cannot be used")) || bytes.ContainsRune(shown.Bytes(), '\x1b') {
		t.Errorf("inspect: %v\n%q", err, shown.Bytes())
	}
	before, err := os.ReadFile("odd.fxb.sigs.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	approve := exec.Command("fxctl", "bundle", "approve", "odd.fxb", "--as", "bob", "--yes")
	if out, _ := approve.CombinedOutput(); approve.ProcessState.ExitCode() != 3 || !bytes.Contains(out, []byte("no runtime would run")) {
		t.Errorf("approve: exit code %d, want 3\n%s", approve.ProcessState.ExitCode(), out)
	}
	if after, err := os.ReadFile("odd.fxb.sigs.jsonl"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("signatures changed: %v", err)
	}
}

// publish packs a tree and signs it as alice, whatever is in it.
func publish(t *testing.T, path string, tree fstest.MapFS) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := bundle.CreateFile(context.Background(), path, tree, bundle.Options{Name: "odd", Version: "1"})
	check(err)
	b, err := bundle.OpenFile(path)
	check(err)
	defer func() { check(b.Close()) }()
	sum, err := b.FileSHA256()
	check(err)
	s := b.Subject()
	s.FileSHA256 = fmt.Sprintf("%x", sum)
	crt, keyFile, _ := identity.Files("cert", identity.Publisher, "alice")
	certs, err := identity.ReadCertificates(crt)
	check(err)
	key, err := identity.ReadKey(keyFile)
	check(err)
	release, err := approval.SignRelease(key, certs[0], s, approval.Release{
		Name: s.Name, Version: s.Version, TreeSHA256: s.TreeSHA256, CreatedAt: approval.Time(time.Now()), Tool: "test",
	})
	check(err)
	sidecar, err := (&approval.Sidecar{}).Add(release)
	check(err)
	check(sidecar.Write(approval.SidecarPath(path)))
}

// field runs fxctl without a terminal and returns one field of its JSON.
func field(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command("fxctl", append(args, "--json")...).Output()
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(out, &fields)
	}
	if err != nil {
		t.Fatalf("fxctl %q: %v\n%s", args, err, out)
	}
	v, _ := fields[name].(string)
	return v
}
