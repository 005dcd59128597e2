//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights that Landlock knows, by the ABI that brought them (linux/landlock.h).
const (
	minABI   = 3 // truncation, Linux 6.2
	scopeABI = 6 // signals and abstract sockets, Linux 6.12

	landRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	landExec  = unix.LANDLOCK_ACCESS_FS_EXECUTE
	landWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	landMake  = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_REFER
	// What nobody has: device nodes and sockets.
	landNever = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK

	landScratch = landRead | landWrite | landMake
	landIoctl   = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV    // ABI 5
	landUnix    = unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX // ABI 9
	landTCP     = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	landScopes  = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
)

// landRule gives rights below a path, as this process sees it.
type landRule struct {
	path     string
	rights   uint64
	optional bool
}

// landlockABI asks the kernel; 0 means that it has no Landlock.
func landlockABI() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

// abi is the version of Landlock to make use of.
func (s *spec) abi() int {
	abi := landlockABI()
	if s.MaxABI > 0 {
		abi = min(abi, s.MaxABI)
	}
	return abi
}

func landlockLayer(abi int) string {
	if abi < scopeABI {
		return fmt.Sprintf("landlock %d (no signal scope)", abi)
	}
	return fmt.Sprintf("landlock %d", abi)
}

func missingLandlock(abi int) error {
	e := &MissingError{Layer: "Landlock", Why: fmt.Sprintf("its version here is %d, and %d is needed", abi, minABI),
		Fix: "use Linux 6.2 or later"}
	if abi == 0 {
		e.Why = "the kernel has none, or it is off"
		e.Fix = "use Linux 6.2 or later with CONFIG_SECURITY_LANDLOCK, and landlock in the boot parameter lsm=; " +
			"in a container, allow landlock_* in its seccomp profile"
	}
	return e
}

// landlock restricts every thread of this process. Each gets a domain of its own,
// so that what this thread starts can send no signals to the others.
func (s *spec) landlock() (int, error) {
	abi := s.abi()
	if abi < minABI {
		return 0, missingLandlock(abi)
	}
	s.scoped = abi >= scopeABI
	ruleset, err := newRuleset(abi)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(ruleset) }() // it is in force
	for _, rule := range s.landRules() {
		if err := addRule(ruleset, abi, rule); err != nil {
			return 0, err
		}
	}
	if err := onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return 0, fmt.Errorf("cannot give up new privileges: %v", err)
	}
	if err := onAllThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0); err != nil {
		return 0, fmt.Errorf("cannot restrict the box with Landlock: %v", err)
	}
	return abi, nil
}

func newRuleset(abi int) (int, error) {
	attr := unix.LandlockRulesetAttr{
		Handled_access_fs: landScratch | landExec | landNever, Handled_access_net: landTCP, Scoped: landScopes,
	}
	size := unsafe.Offsetof(attr.Quiet_access_fs)
	if abi >= 5 {
		attr.Handled_access_fs |= landIoctl
	}
	if abi >= 9 {
		attr.Handled_access_fs |= landUnix
	}
	if abi < scopeABI {
		attr.Scoped, size = 0, unsafe.Offsetof(attr.Scoped)
	}
	if abi < 4 {
		attr.Handled_access_net, size = 0, unsafe.Offsetof(attr.Handled_access_net)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return -1, fmt.Errorf("cannot make a Landlock ruleset: %v", errno)
	}
	return int(fd), nil
}

func addRule(ruleset, abi int, rule landRule) error {
	fd, err := unix.Open(rule.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) && rule.optional {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot allow %q in the box: %v", rule.path, err)
	}
	defer func() { _ = unix.Close(fd) }() // only a path
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rule.rights, Parent_fd: int32(fd)}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR { // a file takes the rights of files only
		attr.Allowed_access &= unix.LANDLOCK_ACCESS_FS_READ_FILE | landWrite | landExec | landIoctl
	}
	if abi < 5 {
		attr.Allowed_access &^= landIoctl
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("cannot allow %q in the box: %v", rule.path, errno)
	}
	return nil
}

// landRules says what the box may do where. A full box may read all that it
// sees; a confined one sees all of the host and may read what it is shown.
func (s *spec) landRules() []landRule {
	var rules []landRule
	if s.Level == Full {
		rules = append(rules, landRule{path: "/", rights: landRead})
		rules = append(rules, landRule{path: "/tmp", rights: landScratch}, landRule{path: "/dev/shm", rights: landScratch})
	} else {
		for _, name := range confinedReads {
			rules = append(rules, landRule{name, landRead, true})
		}
	}
	for _, show := range s.Show {
		rule := landRule{s.at(show.Box), landRead | landExec, show.Optional}
		if within(show.Box, DataDir) || within(show.Box, InputsDir) {
			rule.rights = landRead
		}
		rules = append(rules, rule)
	}
	for _, f := range s.Files {
		rule := landRule{path: s.at(f.Path), rights: unix.LANDLOCK_ACCESS_FS_READ_FILE}
		if f.Mode&0o111 != 0 {
			rule.rights |= landExec
		}
		rules = append(rules, rule)
	}
	for _, name := range append(slices.Clone(s.Writable), IODir, ScratchDir) {
		rules = append(rules, landRule{path: s.at(name), rights: landScratch})
	}
	for _, name := range deviceFiles {
		rules = append(rules, landRule{path: name, rights: landRead | landWrite})
	}
	for _, name := range s.Devices {
		rules = append(rules, landRule{path: name, rights: landRead | landWrite | landIoctl})
	}
	return rules
}

// confinedReads are the files of the host that a confined box may read beside
// what it is shown: what the dynamic loader needs, and how large the machine is.
var confinedReads = []string{
	"/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
	"/proc/sys/vm/overcommit_memory",
}

// onAllThreads makes a system call on every thread of this process. A program
// that is linked with C cannot; ours are not, and in a test that is, the threads
// that only serve Go's runtime stay as they are.
func onAllThreads(trap, a1, a2 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, 0)
	if errno == syscall.ENOTSUP {
		_, _, errno = syscall.Syscall(trap, a1, a2, 0)
	}
	if errno != 0 {
		return errno
	}
	return nil
}
