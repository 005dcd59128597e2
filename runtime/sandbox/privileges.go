//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capabilities returns the effective set of this thread.
func capabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, err
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

// dropUser makes root the user of the box, without groups and with no way back,
// and takes from this thread, and what it will start, the session's keys and the
// capabilities that a program could get by being executed.
func dropUser(s *spec) error {
	_, _ = unix.KeyctlJoinSessionKeyring("") // not every kernel has keys
	if err := dropBounding(); err != nil {
		return err
	}
	if os.Geteuid() == 0 { // in a user namespace of its own it never is
		s.switched = true
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("cannot drop the groups of root: %v", err)
		}
		if err := syscall.Setresgid(s.User.GID, s.User.GID, s.User.GID); err != nil {
			return fmt.Errorf("cannot become group %d in the box: %v", s.User.GID, err)
		}
		if err := syscall.Setresuid(s.User.UID, s.User.UID, s.User.UID); err != nil {
			return fmt.Errorf("cannot become user %d in the box: %v", s.User.UID, err)
		}
		// The change of user made the process readable to its new one.
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return err
		}
	}
	unix.Umask(0o077)
	return nil
}

// dropBounding empties the bounding set, where this thread may.
func dropBounding() error {
	effective, err := capabilities()
	if err != nil {
		return fmt.Errorf("cannot read the capabilities: %v", err)
	}
	if effective&(1<<unix.CAP_SETPCAP) == 0 {
		return nil // no_new_privs, which comes later, makes it void
	}
	for c := uintptr(0); c <= 63; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err == unix.EINVAL {
			break // this kernel has no more
		} else if err != nil {
			return fmt.Errorf("cannot drop the capability %d for good: %v", c, err)
		}
	}
	return nil
}

// dropCapabilities empties all other sets, on every thread.
func dropCapabilities() error {
	if err := onAllThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil {
		return fmt.Errorf("cannot drop the ambient capabilities: %v", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	err := onAllThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])))
	if err != nil {
		return fmt.Errorf("cannot drop the capabilities: %v", err)
	}
	return nil
}
