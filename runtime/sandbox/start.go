//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// helperName is what the program is called when it is to be the inside of a box.
const helperName = "fxrun-box"

// helperSocket is the descriptor of the helper's end of the channel.
const helperSocket = 3

// Start makes the box and runs its program in it. It returns when the program
// runs; ctx bounds only the time until then. A layer that this host lacks is a
// [*MissingError]; any other error says what is wrong with b.
func Start(ctx context.Context, b Box) (*Process, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return start(ctx, b, false)
}

// start also serves Probe, which runs no program but looks around inside.
func start(ctx context.Context, b Box, inside bool) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.Limits = b.Limits.withDefaults()
	s := &spec{Box: b, Inside: inside, Rewritten: b.Argv, Parent: os.Getpid(), MaxABI: b.oldLandlock}
	s.Stdin, s.Stdout, s.Stderr = nil, nil, nil
	if b.Level == Confined {
		s.confine()
	}
	p := &Process{
		box: b, places: s.Places, socket: -1, started: time.Now(),
		replies: make(chan answer, 1), deaf: make(chan struct{}), done: make(chan struct{}),
	}
	theirs, err := p.connect()
	if err != nil {
		return nil, err
	}
	s.UserNS = b.Level == Full && !privileged()
	if p.cmd, err = launch(b, theirs, s.UserNS); err != nil {
		p.release()
		return nil, err
	}
	p.group = newGroup(b.Limits) // while the helper starts
	go p.reap()
	go p.listen()
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	if err := p.begin(s); err != nil {
		p.Kill()
		exit := p.Wait()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, io.EOF) && exit.OutOfMemory {
			return nil, fmt.Errorf("cannot start the box: %d bytes of memory are not enough", b.Limits.Memory)
		}
		return nil, err
	}
	if b.Level == Confined {
		go p.watch()
	}
	return p, nil
}

// begin puts the helper, which waits, into its cgroup, tells it what to build
// and waits until that is done.
func (p *Process) begin(s *spec) error {
	if err := p.group.require(s.Cgroup); err != nil {
		return err
	}
	if err := p.group.add(p.cmd.Process.Pid); err != nil {
		return err
	}
	var err error
	if s.Machine, err = p.group.rest(p.box); err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("cannot describe the box: %v", err)
	}
	f, err := memoryFile(data)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // the helper has its own descriptor
	a, err := p.ask(request{Op: opStart}, int(f.Fd()))
	if err != nil {
		return fmt.Errorf("cannot start the box: %w", err)
	}
	p.layers = slices.Concat(a.Layers, p.group.layers())
	p.inside = a.Inside
	return nil
}

// connect makes the channel and returns the helper's end.
func (p *Process) connect() (*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make a channel to the box: %v", err)
	}
	p.socket = fds[0]
	return os.NewFile(uintptr(fds[1]), "channel"), nil
}

// launch runs this program again as the helper, in new namespaces for a full
// box. It closes the helper's end of the channel.
func launch(b Box, theirs *os.File, userNS bool) (*exec.Cmd, error) {
	defer func() { _ = theirs.Close() }() // the helper has its own
	cmd := helper(theirs)
	if b.Stdin != nil {
		cmd.Stdin = b.Stdin
	}
	if b.Stdout != nil {
		cmd.Stdout = b.Stdout
	}
	if b.Stderr != nil {
		cmd.Stderr = b.Stderr
	}
	if b.Level == Full {
		addNamespaces(cmd.SysProcAttr, allNamespaces, userNS, b.User)
	}
	if err := cmd.Start(); err != nil {
		if b.Level == Full && errnoOf(err) != 0 {
			return nil, missingNamespaces(err, userNS)
		}
		return nil, fmt.Errorf("cannot start the box: %v", err)
	}
	return cmd, nil
}

// helper is a command that runs this program again, as the inside of a box. Two
// processors are enough for it, and its runtime is not to look for cgroups, whose
// files it would keep open.
func helper(files ...*os.File) *exec.Cmd {
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{helperName}, Dir: "/",
		Env:         []string{"GOMAXPROCS=2", "GODEBUG=containermaxprocs=0,updatemaxprocs=0", "GOGC=off", "GOTRACEBACK=none"},
		ExtraFiles:  files,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}, // away from the terminal, and from its ^C
	}
}

const allNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// addNamespaces asks for namespaces. In a user namespace of its own the helper
// has one user and one group, and the two capabilities that it needs there.
func addNamespaces(a *syscall.SysProcAttr, flags uintptr, userNS bool, u User) {
	a.Cloneflags = flags
	if !userNS {
		return
	}
	a.Cloneflags |= unix.CLONE_NEWUSER
	host := User{os.Geteuid(), os.Getegid()}
	if host.UID == 0 { // root without the right to make namespaces, as in a container
		host = u
		a.Credential = &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), NoSetGroups: true}
	}
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: u.UID, HostID: host.UID, Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: u.GID, HostID: host.GID, Size: 1}}
	a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}
}

// privileged reports whether this process is root with what it takes to make
// namespaces and to become somebody else.
func privileged() bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const needed = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_CHOWN
	effective, err := capabilities()
	return err == nil && os.Geteuid() == 0 && effective&needed == needed
}

// confine works out where the box's paths are on the host, and rewrites what
// names them.
func (s *spec) confine() {
	for _, show := range s.Show {
		s.Places = append(s.Places, place{show.Box, show.Host})
	}
	for _, own := range confinedDirs {
		s.Places = append(s.Places, place{own.box, s.HostDir + own.below})
	}
	for i := range s.Files {
		s.Places = append(s.Places, place{s.Files[i].Path, s.HostDir + "/files" + s.Files[i].Path})
	}
	s.Dir = translate(s.Places, s.Dir)
	s.Rewritten = translateLists(s.Places, s.Argv)
	s.Env = translateLists(s.Places, s.Env)
}

func errnoOf(err error) syscall.Errno {
	errno, _ := errors.AsType[syscall.Errno](err)
	return errno
}
