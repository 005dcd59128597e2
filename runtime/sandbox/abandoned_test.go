//go:build linux && (amd64 || arm64)

package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A helper whose parent was killed while it builds, perhaps on a file system
// that does not answer, is to end all the same.
func TestAbandonedWhileBuilding(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fds[0]) }()
	built := make(chan struct{})
	close(built)
	if abandoned(fds[0], built) {
		t.Error("abandoned although the other end is there and the box is built")
	}
	if err := unix.Close(fds[1]); err != nil {
		t.Fatal(err)
	}
	if !abandoned(fds[0], make(chan struct{})) {
		t.Error("not abandoned although the other end is closed")
	}
}
