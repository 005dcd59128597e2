package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/command"
	"fx/runtime/sandbox"
)

// TestMain lets this test binary be fxrun and fxctl when a script calls them.
func TestMain(m *testing.M) {
	sandbox.Child()
	testscript.Main(m, map[string]func(){
		"fxrun": func() { os.Exit(int(run(os.Args, os.Stdin, os.Stdout, os.Stderr))) },
		"fxctl": func() { os.Exit(int(command.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))) },
	})
}

// TestScripts runs testdata/script/*.txtar. Beyond testscript's own commands
// there are
//
//	exits CODE PROGRAM ARGS…       run a program and require that very exit code
//	ca DAYS                        a CA that was created DAYS days ago, in ca/
//	certify ROLE NAME [DAYS]       request, sign and import a certificate; with DAYS,
//	                               signed that long ago for one day
//	federation TEMPLATE NAME…      certificates for everybody and an approved bundle fed.fxb
//	serve LOG ARGS…                fxrun ARGS in the background until `interrupt`
//	interrupt [CODE]               stop what `serve` started, and require its exit code
//	await FILE TEXT                until the file has the text
//	truncated FILE NEW             NEW is FILE without its last byte
//	flip FILE OFFSET               change one bit of the file; a negative offset is one from its end
//	refuse-vectors DIR             fxrun refuses every ruined bundle in DIR for its own cause
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "ca": createCA, "certify": certify, "federation": federation,
			"serve": serveAggregator, "interrupt": stop, "await": await, "truncated": truncated, "refuse-vectors": refuseVectors, "flip": flip,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("cannot run %v: %v", args[1:], err)
		}
		got = code.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

const passphrase = "correct horse battery staple"

func ago(ts *testscript.TestScript, days string) func() time.Time {
	n, err := strconv.Atoi(days)
	ts.Check(err)
	return func() time.Time { return time.Now().AddDate(0, 0, -n) }
}

func createCA(ts *testscript.TestScript, _ bool, args []string) {
	_, err := issuer.Create(context.Background(), issuer.CreateOptions{
		Dir: ts.MkAbs("ca"), Federation: "fed.example.org", Passphrase: []byte(passphrase), Now: ago(ts, args[0]),
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("passphrase"), []byte(passphrase+"\n"), 0o600))
}

func certify(ts *testscript.TestScript, _ bool, args []string) {
	role, err := identity.ParseRole(args[0])
	ts.Check(err)
	name := args[1]
	request := []string{"cert", "request", "--role", args[0], "--name", name}
	if role == identity.Aggregator {
		request = append(request, "--dns", name)
	}
	ts.Check(ts.Exec("fxctl", request...))
	_, _, csr := identity.Files(ts.MkAbs("cert"), role, name)
	der, err := os.ReadFile(csr)
	ts.Check(err)
	req, err := issuer.ParseRequest(der)
	ts.Check(err)
	o, now := issuer.Options{}, time.Now
	if len(args) > 2 {
		o.Days, now = 1, ago(ts, args[2])
	}
	ca, err := issuer.Open(ts.MkAbs("ca"), now)
	ts.Check(err)
	kind := issuer.Network
	if role.Signs() {
		kind = issuer.Signing
	}
	ts.Check(ca.Unlock(kind, []byte(passphrase)))
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: role, Name: name}, o)
	ts.Check(err)
	if len(args) > 2 { // an expired certificate would not be imported
		crt, _, _ := identity.Files(ts.MkAbs("cert"), role, name)
		ts.Check(os.WriteFile(crt, identity.EncodeCertificates(issued.Certificate), 0o644))
		return
	}
	answer := ts.MkAbs(name + ".answer")
	ts.Check(os.WriteFile(answer, issued.Answer.Encode(), 0o644))
	root := identity.Fingerprint(ca.Certificate(issuer.Root).Raw)
	ts.Check(ts.Exec("fxctl", "cert", "import", answer, "--root-fingerprint", root))
}

func federation(ts *testscript.TestScript, _ bool, args []string) {
	certify(ts, false, []string{"aggregator", "localhost"})
	certify(ts, false, []string{"publisher", "alice"})
	certify(ts, false, []string{"reviewer", "bob"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	port := l.Addr().(*net.TCPAddr).Port
	ts.Check(l.Close())
	create := []string{"workspace", "create", "ward", "--template", args[0], "--agg-addr", "localhost", "--agg-port", strconv.Itoa(port)}
	for _, name := range args[1:] {
		certify(ts, false, []string{"collaborator", name})
		create = append(create, "--collaborator", name)
	}
	ts.Check(ts.Exec("fxctl", create...))
	ts.Check(ts.Exec("fxctl", "bundle", "create", "ward", "-o", "fed.fxb", "--as", "alice"))
	ts.Check(ts.Exec("fxctl", "bundle", "approve", "fed.fxb", "--as", "bob", "--yes"))
	ts.Setenv("PORT", strconv.Itoa(port))
}

type served struct {
	cmd  *exec.Cmd
	done chan struct{}
}

var servers sync.Map // of *served, by *testscript.TestScript: scripts run in parallel

func serveAggregator(ts *testscript.TestScript, _ bool, args []string) {
	program, err := lookPath(ts, "fxrun")
	ts.Check(err)
	log, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	cmd := exec.Command(program, append(slices.Clone(args[1:]), "--log-format", "json")...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), log
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.MkAbs(".")}
	ts.Check(cmd.Start())
	s := &served{cmd, make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the exit code is in ProcessState
		close(s.done)
	}()
	servers.Store(ts, s)
	ts.Defer(func() { stop(ts, false, nil) })
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			return p, nil
		}
	}
	return "", fmt.Errorf("there is no %s in PATH", name)
}

func stop(ts *testscript.TestScript, _ bool, args []string) {
	found, ok := servers.LoadAndDelete(ts)
	if !ok {
		return
	}
	s := found.(*served)
	_ = s.cmd.Process.Signal(os.Interrupt) // it may have ended
	select {
	case <-s.done:
		if code := strconv.Itoa(s.cmd.ProcessState.ExitCode()); len(args) > 0 && code != args[0] {
			ts.Fatalf("exit code %s, want %s", code, args[0])
		}
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		ts.Fatalf("the aggregator did not stop when interrupted")
	}
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !os.IsNotExist(err) {
			ts.Fatalf("%v", err)
		}
		if bytes.Contains(b, []byte(args[1])) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b, _ := os.ReadFile(ts.MkAbs(args[0]))
	ts.Fatalf("%s never had %q: %s", args[0], args[1], strings.TrimSpace(string(b)))
}

func truncated(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b[:len(b)-1], 0o644))
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}
