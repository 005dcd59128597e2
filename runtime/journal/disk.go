package journal

import (
	"errors"
	"syscall"
)

// DiskTrouble says whether an error is that of a disk which does not take what is
// written to it: it is full, a quota is used up, it has become read-only, or it is
// broken. Nothing that was acknowledged is lost by that, and once there is room the
// same work goes on.
func DiskTrouble(err error) bool {
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
