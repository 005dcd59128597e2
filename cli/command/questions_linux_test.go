package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	secret = "correct horse battery staple\n"
	ctrlC  = "\x03"
)

// TestQuestions answers fxctl's questions at a terminal, well and badly. A bad
// answer and Ctrl-C leave nothing behind.
func TestQuestions(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)

	init := []string{"ca", "init", "--name", "fed.example.org"}
	answer(t, init, 130, "New passphrase", ctrlC)
	answer(t, init, 130, "New passphrase", secret, "again:", ctrlC)
	answer(t, init, 1, "New passphrase", secret, "again:", "another horse battery\n")
	absent(t, "ca")
	shown := answer(t, init, 0, "New passphrase", secret, "again:", secret)
	_, root, _ := strings.Cut(shown, "once):")
	root = strings.ReplaceAll(strings.TrimSpace(root), " ", "")

	for role, name := range map[string]string{"publisher": "alice", "reviewer": "bob"} {
		said := field(t, "fingerprint", "cert", "request", "--role", role, "--name", name)
		last := said[len(said)-8:]
		sign := []string{"ca", "sign", filepath.Join("cert/signer", name+".csr"), "--role", role, "--quiet"}
		answer(t, sign, 130, "to sign:", ctrlC)
		answer(t, sign, 130, "to sign:", last+"\n", "CA keys:", ctrlC)
		answer(t, sign, 1, "to sign:", last+"\n", "CA keys:", "incorrect horse\n")
		shown := answer(t, sign, 4, "to sign:", "00000000\n")
		if strings.Contains(strings.ReplaceAll(shown, " ", ""), last) || !strings.Contains(shown, "CN="+name) {
			t.Errorf("the custodian is shown this, which must name %s and not the fingerprint's end:\n%s", name, shown)
		}
		absent(t, name+".answer")
		answer(t, sign, 0, "to sign:", strings.ToUpper(last[:4])+" "+last[4:]+"\n", "CA keys:", secret)
	}
	take := []string{"cert", "import", "bob.answer"}
	answer(t, take, 130, "to trust it:", ctrlC)
	answer(t, take, 4, "to trust it:", "00000000\n")
	absent(t, "cert/cert_chain.crt")
	answer(t, take, 0, "to trust it:", root[len(root)-8:]+"\n")
	answer(t, []string{"cert", "import", "alice.answer"}, 0) // the root is known: no question

	field(t, "folder", "workspace", "create", "ward", "--template", "no-op")
	field(t, "bundle_id", "bundle", "create", "ward", "-o", "ward.fxb", "--as", "alice")
	before := read(t, "ward.fxb.sigs.jsonl")
	approve := []string{"bundle", "approve", "ward.fxb", "--as", "bob", "--days", "90"}
	answer(t, approve, 130, "as reviewer bob, valid until", ctrlC)
	answer(t, approve, 1, "as reviewer bob", "yes\n")
	answer(t, append(approve, "--reject"), 1, "blocks these bytes for good", "approved\n")
	if !bytes.Equal(read(t, "ward.fxb.sigs.jsonl"), before) {
		t.Error("signed without the right answer")
	}
	// What is signed is shown before the question, --quiet or not.
	answer(t, append(approve, "--quiet"), 0, "WHAT LEAVES", "", "as reviewer bob", "approved\n")
}

// answer runs fxctl at a terminal of its own. dialog is what to wait for and
// what to type then, in turn. It returns everything that the terminal showed.
func answer(t *testing.T, args []string, code int, dialog ...string) string {
	t.Helper()
	ours, theirs := terminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The shell outlives fxctl: when the leader of a session ends, the kernel throws
	// away what its terminal has not shown yet.
	const leader = `trap : INT; "$@"; printf '[exit %s]' $?; read -r _`
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", leader, "sh", "fxctl"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	var shown []byte
	ended := regexp.MustCompile(`\[exit ([0-9]+)\]$`)
	for from := 0; !ended.Match(shown); {
		if len(dialog) > 0 {
			if i := bytes.Index(shown[from:], []byte(dialog[0])); i >= 0 {
				from += i
				if _, err := io.WriteString(ours, dialog[1]); err != nil {
					t.Fatal(err)
				}
				dialog = dialog[2:]
				continue
			}
		}
		buf := make([]byte, 4096)
		n, err := ours.Read(buf)
		shown = append(shown, buf[:n]...)
		if err != nil {
			t.Fatalf("fxctl %q: %v\n%s", args, err, shown)
		}
	}
	if _, err := io.WriteString(ours, "\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	end := ended.FindSubmatchIndex(shown)
	got, err := strconv.Atoi(string(shown[end[2]:end[3]]))
	shown = shown[:end[0]]
	if err != nil || got != code || len(dialog) > 0 {
		t.Fatalf("fxctl %q: exit code %d, want %d; never shown: %q\n%s", args, got, code, dialog, shown)
	}
	if code == 130 && !bytes.Contains(shown, []byte("interrupted; nothing was done")) {
		t.Errorf("fxctl %q: interrupted, it says\n%s", args, shown)
	}
	return string(shown)
}

// terminal opens a pseudo-terminal: our end and the program's.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	fd := int(ours.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	return ours, theirs
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func absent(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was left behind (%v)", name, err)
	}
}
