//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const orConfined = ", or run with --box confined"

// missingNamespaces says why the kernel makes no namespaces for us.
func missingNamespaces(err error, userNS bool) error {
	e := &MissingError{Layer: "namespaces", Why: "clone: " + errnoOf(err).Error()}
	if userNS {
		e.Layer = "user namespaces"
	}
	switch {
	case errnoOf(err) == unix.ENOSPC || sysctl("user/max_user_namespaces") == "0":
		e.Fix = "set user.max_user_namespaces above 0 (sysctl -w user.max_user_namespaces=10000)" + orConfined
	case sysctl("kernel/unprivileged_userns_clone") == "0":
		e.Fix = "set kernel.unprivileged_userns_clone to 1 (sysctl -w kernel.unprivileged_userns_clone=1)" + orConfined
	case sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		e.Fix = appArmorFix
	default:
		e.Fix = "in a container, allow unshare and clone in its seccomp profile (docker run --security-opt seccomp=… or --privileged)" + orConfined
	}
	return e
}

const appArmorFix = "give fxrun an AppArmor profile with the permission userns, see docs/box.md, " +
	"or set kernel.apparmor_restrict_unprivileged_userns to 0" + orConfined

// mountError says that this host makes no private root, where that is the cause.
func mountError(s *spec, what string, err error) error {
	errno := errnoOf(err)
	if errno != unix.EPERM && errno != unix.EACCES && errno != unix.ENOSYS {
		return fmt.Errorf("%s: %v", what, err)
	}
	e := &MissingError{Layer: "a private root", Why: what + ": " + errno.Error()}
	switch {
	case errno == unix.ENOSYS:
		e.Fix = "use Linux 6.2 or later" + orConfined
	case s.UserNS && sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		e.Fix = appArmorFix
	default:
		e.Fix = "allow mounts: in a container, its AppArmor and seccomp profiles forbid them (docker run " +
			"--security-opt apparmor=unconfined --security-opt seccomp=unconfined, or --privileged)" + orConfined
	}
	return e
}

// procError says that there can be no /proc of the box's own.
func procError(err error) error {
	if errno := errnoOf(err); errno == unix.EPERM || errno == unix.EACCES {
		return &MissingError{
			Layer: "its own /proc", Why: "mount: " + errno.Error(),
			Fix: "in a container, leave /proc unmasked (docker run --security-opt systempaths=unconfined, " +
				"Kubernetes procMount: Unmasked)" + orConfined,
		}
	}
	return fmt.Errorf("cannot mount /proc of the box: %v", err)
}

// sysctl reads a kernel setting, "" if there is none.
func sysctl(name string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// unreadable says that the box's user may not read what the box is to show.
func unreadable(host string, uid int) error {
	return fmt.Errorf("user %d, as whom task code runs, may not read %q: give its owner with --box-user, or let this user alone read it: setfacl -R -m u:%d:rX",
		uid, host, uid)
}

// checkReadable tries what is shown, and the first entries of it, as the user
// of the box.
func (s *spec) checkReadable() error {
	for _, show := range s.Show {
		name := s.at(show.Box)
		err := readable(name)
		if errors.Is(err, unix.ENOENT) && show.Optional {
			continue
		}
		if err == nil {
			err = s.entriesReadable(show, name)
		} else {
			err = s.cannotShow(show, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entriesReadable looks at the first entries of a folder: of the data, where a
// mistake is likely, and not of thousands.
func (s *spec) entriesReadable(show Show, name string) error {
	if !within(show.Box, DataDir) && !within(show.Box, WorkspaceDir) {
		return nil
	}
	dir, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return nil // opening a pipe might take for ever
	}
	if err != nil {
		return s.cannotShow(show, err)
	}
	defer func() { _ = dir.Close() }() // read only
	entries, err := dir.ReadDir(256)
	if err != nil {
		return nil //nolint:nilerr // an empty folder
	}
	for _, e := range entries {
		if !e.IsDir() && !e.Type().IsRegular() {
			continue
		}
		if err := readable(name + "/" + e.Name()); errors.Is(err, unix.EACCES) {
			return unreadable(show.Host+"/"+e.Name(), os.Geteuid())
		}
	}
	return nil
}

// readable asks the kernel whether this process may read a file, or list and
// enter a folder.
func readable(name string) error {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return err
	}
	mode := uint32(unix.R_OK)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		mode |= unix.X_OK
	}
	return unix.Access(name, mode)
}
