package transport

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deadPeer is how long sent bytes may stay unacknowledged. Without it a cable
// pulled during an upload is noticed after a quarter of an hour.
const deadPeer = time.Minute

// socketOptions sets TCP_USER_TIMEOUT on a new socket.
func socketOptions(_, _ string, raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return set
}
