//go:build linux && (amd64 || arm64)

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Attributes of mounts. Nothing in the box gains rights by being executed, and
// nothing but what is named as a device is one.
const (
	readOnly  = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	inert     = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	rootSize  = 2 * maxFileBytes // bytes; it holds Files and mount points
	rootNodes = 4096
	// One file or folder of scratch for so many bytes, so that empty ones are
	// bounded, too.
	bytesPerNode = 16 << 10
)

// deviceFiles are all devices that a box has unless more are named.
var deviceFiles = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// root is a private root under construction.
type root struct {
	fd   int // its folder
	spec *spec
}

// buildRoot makes the root folder that the box sees, and leaves the host's.
func buildRoot(s *spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return mountError(s, "cannot part from the host's mounts", err)
	}
	trees, err := hostTrees(s)
	if err != nil {
		return err
	}
	fd, err := tmpfs(rootSize, rootNodes, "0755")
	if err != nil {
		return mountError(s, "cannot mount a root folder", err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return mountError(s, "cannot mount a root folder", err)
	}
	r := &root{fd, s}
	for _, step := range []func() error{
		r.proc,
		func() error { return r.attachAll(trees) },
		r.etc, r.deviceLinks, r.files, r.scratch, r.enter,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte("box")); err != nil {
		return fmt.Errorf("cannot name the box: %v", err)
	}
	return nil
}

// hostTrees copies the mounts of everything that is shown, while the host's
// paths can still be seen.
func hostTrees(s *spec) ([]tree, error) {
	shows := slices.Clone(s.Show)
	if s.shown("/usr/lib") != nil { // what the dynamic loader and links into /etc/alternatives need
		for _, name := range []string{"/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"} {
			if !slices.ContainsFunc(shows, func(have Show) bool { return have.Box == name }) {
				shows = append(shows, Show{Host: name, Box: name, Optional: true})
			}
		}
	}
	var trees []tree
	for _, show := range shows {
		t, err := hostTree(show.Host)
		if errors.Is(err, unix.ENOENT) && show.Optional {
			continue
		}
		if err != nil {
			return nil, s.cannotShow(show, err)
		}
		t.box, t.attr = show.Box, readOnly
		if within(show.Box, DataDir) || within(show.Box, InputsDir) {
			t.attr |= unix.MOUNT_ATTR_NOEXEC
		}
		trees = append(trees, t)
	}
	for _, name := range slices.Concat(deviceFiles, s.Devices) {
		t, err := hostTree(name)
		if err != nil {
			return nil, fmt.Errorf("cannot give the device %q to the box: %v", name, err)
		}
		t.box, t.attr = name, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC
		trees = append(trees, t)
	}
	slices.SortStableFunc(trees, func(a, b tree) int { return cmp.Compare(a.box, b.box) }) // what holds others first
	return trees, nil
}

func (s *spec) cannotShow(show Show, err error) error {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return unreadable(show.Host, os.Geteuid())
	}
	return fmt.Errorf("cannot show %q in the box as %q: %v", show.Host, show.Box, err)
}

// enter makes it the root of this process, makes it read-only and drops the
// host's.
func (r *root) enter() error {
	if err := unix.Fchdir(r.fd); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil { // the old root is then stacked on the new one
		return mountError(r.spec, "cannot enter the root folder", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return mountError(r.spec, "cannot leave the host's root folder", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: readOnly}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return mountError(r.spec, "cannot make the root folder read-only", err)
	}
	return unix.Close(r.fd)
}
