package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
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

// front is what answers at the address where collaborators look for the
// aggregator, which itself is behind it.
type front struct {
	addr   string
	behind string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
	handlers sync.WaitGroup
	accepted atomic.Int64
}

// newFront listens and relays until the test ends.
func newFront(t *testing.T, addr, behind string) *front {
	t.Helper()
	f := &front{addr: addr, behind: behind, open: map[net.Conn]struct{}{}}
	t.Cleanup(f.close)
	return f
}

// answer handles each connection from now on by h; those that are open end.
// Without h nobody listens.
func (f *front) answer(t *testing.T, h func(net.Conn)) {
	t.Helper()
	f.close()
	f.accepted.Store(0)
	if h == nil {
		return
	}
	config := net.ListenConfig{}
	l, err := config.Listen(context.Background(), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.listener = l
	f.mu.Unlock()
	f.handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
			f.hold(c)
			f.handlers.Go(func() {
				h(c)
				f.release(c)
			})
		}
	})
}

func (f *front) hold(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener == nil { // it was closed meanwhile
		_ = c.Close()
	}
	f.open[c] = struct{}{}
}

func (f *front) release(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, c)
	_ = c.Close()
}

func (f *front) close() {
	f.mu.Lock()
	if f.listener != nil {
		_ = f.listener.Close()
	}
	f.listener = nil
	for c := range f.open {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.handlers.Wait()
}

// relay hands a connection on to the aggregator.
func (f *front) relay(c net.Conn) { f.cut(-1, -1)(c) }

// cut relays, and resets both connections after so many bytes to the aggregator
// or from it, and says whether it came to that; a negative number is no limit.
func (f *front) cut(to, from int64) func(net.Conn) bool {
	return func(in net.Conn) (done bool) {
		out, err := net.Dial("tcp", f.behind)
		if err != nil {
			reset(in)
			return false
		}
		f.hold(out)
		defer f.release(out)
		var both sync.WaitGroup
		var reached atomic.Bool
		one := func(dst, src net.Conn, limit int64) {
			var n int64
			if limit < 0 {
				n, _ = io.Copy(dst, src)
				limit = n + 1
			} else {
				n, _ = io.CopyN(dst, src, limit)
			}
			if n == limit {
				reached.Store(true)
				reset(dst)
				reset(src)
			}
			_ = dst.Close()
			_ = src.Close()
		}
		both.Go(func() { one(out, in, to) })
		both.Go(func() { one(in, out, from) })
		both.Wait()
		return reached.Load()
	}
}

// reset ends a connection as a failing middlebox does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
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
