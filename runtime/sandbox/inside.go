//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// probeScratch is the size of the scratch that a probe fills, in bytes.
const probeScratch = 1 << 20

// lookAround tries from inside what a box is to prevent, one attempt for each
// layer, chosen so that no other layer would prevent it first.
func lookAround(s *spec) []Finding {
	attempts := []struct {
		layer string
		try   func(*spec) (detail string, err error)
	}{
		{"landlock", tryLandlock},
		{"seccomp", trySeccomp},
		{"user and capabilities", tryPrivileges},
		{"rlimits", tryLimits},
	}
	if s.Level == Full {
		attempts = append(attempts[:0:0], append([]struct {
			layer string
			try   func(*spec) (detail string, err error)
		}{
			{"private root", tryRoot},
			{"private /proc", tryProc},
			{"no network", tryNetwork},
			{"bounded scratch", tryScratch},
		}, attempts...)...)
	}
	var all []Finding
	for _, a := range attempts {
		detail, err := a.try(s)
		f := Finding{Layer: a.layer, OK: err == nil, Detail: detail}
		if err != nil {
			f.Detail = err.Error()
		}
		all = append(all, f)
	}
	return all
}

// want says that something did not fail as it should.
func want(what string, err error, expected unix.Errno) error {
	if errors.Is(err, expected) {
		return nil
	}
	return fmt.Errorf("%s: %v, not %v", what, err, error(expected))
}

func tryRoot(*spec) (string, error) {
	if err := want("making a folder in /", unix.Mkdir("/probe", 0o700), unix.EROFS); err != nil {
		return "", err
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if _, err := os.Lstat("/etc/shadow"); err == nil {
		return "", errors.New("the host's /etc can be seen")
	}
	return "read-only, holds " + strings.Join(names, " "), nil
}

func tryProc(*spec) (string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil && e.Name() != strconv.Itoa(os.Getpid()) {
			return "", fmt.Errorf("process %s can be seen", e.Name())
		}
	}
	return "read-only, own processes only", nil
}

func tryNetwork(*spec) (string, error) {
	table, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return "", err
	}
	for i, line := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if i >= 2 && name != "lo" && !tunnel(name) { // two lines of headings
			return "", fmt.Errorf("the interface %q can be seen", name)
		}
	}
	return "no interface but an idle loopback", nil
}

// tunnel reports whether an interface is one of those that some kernels put into
// every new network namespace. They are down and lead nowhere.
func tunnel(name string) bool {
	for _, prefix := range []string{"tunl", "gre", "gretap", "erspan", "ip_vti", "ip6_vti", "sit", "ip6tnl", "ip6gre"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest == "0" {
			return true
		}
	}
	return false
}

func tryScratch(s *spec) (string, error) {
	fd, err := unix.Open(s.at(ScratchDir)+"/probe", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }() // it goes with the box
	if err := unix.Fallocate(fd, 0, 0, probeScratch/2); err != nil {
		return "", err
	}
	other, err := unix.Open(s.at(ScratchDir)+"/probe2", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(other) }() // it goes with the box
	return "memory of its own, full when it is full", want("filling it twice over", unix.Fallocate(other, 0, 0, probeScratch), unix.ENOSPC)
}

// tryLandlock makes a socket in scratch, which the box's user could without
// Landlock.
func tryLandlock(s *spec) (string, error) {
	err := unix.Mknod(s.at(ScratchDir)+"/socket", unix.S_IFSOCK|0o600, 0)
	if err := want("making a socket in scratch", err, unix.EACCES); err != nil {
		return "", err
	}
	if s.Level == Confined {
		if _, err := os.ReadDir("/"); !errors.Is(err, unix.EACCES) {
			return "", fmt.Errorf("the host's / can be read: %v", err)
		}
	}
	abi := landlockABI()
	if abi < scopeABI {
		return fmt.Sprintf("version %d, which cannot keep signals in: Linux 6.12 can", abi), nil
	}
	return fmt.Sprintf("version %d", abi), nil
}

func trySeccomp(*spec) (string, error) {
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err != nil || mode != 2 {
		return "", fmt.Errorf("its mode is %d, not 2 (%v)", mode, err)
	}
	_, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err := want("making a socket", err, unix.EACCES); err != nil {
		return "", err
	}
	_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
	if err := want("io_uring_setup", errno, unix.ENOSYS); err != nil {
		return "", err
	}
	return "no sockets, no io_uring, no namespaces, no tracing",
		want("making a user namespace", unix.Unshare(unix.CLONE_NEWUSER), unix.EPERM)
}

func tryPrivileges(*spec) (string, error) {
	status, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || status != 1 {
		return "", fmt.Errorf("new privileges are possible (%d, %v)", status, err)
	}
	held, err := capabilities()
	if err != nil || held != 0 {
		return "", fmt.Errorf("capabilities are left: %x, %v", held, err)
	}
	if err := unix.Setresuid(0, 0, 0); err == nil || os.Geteuid() == 0 {
		return "", errors.New("it can become root")
	}
	return fmt.Sprintf("user %d, no capabilities, no way to get any", os.Geteuid()), nil
}

func tryLimits(s *spec) (string, error) {
	var files unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &files); err != nil {
		return "", err
	}
	if files.Max > uint64(s.Limits.OpenFiles) {
		return "", fmt.Errorf("%d open files are possible", files.Max)
	}
	return s.limitsLayer(), nil
}
