package wasm

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	wasifs "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
)

// tree is a folder of the host as a module sees it. Every name is looked up by
// os.Root, so that neither ".." nor a symbolic link leads out of the folder: the
// engine's own folders follow links wherever they point. A module makes no
// links, reads none (a target is a name of the host), and opens nothing but
// regular files and folders: no device, pipe or socket.
type tree struct {
	wasifs.UnimplementedFS
	root  *os.Root
	write bool
}

// local makes the engine's name one for os.Root: the engine joins the names of
// folders with slashes and leaves one in front.
func local(name string) string {
	if name = strings.TrimLeft(name, "/"); name == "" {
		return "."
	}
	return name
}

// OpenFile opens a regular file or a folder.
func (t *tree) OpenFile(name string, flag wasifs.Oflag, perm fs.FileMode) (wasifs.File, wasifs.Errno) {
	name = local(name)
	const changes = wasifs.O_WRONLY | wasifs.O_RDWR | wasifs.O_CREAT | wasifs.O_TRUNC | wasifs.O_APPEND
	switch {
	case flag&changes == 0:
	case flag&wasifs.O_DIRECTORY != 0:
		return nil, wasifs.EISDIR
	case !t.write:
		return nil, wasifs.EROFS
	}
	if flag&wasifs.O_NOFOLLOW != 0 {
		if info, err := t.root.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, wasifs.ELOOP
		}
	}
	// O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
	f, err := t.root.OpenFile(name, hostFlags(flag)|syscall.O_NONBLOCK, perm)
	if err != nil {
		return nil, lookupErrno(err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		_ = f.Close() // nothing was done with it
		return nil, wasifs.EPERM
	}
	return newFile(t, name, f, flag&wasifs.O_APPEND != 0)
}

// hostFlags translates the flags of an open.
func hostFlags(flag wasifs.Oflag) int {
	host := os.O_RDONLY
	switch {
	case flag&wasifs.O_RDWR != 0:
		host = os.O_RDWR
	case flag&wasifs.O_WRONLY != 0:
		host = os.O_WRONLY
	}
	for _, f := range []struct {
		guest wasifs.Oflag
		host  int
	}{
		{wasifs.O_APPEND, os.O_APPEND},
		{wasifs.O_CREAT, os.O_CREATE},
		{wasifs.O_EXCL, os.O_EXCL},
		{wasifs.O_TRUNC, os.O_TRUNC},
		{wasifs.O_SYNC | wasifs.O_DSYNC, os.O_SYNC},
	} {
		if flag&f.guest != 0 {
			host |= f.host
		}
	}
	return host
}

// Stat describes what a name leads to.
func (t *tree) Stat(name string) (sys.Stat_t, wasifs.Errno) {
	return stat(t.root.Stat(local(name)))
}

// Lstat describes what a name is, a link included.
func (t *tree) Lstat(name string) (sys.Stat_t, wasifs.Errno) {
	return stat(t.root.Lstat(local(name)))
}

func stat(info fs.FileInfo, err error) (sys.Stat_t, wasifs.Errno) {
	if err != nil {
		return sys.Stat_t{}, lookupErrno(err)
	}
	return sys.NewStat_t(info), 0
}

// Mkdir makes a folder.
func (t *tree) Mkdir(name string, perm fs.FileMode) wasifs.Errno {
	if !t.write {
		return wasifs.EROFS
	}
	return lookupErrno(t.root.Mkdir(local(name), perm))
}

// Rename moves within the tree; the engine refuses to move between trees.
func (t *tree) Rename(from, to string) wasifs.Errno {
	if !t.write {
		return wasifs.EROFS
	}
	return lookupErrno(t.root.Rename(local(from), local(to)))
}

// Rmdir removes an empty folder.
func (t *tree) Rmdir(name string) wasifs.Errno {
	return t.remove(name, true, wasifs.ENOTDIR)
}

// Unlink removes anything but a folder.
func (t *tree) Unlink(name string) wasifs.Errno {
	return t.remove(name, false, wasifs.EISDIR)
}

// remove removes one thing, or answers otherwise if it is not of the right kind.
func (t *tree) remove(name string, dir bool, otherwise wasifs.Errno) wasifs.Errno {
	if !t.write {
		return wasifs.EROFS
	}
	info, err := t.root.Lstat(local(name))
	if err != nil {
		return lookupErrno(err)
	}
	if info.IsDir() != dir {
		return otherwise
	}
	return lookupErrno(t.root.Remove(local(name)))
}

// Link is refused: a second name for one file has no use here.
func (t *tree) Link(string, string) wasifs.Errno { return wasifs.EPERM }

// Symlink is refused: a link would be looked up by whoever reads the folder next.
func (t *tree) Symlink(string, string) wasifs.Errno { return wasifs.EPERM }

// Utimens sets times in nanoseconds since 1970.
func (t *tree) Utimens(name string, access, modified int64) wasifs.Errno {
	if !t.write {
		return wasifs.EROFS
	}
	return lookupErrno(t.root.Chtimes(local(name), hostTime(access), hostTime(modified)))
}

// hostTime is the zero time, which changes nothing, where the module leaves a
// time as it is.
func hostTime(nanos int64) time.Time {
	if nanos == wasifs.UTIME_OMIT {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

// lookupErrno is the error of an operation on a name. What is no error of the
// operating system is os.Root's refusal of a way out.
func lookupErrno(err error) wasifs.Errno {
	var known syscall.Errno
	if err == nil || errors.As(err, &known) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrInvalid) {
		return wasifs.UnwrapOSError(err)
	}
	return wasifs.EPERM
}
