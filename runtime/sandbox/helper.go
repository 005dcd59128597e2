//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Child is the first statement of a main function, or of TestMain. When the
// program was started as the inside of a box, it builds the box, runs the
// program in it and does not return; otherwise it returns at once.
func Child() {
	if len(os.Args) != 1 || os.Args[0] != helperName {
		return
	}
	closeInherited()
	// Who shares our user must not look into this process: task code does.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	h := &inside{io: -1, last: make(chan struct{})}
	os.Exit(h.run())
}

// closeInherited closes what the parent was started with and did not mark to be
// closed. What has the mark was opened in this process since, by Go's runtime or
// by the set-up of a package.
func closeInherited() {
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		for _, e := range entries {
			fd, err := strconv.Atoi(e.Name())
			if err != nil || fd <= helperSocket {
				continue
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
				_ = unix.Close(fd) // whatever it was
			}
		}
	}
	_ = unix.CloseRange(helperSocket, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // since Linux 5.11; a box needs more
}

// inside is the helper: process 1 of a full box, the parent of everything in a
// confined one.
type inside struct {
	spec    *spec
	io      int // the folder IODir
	sending sync.Mutex

	ending   sync.Once
	last     chan struct{} // closed when all that is left is to go
	children [2]int        // the kernel's lists of our children, of a confined box
}

// run serves the parent until it is gone or the program has ended.
func (h *inside) run() int {
	// Signals that task code can send are to reach nothing; a channel that nobody
	// reads swallows them, and unlike SIG_IGN it is not inherited.
	signal.Notify(make(chan os.Signal, 1))
	for {
		var r request
		fd, err := receive(helperSocket, &r)
		if err != nil {
			h.end() // the parent is gone, or wants us gone
		}
		if r.Op == opStart && h.spec == nil && fd >= 0 {
			h.start(fd)
			continue
		}
		h.serve(r)
	}
}

// start builds the box and starts the program, on a thread of its own: the
// program inherits what that thread has given up.
func (h *inside) start(fd int) {
	s, err := readSpec(fd)
	if err != nil {
		h.say(failure(err), -1)
		return
	}
	h.spec = s
	built, started := make(chan struct{}), make(chan struct{})
	go func() {
		runtime.LockOSThread() // for ever
		layers, err := h.build()
		close(built)
		answer := reply{Layers: layers}
		pid := 0
		switch {
		case err != nil:
		case s.Inside:
			answer.Inside = lookAround(s)
		default:
			pid, err = h.exec()
		}
		if err != nil {
			answer = failure(err)
		}
		h.say(answer, -1)
		close(started)
		if pid != 0 {
			go h.wait(pid)
		}
		<-h.last
		h.killAll()
		os.Exit(0)
	}()
	if abandoned(helperSocket, built) {
		os.Exit(1) // nothing runs yet
	}
	<-started
}

// abandoned waits until the box is built, or reports that the parent is gone or
// wants us gone. Building can hang on a file system of the host's, and nobody
// reads the channel meanwhile.
func abandoned(socket int, built <-chan struct{}) bool {
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-built:
			return false
		case <-look.C:
		}
		fds := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLRDHUP) != 0 {
			return true
		}
	}
}

// build makes the box around this process and thread, the layers from the
// outermost to the innermost.
func (h *inside) build() (layers []string, err error) {
	s := h.spec
	full := s.Level == Full
	// The caller's mask may keep the box's user out of what is made here; dropUser sets the last one.
	unix.Umask(0o022)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) // better the task than the site's own programs; not a layer
	if full {
		if err := buildRoot(s); err != nil {
			return nil, err
		}
		layers = append(layers, s.namespaces(), "root")
	} else {
		if err := s.makeHostDirs(); err != nil {
			return nil, err
		}
		if err := h.adopt(); err != nil {
			return nil, err
		}
	}
	if err := setLimits(s); err != nil {
		return nil, err
	}
	if err := dropUser(s); err != nil {
		return nil, err
	}
	if err := s.checkReadable(); err != nil {
		return nil, err
	}
	if h.io, err = unix.Open(s.at(IODir), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("cannot open %q of the box: %v", IODir, err)
	}
	abi, err := s.landlock()
	if err != nil {
		return nil, err
	}
	if err := dropCapabilities(); err != nil {
		return nil, err
	}
	if err := s.seccomp(abi); err != nil {
		return nil, err
	}
	layers = append(layers, landlockLayer(abi), s.seccompLayer(), s.limitsLayer())
	if s.switched {
		layers = append(layers, fmt.Sprintf("user %d", s.User.UID))
	}
	return layers, nil
}

// at is where a path of the box is for this process.
func (s *spec) at(box string) string { return translate(s.Places, box) }

// exec starts the program from this thread.
func (h *inside) exec() (int, error) {
	s := h.spec
	file, err := s.lookUp()
	if err != nil {
		return 0, err
	}
	pid, err := syscall.ForkExec(file, s.Rewritten, &syscall.ProcAttr{
		Dir: s.Dir, Env: s.Env, Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, fmt.Errorf("cannot run %q in %q of the box: %w", s.Argv[0], s.Dir, err)
	}
	// The program alone keeps its streams open.
	if null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		for fd := range 2 { // not standard error: it takes what Go says when it crashes
			_ = unix.Dup3(null, fd, 0)
		}
		_ = unix.Close(null)
	}
	return pid, nil
}

// lookUp finds the program.
func (s *spec) lookUp() (string, error) {
	name := s.Rewritten[0]
	if name[0] == '/' {
		return name, nil
	}
	for _, dir := range []string{"/usr/bin/", "/bin/"} {
		if unix.Access(dir+name, unix.X_OK) == nil {
			return dir + name, nil
		}
	}
	return "", fmt.Errorf("cannot run %q in the box: /usr/bin and /bin have no such program", name)
}

// wait reaps whatever falls to this process, until the program has ended.
func (h *inside) wait(pid int) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // killAll was faster
			return
		case got == pid:
			e := &ended{Code: status.ExitStatus()}
			if status.Signaled() {
				e = &ended{Code: -1, Signal: int(status.Signal())}
			}
			h.say(reply{Ended: e}, -1)
			h.end()
		}
	}
}

// end leaves nothing behind, and does not return.
func (h *inside) end() {
	if h.spec == nil || h.spec.Level == Full {
		os.Exit(0) // the kernel kills all others of the namespace
	}
	h.ending.Do(func() { close(h.last) })
	select {}
}

func (h *inside) say(r reply, pass int) {
	h.sending.Lock()
	defer h.sending.Unlock()
	_ = send(helperSocket, r, pass) // to a parent that is gone: the next receive ends us
}

// failure makes an answer of an error.
func failure(err error) reply {
	if missing, ok := errors.AsType[*MissingError](err); ok {
		return reply{Missing: missing}
	}
	return reply{Error: err.Error()}
}
