package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awhile is how long a test waits for what a program is to do soon.
const awhile = 20 * time.Second

// program is a running fxrun, the real one that a script has built.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer // complete once the program has ended
	log  string       // the file that its log goes to
	done chan struct{}
}

// start runs a command in the folder dir. The test's end ends it.
func start(t *testing.T, dir, log string, command ...string) *program {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // the program has its own
	p := &program{t: t, cmd: exec.Command(command[0], command[1:]...), log: log, done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.out, f
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(os.Kill)
		<-p.done
	})
	return p
}

// signal sends a signal; a program that has ended does not mind.
func (p *program) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

// wait gives the exit code, and fails the test if there is none within d.
func (p *program) wait(d time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(d):
		p.t.Fatalf("%s has not ended after %v:\n%s", strings.Join(p.cmd.Args, " "), d, read(p.t, p.log))
		return 0
	}
}

// stop interrupts the program and requires the exit code.
func (p *program) stop(code int) {
	p.t.Helper()
	p.signal(os.Interrupt)
	if got := p.wait(awhile); got != code {
		p.t.Errorf("%s, interrupted: exit code %d, want %d:\n%s", p.cmd.Args[0], got, code, read(p.t, p.log))
	}
}

// line is one line of a program's log.
type line struct {
	Msg, Cause         string
	Collaborator, Task string // of a result
	Round              int
	raw                string
}

// lines are the log's lines from offset on.
func lines(t *testing.T, file string, offset int) []line {
	t.Helper()
	var out []line
	for raw := range strings.Lines(read(t, file)[offset:]) {
		var l line
		if strings.HasPrefix(raw, "{") && strings.HasSuffix(raw, "\n") { // else a message to people, or not yet written
			if err := json.Unmarshal([]byte(raw), &l); err != nil {
				t.Fatalf("%s: %v: %s", file, err, raw)
			}
			l.raw = strings.TrimSpace(raw)
			out = append(out, l)
		}
	}
	return out
}

// count says how many lines of a log satisfy f.
func count(t *testing.T, file string, offset int, f func(line) bool) int {
	t.Helper()
	n := 0
	for _, l := range lines(t, file, offset) {
		if f(l) {
			n++
		}
	}
	return n
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// until waits for a condition.
func until(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// replace puts a file in place as fxctl does: by renaming.
func replace(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
