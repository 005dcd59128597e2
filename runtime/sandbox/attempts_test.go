//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// attempts are what a program in the box tries, and the error that it gets: one
// or a few for each layer.
var attempts = map[string]struct {
	try            func() error
	full, confined string // confined is "" where it is the same
	signal         string // it ends the program instead
}{
	"socket inet":       {func() error { return socket(unix.AF_INET) }, "permission denied", "", ""},
	"socket unix":       {func() error { return socket(unix.AF_UNIX) }, "permission denied", "", ""},
	"socket vsock":      {func() error { return socket(unix.AF_VSOCK) }, "permission denied", "", ""},
	"socket netlink":    {func() error { return socket(unix.AF_NETLINK) }, "permission denied", "", ""},
	"datagram pair":     {func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0); return err }, "permission denied", "", ""},
	"io_uring":          {func() error { return call(unix.SYS_IO_URING_SETUP, 1, 0) }, "function not implemented", "", ""},
	"clone3":            {func() error { return call(unix.SYS_CLONE3, 0, 0) }, "function not implemented", "", ""},
	"user namespace":    {func() error { return call(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0) }, "operation not permitted", "", ""},
	"unshare":           {func() error { return unix.Unshare(unix.CLONE_NEWNET) }, "operation not permitted", "", ""},
	"ptrace":            {func() error { return unix.PtraceAttach(os.Getppid()) }, "operation not permitted", "", ""},
	"mount":             {func() error { return unix.Mount("x", "/tmp", "tmpfs", 0, "") }, "operation not permitted", "", ""},
	"bpf":               {func() error { return call(unix.SYS_BPF, 0, 0) }, "operation not permitted", "", ""},
	"keyring":           {func() error { return call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0) }, "operation not permitted", "", ""},
	"terminal input":    {func() error { return call(unix.SYS_IOCTL, 0, unix.TIOCSTI) }, "inappropriate ioctl for device", "", ""},
	"become root":       {becomeRoot, "refused", "", ""},
	"device node":       {func() error { return unix.Mknod(os.Getenv("HOME")+"/null", unix.S_IFCHR|0o600, 0x103) }, "permission denied", "", ""},
	"socket in scratch": {func() error { return unix.Mknod(os.Getenv("HOME")+"/s", unix.S_IFSOCK|0o600, 0) }, "permission denied", "", ""},
	"signal outside":    {func() error { return unix.Kill(os.Getppid(), unix.SIGTERM) }, "operation not permitted", "", ""},
	"x32 call":          {func() error { return call(unix.SYS_GETPID|0x40000000, 0, 0) }, "", "", "SIGSYS"},
	"host file":         {func() error { _, err := os.ReadFile("/etc/shadow"); return err }, "no such file or directory", "permission denied", ""},
	"parent's memory":   {func() error { _, err := os.ReadFile("/proc/1/environ"); return err }, "no such file or directory", "permission denied", ""},
	"raise a limit": {func() error {
		return unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}, nil)
	}, "operation not permitted", "", ""},
}

// bombs end in an error of their own.
var bombs = map[string]func() error{"fork bomb": forkBomb, "memory bomb": memoryBomb}

// attempt is what this test binary does in a box.
func attempt(name string) int {
	try := bombs[name]
	if try == nil {
		try = attempts[name].try
	}
	err := try()
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		err = errno
	}
	if err == nil {
		err = errors.New("done")
	}
	fmt.Print(err)
	return 0
}

// becomeRoot tries; there may be no user 0 in the box's namespace.
func becomeRoot() error {
	if err := unix.Setresuid(0, 0, 0); err != nil && unix.Geteuid() != 0 {
		return errors.New("refused")
	}
	return nil
}

func socket(family int) error {
	_, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	return err
}

func call(number, a, b uintptr) error {
	_, _, errno := unix.RawSyscall(number, a, b, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// forkBomb starts processes until it may not.
func forkBomb() error {
	for n := 0; ; n++ {
		if err := exec.Command("/usr/bin/sleep", "1000").Start(); err != nil {
			return fmt.Errorf("%d processes: %v", n, err)
		}
	}
}

// memoryBomb uses far more memory than its test allows.
func memoryBomb() error {
	const size = 256 << 20
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		os.Exit(12)
	}
	for i := 0; i < size; i += 4096 {
		m[i] = 1
	}
	return errors.New("survived")
}
