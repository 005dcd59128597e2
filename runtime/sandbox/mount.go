//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is a detached copy of a part of the host, to be attached at a path of the
// box.
type tree struct {
	fd    int
	box   string
	isDir bool
	attr  uint64
	clear uint64
}

func hostTree(name string) (tree, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return tree{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return tree{}, err
	}
	return tree{fd: fd, isDir: st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
}

func (r *root) attachAll(trees []tree) error {
	for _, t := range trees {
		if err := r.attach(t); err != nil {
			return err
		}
	}
	return nil
}

// attach puts a tree at its path.
func (r *root) attach(t tree) error {
	attr := unix.MountAttr{Attr_set: t.attr, Attr_clr: t.clear, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(t.fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return mountError(r.spec, fmt.Sprintf("cannot make %q of the box read-only", t.box), err)
	}
	at, err := r.point(t.box, t.isDir)
	if err != nil {
		return fmt.Errorf("cannot show %q in the box: %v", t.box, err)
	}
	err = unix.MoveMount(t.fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	_ = unix.Close(at) // only a path
	_ = unix.Close(t.fd)
	if err != nil {
		return mountError(r.spec, fmt.Sprintf("cannot show %q in the box", t.box), err)
	}
	return nil
}

// point opens a mount point, and makes it and the folders above it where that is
// possible: not in what is already shown. Links are not followed: what is shown
// may hold any.
func (r *root) point(box string, isDir bool) (int, error) {
	parent, name := path.Split(strings.TrimPrefix(box, "/"))
	if parent != "" {
		if err := r.mkdirAll(path.Clean(parent)); err != nil {
			return -1, err
		}
	}
	full := path.Join(parent, name)
	fd, err := r.open(full, unix.O_PATH)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if isDir {
		err = r.mkdirAll(full)
	} else {
		fd, err = r.open(full, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY)
		if err == nil {
			_ = unix.Close(fd) // it stays empty
		}
	}
	if err != nil {
		if errors.Is(err, unix.EROFS) {
			err = errors.New("what is shown there has no such entry: create an empty one")
		}
		return -1, err
	}
	return r.open(full, unix.O_PATH)
}

// open opens a path of the root, relative, without following links.
func (r *root) open(name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	if flags&unix.O_CREAT != 0 {
		how.Mode = 0o444
	}
	return unix.Openat2(r.fd, name, &how)
}

func (r *root) mkdirAll(name string) error {
	at, err := r.open(".", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(at) }() // only a path
	done := ""
	for part := range strings.SplitSeq(name, "/") {
		done = path.Join(done, part)
		next, err := r.open(done, unix.O_PATH|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) {
			if err = unix.Mkdirat(at, part, 0o755); err == nil {
				next, err = r.open(done, unix.O_PATH|unix.O_DIRECTORY)
			}
		}
		if err != nil {
			return err
		}
		_ = unix.Close(at) // only a path
		at = next
	}
	return nil
}

// unmount takes a mount of the root away, whose places elsewhere remain.
func (r *root) unmount(name string) error {
	if err := unix.Fchdir(r.fd); err != nil {
		return err
	}
	if err := unix.Unmount(name, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot unmount %q of the box: %v", name, err)
	}
	return unix.Unlinkat(r.fd, name, unix.AT_REMOVEDIR)
}

// tmpfs makes a file system in memory, not yet mounted anywhere.
func tmpfs(size, nodes int64, mode string) (int, error) {
	fs, err := newFS("tmpfs", "size", strconv.FormatInt(size, 10), "nr_inodes", strconv.FormatInt(nodes, 10), "mode", mode)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(fs) }() // a description, not the file system
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
}

func newFS(kind string, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for i := 0; i < len(options) && err == nil; i += 2 {
		err = unix.FsconfigSetString(fs, options[i], options[i+1])
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		_ = unix.Close(fs) // of no use
		return -1, err
	}
	return fs, nil
}
