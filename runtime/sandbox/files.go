//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"

	"golang.org/x/sys/unix"
)

// serve answers a request for a file of IODir. It runs under the same
// restrictions as the program.
func (h *inside) serve(r request) {
	fd := -1
	var err error
	if h.spec == nil || h.io < 0 {
		err = errors.New("there is no box yet")
	} else if err = checkName(r.Name); err == nil {
		switch r.Op {
		case opCreate:
			fd, err = createFile(h.io, r.Name, r.Size)
		case opOpen:
			fd, err = openFile(h.io, r.Name)
		case opRemove:
			err = unix.Unlinkat(h.io, r.Name, 0)
		default:
			err = errors.New("there is no such request")
		}
	}
	answer := reply{}
	if errno := errnoOf(err); errno != 0 {
		answer = reply{Error: r.Op, Errno: int(errno)}
	} else if err != nil {
		answer = reply{Error: err.Error()}
	}
	h.say(answer, fd)
	if fd >= 0 {
		_ = unix.Close(fd) // the parent has its own now
	}
}

// createFile makes a file and allocates it: a full disk is an error here and
// not a SIGBUS in whoever maps the file.
func createFile(dir int, name string, size int64) (int, error) {
	if size < 0 {
		return -1, errors.New("the size is negative")
	}
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags: unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC, Mode: 0o600,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil || size == 0 {
		return fd, err
	}
	err = unix.Fallocate(fd, 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) { // a confined box, on a file system without
		err = unix.Ftruncate(fd, size)
	}
	if err != nil {
		_ = unix.Close(fd) // the error that matters is the first
		_ = unix.Unlinkat(dir, name, 0)
		return -1, err
	}
	return fd, nil
}

// openFile opens a regular file that has one name.
func openFile(dir int, name string) (int, error) {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC, // a pipe must not hold us up
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = errors.New("it is not a regular file")
	case st.Nlink != 1:
		err = errors.New("it has more than one name")
	default:
		return fd, nil
	}
	_ = unix.Close(fd) // read only
	return -1, err
}
