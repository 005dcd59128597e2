//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program in a box.
type Process struct {
	box     Box
	places  []place
	group   *group
	cmd     *exec.Cmd
	socket  int
	layers  []string
	inside  []Finding
	started time.Time

	asking  sync.Mutex    // one request at a time
	replies chan answer   // closed when the helper says no more; holds the answer to one request
	deaf    chan struct{} // closed with replies
	done    chan struct{} // closed when everything in the box is gone
	kill    sync.Once
	free    sync.Once

	mu     sync.Mutex
	closed bool   // the socket is
	full   bool   // it was ended for what it wrote
	ended  *ended // what the helper said about the program
	exit   Exit   // once done is closed
}

type answer struct {
	reply
	fd int
}

// Layers names what holds the process, for logs.
func (p *Process) Layers() []string { return slices.Clone(p.layers) }

// Path translates a path of the box to what the process itself sees: the same in
// a full box, a path of the host in a confined one.
func (p *Process) Path(box string) string { return translate(p.places, box) }

// Create makes the regular file IODir/name, of size bytes that are allocated, so
// that mapping it cannot fail later. The caller may read and write it; so may the
// task.
func (p *Process) Create(name string, size int64) (*os.File, error) {
	return p.file(opCreate, name, size)
}

// Open opens the regular file IODir/name for reading. The task may still change
// it. Links, also hard ones, devices, sockets and pipes are refused.
func (p *Process) Open(name string) (*os.File, error) {
	return p.file(opOpen, name, 0)
}

// Remove removes IODir/name.
func (p *Process) Remove(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("cannot remove %q: %w", name, err)
	}
	if _, err := p.ask(request{Op: opRemove, Name: name}, -1); err != nil {
		return fmt.Errorf("cannot remove %q: %w", IODir+"/"+name, err)
	}
	return nil
}

func (p *Process) file(op, name string, size int64) (*os.File, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("cannot %s %q: %w", op, name, err)
	}
	a, err := p.ask(request{Op: op, Name: name, Size: size}, -1)
	if err == nil && a.fd < 0 {
		err = errors.New("the box sent no file")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot %s %q of the box: %w", op, IODir+"/"+name, err)
	}
	return os.NewFile(uintptr(a.fd), IODir+"/"+name), nil
}

var errName = errors.New("a file name of 1 to 255 bytes without / was expected")

// checkName allows what is a single name.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
		return errName
	}
	return nil
}

// ask sends a request and waits for its answer.
func (p *Process) ask(r request, pass int) (answer, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.mu.Lock()
	closed := p.closed // then its number may be somebody else's
	p.mu.Unlock()
	if closed {
		return answer{}, errEnded
	}
	if err := send(p.socket, r, pass); err != nil {
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return answer{}, errEnded
		}
		return answer{}, err
	}
	a, ok := <-p.replies
	switch {
	case !ok:
		return answer{}, errEnded
	case a.Missing != nil:
		return answer{}, a.Missing
	case a.Errno != 0:
		return answer{}, &os.SyscallError{Syscall: a.Error, Err: unix.Errno(a.Errno)}
	case a.Error != "":
		return answer{}, errors.New(a.Error)
	}
	return a, nil
}

// errEnded wraps io.EOF: there is nobody to ask any more.
var errEnded = fmt.Errorf("the boxed process has ended: %w", io.EOF)

// listen receives what the helper says until it is gone.
func (p *Process) listen() {
	defer close(p.deaf)
	defer close(p.replies)
	for {
		var a answer
		fd, err := receive(p.socket, &a.reply)
		if err != nil {
			p.Kill()
			return
		}
		a.fd = fd
		if a.Ended != nil {
			p.mu.Lock()
			p.ended = a.Ended
			p.mu.Unlock()
			continue
		}
		select {
		case p.replies <- a:
		default: // nobody asked
			p.Kill()
			return
		}
	}
}

// Kill ends everything in the box. It may be called more than once, and by
// several goroutines.
func (p *Process) Kill() {
	p.kill.Do(func() {
		if p.box.Level == Full {
			_ = p.cmd.Process.Kill() // process 1 of the namespace takes all others along; it may be gone already
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed {
			_ = unix.Shutdown(p.socket, unix.SHUT_RDWR) // the helper ends its children, then itself
			go p.insist()
		}
	})
}

// patience is how long a helper may take to end a confined box.
const patience = 10 * time.Second

// insist ends a helper that does not end by itself.
func (p *Process) insist() {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill() // it may be gone already
	}
}

// Wait returns when everything in the box is gone. Any number of callers may
// wait.
func (p *Process) Wait() Exit {
	<-p.done
	return p.exit
}

// reap waits for the helper, takes down what is left, and tells those who wait.
func (p *Process) reap() {
	_ = p.cmd.Wait() // how the helper ended is in ProcessState
	wall := time.Since(p.started)
	p.group.kill()
	oom := p.group.outOfMemory()
	<-p.deaf // what was said last counts
	p.mu.Lock()
	p.exit = Exit{Code: -1, Signal: "SIGKILL", Wall: wall}
	if e := p.ended; e != nil {
		p.exit.Code, p.exit.Signal = e.Code, ""
		if e.Signal != 0 {
			p.exit.Code, p.exit.Signal = -1, unix.SignalName(unix.Signal(e.Signal))
		}
	}
	p.exit.OutOfMemory = oom && p.exit.Code != 0
	p.exit.OutOfScratch = p.full
	p.mu.Unlock()
	p.asking.Lock() // nobody uses the socket now
	p.release()
	p.asking.Unlock()
	close(p.done)
}

// release gives back what the parent holds of a box that is gone, or that never
// began.
func (p *Process) release() {
	p.free.Do(func() {
		p.mu.Lock()
		p.closed = true
		if p.socket >= 0 {
			_ = unix.Close(p.socket) // nothing is lost with it
		}
		p.mu.Unlock()
		p.group.remove()
	})
}
