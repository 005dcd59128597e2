//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// What the parent and the helper say to each other: one JSON object per packet
// of a SOCK_SEQPACKET pair, with at most one descriptor. The specification is
// larger than a packet and travels as a descriptor of a memory file.

const (
	maxPacket = 64 << 10
	maxSpec   = 64 << 20
)

// Requests to the helper.
const (
	opStart  = "start"  // with the specification
	opCreate = "create" // answered with a descriptor
	opOpen   = "open"   // likewise
	opRemove = "remove"
)

type request struct {
	Op   string
	Name string `json:",omitempty"`
	Size int64  `json:",omitempty"`
}

// reply is an answer of the helper's, or the news that the program has ended.
type reply struct {
	Error   string        `json:",omitempty"`
	Errno   int           `json:",omitempty"` // of Error, where there is one
	Missing *MissingError `json:",omitempty"`
	Layers  []string      `json:",omitempty"`
	Inside  []Finding     `json:",omitempty"` // of a probe
	Ended   *ended        `json:",omitempty"`
}

// ended is a wait status.
type ended struct {
	Code   int
	Signal int
}

// spec is what the helper is to build and run.
type spec struct {
	Box
	UserNS    bool     // it is root in a user namespace of its own only
	Machine   machine  // limits that rlimits and the processor mask must hold, as no cgroup does
	Rewritten []string // Argv as the program is to see it
	Parent    int      // the parent's process id, in a confined box
	Inside    bool     // run no program, look around and report
	MaxABI    int      // of Landlock, if not 0
	Places    []place  // confined: where the box's paths are on the host
	scoped    bool     // Landlock lets signals reach the box only
	switched  bool     // root has become the box's user
}

// machine says which limits are left for the helper to set on itself.
type machine struct {
	Data  int64 // RLIMIT_DATA, 0 for none
	NProc int64 // RLIMIT_NPROC, 0 for none
	CPUs  int   // processors of the mask, 0 for all
}

// place is a path of a confined box and where it is.
type place struct{ Box, Host string }

// send writes one packet to a socket that blocks.
func send(fd int, message any, pass int) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(data) > maxPacket {
		return fmt.Errorf("a message of %d bytes is too long", len(data))
	}
	var rights []byte
	if pass >= 0 {
		rights = unix.UnixRights(pass)
	}
	for {
		err = unix.Sendmsg(fd, data, rights, nil, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive reads one packet and the descriptor that came with it, or -1.
func receive(fd int, message any) (int, error) {
	buf, control := make([]byte, maxPacket), make([]byte, unix.CmsgSpace(4*4))
	n, cn, flags, _, err := unix.Recvmsg(fd, buf, control, unix.MSG_CMSG_CLOEXEC)
	for errors.Is(err, unix.EINTR) {
		n, cn, flags, _, err = unix.Recvmsg(fd, buf, control, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return -1, err
	}
	passed := descriptors(control[:cn])
	fail := func(err error) (int, error) {
		for _, fd := range passed {
			_ = unix.Close(fd)
		}
		return -1, err
	}
	switch {
	case n == 0:
		return fail(io.EOF)
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		return fail(errors.New("a message is too long"))
	case len(passed) > 1:
		return fail(errors.New("a message has more than one descriptor"))
	}
	if err := json.Unmarshal(buf[:n], message); err != nil {
		return fail(err)
	}
	if len(passed) == 1 {
		return passed[0], nil
	}
	return -1, nil
}

func descriptors(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var all []int
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

// memoryFile holds what is too long for a packet.
func memoryFile(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("fxrun-box", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a memory file: %v", err)
	}
	f := os.NewFile(uintptr(fd), "specification")
	if _, err := f.WriteAt(data, 0); err != nil {
		_ = f.Close() // the error that matters is the first
		return nil, fmt.Errorf("cannot write a memory file: %v", err)
	}
	return f, nil
}

// readSpec reads a specification and closes its descriptor.
func readSpec(fd int) (*spec, error) {
	defer func() { _ = unix.Close(fd) }() // read only
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Size > maxSpec {
		return nil, fmt.Errorf("the specification has %d bytes", st.Size)
	}
	data := make([]byte, st.Size)
	if n, err := unix.Pread(fd, data, 0); err != nil || int64(n) != st.Size {
		return nil, fmt.Errorf("cannot read the specification: %d of %d bytes, %v", n, st.Size, err)
	}
	var s spec
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("cannot read the specification: %v", err)
	}
	return &s, nil
}
