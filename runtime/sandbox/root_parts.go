//go:build linux && (amd64 || arm64)

package sandbox

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// scratchDirs are the folders of the one file system that the program can write
// to, and where they are seen.
var scratchDirs = []struct{ name, box string }{
	{"io", IODir}, {"scratch", ScratchDir}, {"tmp", "/tmp"}, {"shm", "/dev/shm"},
}

// maskedProc are the files and folders of /proc that tell about the host and
// that no program needs. Most are absent or for root only; each costs little.
var maskedProc = []string{
	"acpi", "asound", "bus", "cmdline", "config.gz", "consoles", "crypto", "devices", "diskstats", "driver", "dma",
	"interrupts", "iomem", "ioports", "irq", "kallsyms", "kcore", "key-users", "keys", "kmsg", "latency_stats", "locks",
	"misc", "modules", "partitions", "pressure", "sched_debug", "scsi", "slabinfo", "softirqs", "swaps",
	"sysrq-trigger", "sysvipc", "timer_list", "tty", "vmallocinfo", "zoneinfo",
}

// proc mounts the processes of the box, and nothing of the host's.
func (r *root) proc() error {
	if err := r.mkdirAll("proc"); err != nil {
		return err
	}
	at, err := r.open("proc", unix.O_PATH)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(at) }() // only a path
	fs, err := newFS("proc", "hidepid", "2")
	if err != nil {
		return procError(err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, inert|unix.MOUNT_ATTR_RDONLY)
	_ = unix.Close(fs)
	if err != nil {
		return procError(err)
	}
	defer func() { _ = unix.Close(fd) }() // it stays mounted
	if err := unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return procError(err)
	}
	return r.maskProc(fd)
}

// maskProc covers what /proc tells about the host.
func (r *root) maskProc(proc int) error {
	if err := r.mkdirAll(".none"); err != nil {
		return err
	}
	for _, name := range maskedProc {
		if name == "driver" && len(r.spec.Devices) > 0 {
			continue // NVIDIA's libraries look there
		}
		var st unix.Stat_t
		if err := unix.Fstatat(proc, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			continue // this kernel has none
		}
		cover := tree{box: "/proc/" + name, attr: readOnly | unix.MOUNT_ATTR_NOEXEC}
		var err error
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			cover.fd, err = unix.OpenTree(r.fd, ".none", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		} else {
			cover.attr &^= unix.MOUNT_ATTR_NODEV
			cover.fd, err = unix.OpenTree(unix.AT_FDCWD, "/dev/null", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		}
		if err == nil {
			err = r.attach(cover)
		}
		if err != nil {
			return fmt.Errorf("cannot cover %q in the box: %w", cover.box, err)
		}
	}
	return unix.Unlinkat(r.fd, ".none", unix.AT_REMOVEDIR) // the covers keep it
}

// etc writes the few files that programs look for.
func (r *root) etc() error {
	uid, gid := strconv.Itoa(r.spec.User.UID), strconv.Itoa(r.spec.User.GID)
	for _, f := range []File{
		{Path: "/etc/passwd", Data: []byte("box:x:" + uid + ":" + gid + "::" + ScratchDir + ":/bin/sh\n")},
		{Path: "/etc/group", Data: []byte("box:x:" + gid + ":\n")},
		{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost box\n")},
		{Path: "/etc/nsswitch.conf", Data: []byte("passwd: files\ngroup: files\nhosts: files\n")},
	} {
		if slices.ContainsFunc(r.spec.Files, func(own File) bool { return own.Path == f.Path }) || r.spec.shown(f.Path) != nil {
			continue // the caller has another
		}
		if err := r.write(f); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) files() error {
	for _, f := range r.spec.Files {
		if err := r.write(f); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) write(f File) error {
	name := strings.TrimPrefix(f.Path, "/")
	if parent := path.Dir(name); parent != "." {
		if err := r.mkdirAll(parent); err != nil {
			return fmt.Errorf("cannot write %q into the box: %v", f.Path, err)
		}
	}
	fd, err := r.open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("cannot write %q into the box: %v", f.Path, err)
	}
	return writeFile(fd, f)
}

// writeFile fills a new file and closes it.
func writeFile(fd int, f File) error {
	defer func() { _ = unix.Close(fd) }() // what was written is checked
	for rest := f.Data; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			return fmt.Errorf("cannot write %q into the box: %v", f.Path, err)
		}
		rest = rest[n:]
	}
	if err := unix.Fchmod(fd, uint32(cmp.Or(f.Mode.Perm()&0o555, 0o444))); err != nil {
		return fmt.Errorf("cannot write %q into the box: %v", f.Path, err)
	}
	return nil
}

func (r *root) deviceLinks() error {
	for _, l := range []struct{ name, to string }{
		{"dev/fd", "/proc/self/fd"}, {"dev/stdin", "/proc/self/fd/0"}, {"dev/stdout", "/proc/self/fd/1"}, {"dev/stderr", "/proc/self/fd/2"},
	} {
		if err := unix.Symlinkat(l.to, r.fd, l.name); err != nil {
			return fmt.Errorf("cannot make the link %q of the box: %v", l.name, err)
		}
	}
	return nil
}

// scratch mounts the one file system that can be written to, whose size is
// bounded, at all its places.
func (r *root) scratch() error {
	s := r.spec
	size := s.Limits.Scratch
	fd, err := tmpfs(size, nodes(size), "0700")
	if err != nil {
		return mountError(s, "cannot mount scratch", err)
	}
	if err := r.mkdirAll(".scratch"); err != nil {
		return err
	}
	if err := unix.MoveMount(fd, "", r.fd, ".scratch", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return mountError(s, "cannot mount scratch", err)
	}
	all := slices.Clone(scratchDirs)
	for i, w := range s.Writable {
		all = append(all, struct{ name, box string }{"w" + strconv.Itoa(i), w})
	}
	for _, d := range all {
		if err := unix.Mkdirat(fd, d.name, 0o700); err != nil {
			return fmt.Errorf("cannot make %q of the box: %v", d.box, err)
		}
		if !s.UserNS {
			if err := unix.Fchownat(fd, d.name, s.User.UID, s.User.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return fmt.Errorf("cannot give %q of the box to its user: %v", d.box, err)
			}
		}
		t := tree{box: d.box, isDir: true, attr: inert}
		if t.fd, err = unix.OpenTree(fd, d.name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
			return mountError(s, "cannot mount scratch", err)
		}
		if err := r.attach(t); err != nil {
			return err
		}
	}
	_ = unix.Close(fd) // the folders hold it
	if err := r.unmount(".scratch"); err != nil {
		return err
	}
	return nil
}

// nodes is how many files and folders scratch may hold.
func nodes(size int64) int64 { return max(1024, size/bytesPerNode) }
