//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// harmlessIoctls ask about a stream or set a flag of it: what isatty, the number
// of waiting bytes and non-blocking mode need.
var harmlessIoctls = []uint32{
	unix.TCGETS, 0x802c542a /* TCGETS2 */, unix.TIOCGWINSZ, unix.TIOCGPGRP, unix.TIOCOUTQ,
	0x541b /* FIONREAD */, 0x5421 /* FIONBIO */, 0x5450 /* FIONCLEX */, 0x5451, /* FIOCLEX */
}

// harmlessPrctls are those about the process's own name, death, dumps and
// memory, and the questions.
var harmlessPrctls = []uint32{
	unix.PR_SET_PDEATHSIG, unix.PR_GET_PDEATHSIG, unix.PR_GET_DUMPABLE, unix.PR_SET_DUMPABLE, unix.PR_GET_KEEPCAPS,
	unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_GET_SECCOMP, unix.PR_CAPBSET_READ, unix.PR_GET_SECUREBITS,
	unix.PR_SET_TIMERSLACK, unix.PR_GET_TIMERSLACK, unix.PR_SET_CHILD_SUBREAPER, unix.PR_GET_CHILD_SUBREAPER,
	unix.PR_SET_NO_NEW_PRIVS, unix.PR_GET_NO_NEW_PRIVS, unix.PR_GET_TID_ADDRESS, unix.PR_SET_THP_DISABLE, unix.PR_GET_THP_DISABLE,
	unix.PR_CAP_AMBIENT, unix.PR_SVE_SET_VL, unix.PR_SVE_GET_VL, unix.PR_GET_SPECULATION_CTRL, unix.PR_PAC_RESET_KEYS,
	unix.PR_SET_TAGGED_ADDR_CTRL, unix.PR_GET_TAGGED_ADDR_CTRL, unix.PR_SET_VMA,
}

// policy is the table of system calls for a box.
func (s *spec) policy(abi int) map[uint32]verdict {
	table := map[uint32]verdict{}
	for _, n := range allowedCalls {
		table[n] = allow
	}
	for _, n := range archAllowedCalls {
		table[n] = allow
	}
	for _, n := range refusedCalls {
		table[n] = deny(unix.EPERM)
	}
	for _, n := range archRefusedCalls {
		table[n] = deny(unix.EPERM)
	}
	for _, n := range []uint32{unix.SYS_SOCKET, unix.SYS_BIND, unix.SYS_CONNECT, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4} {
		table[n] = deny(unix.EACCES)
	}
	for _, n := range []uint32{unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR} {
		table[n] = deny(unix.ENOTSUP) // scratch has none: they would not count as its size
	}
	table[unix.SYS_CLONE] = argWithout(0, unix.EPERM, newNamespaces)
	table[unix.SYS_UNSHARE] = argWithout(0, unix.EPERM, newNamespaces|unix.CLONE_NEWTIME)
	table[unix.SYS_SOCKETPAIR] = streamPair
	table[unix.SYS_SENDTO] = argNull(4, unix.EACCES)
	table[unix.SYS_PERSONALITY] = argIn(0, unix.EPERM, 0, 0xffffffff)
	table[unix.SYS_PRCTL] = argIn(0, unix.EPERM, harmlessPrctls...)
	table[unix.SYS_IOCTL] = argIn(1, unix.ENOTTY, harmlessIoctls...)
	if len(s.Devices) > 0 {
		table[unix.SYS_IOCTL] = argNot(1, unix.TIOCSTI, unix.TIOCLINUX)
	}
	if s.Machine.CPUs > 0 { // the mask is a limit
		table[unix.SYS_SCHED_SETAFFINITY] = deny(unix.EPERM)
	}
	if s.Level == Confined {
		s.shareHost(table, abi)
	}
	return table
}

// streamPair allows pairs of connected Unix sockets. A datagram socket could
// still send to any address, even without a call of socket.
func streamPair(c *code) {
	c.loadArg(0)
	c.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, unix.AF_UNIX)
	deny(unix.EACCES)(c)
	c.loadArg(1)
	c.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0, 0, 0xf) // without SOCK_CLOEXEC and SOCK_NONBLOCK
	c.ifEqual(unix.SOCK_STREAM, allow)
	c.ifEqual(unix.SOCK_SEQPACKET, allow)
	deny(unix.EACCES)(c)
}

// shareHost takes away what namespaces would have made harmless: a confined box
// shares processes and files with its user, and Landlock watches neither the
// attributes of files nor the limits and priorities of processes.
func (s *spec) shareHost(table map[uint32]verdict, abi int) {
	for _, n := range hostCalls {
		table[n] = deny(unix.EPERM)
	}
	for _, n := range archHostCalls {
		table[n] = deny(unix.EPERM)
	}
	for _, n := range []uint32{
		unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETAFFINITY,
	} {
		if n != unix.SYS_SCHED_SETAFFINITY || s.Machine.CPUs == 0 {
			table[n] = argIn(0, unix.EPERM, 0) // of the calling thread only
		}
	}
	table[unix.SYS_SETPRIORITY] = func(c *code) {
		c.loadArg(0)
		c.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, unix.PRIO_PROCESS)
		deny(unix.EPERM)(c)
		argIn(1, unix.EPERM, 0)(c)
	}
	// What ends the box must not be reached: this process, this thread, which shares
	// the program's Landlock domain, and, where Landlock does not keep signals in,
	// the parent, the groups of both and everybody.
	helper, thread, parent := uint32(unix.Getpid()), uint32(unix.Gettid()), uint32(s.Parent) //nolint:gosec // process ids have 22 bits
	never := []uint32{helper, -helper, thread, parent, -parent}
	if abi < scopeABI {
		never = append(never, 0xffffffff)
		table[unix.SYS_TKILL] = deny(unix.EPERM)       // it takes any thread of the helper's
		table[unix.SYS_PIDFD_OPEN] = deny(unix.ENOSYS) // likewise
		table[unix.SYS_PIDFD_SEND_SIGNAL] = deny(unix.ENOSYS)
	} else {
		table[unix.SYS_TKILL] = argNot(0, never...)
		table[unix.SYS_PIDFD_OPEN] = argNot(0, never...)
	}
	for _, n := range []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO} {
		table[n] = argNot(0, never...)
	}
	table[unix.SYS_FCNTL] = argNot(1, unix.F_SETOWN, unix.F_SETOWN_EX)
}

// seccomp puts the filter on all threads of this process, for good.
func (s *spec) seccomp(abi int) error {
	program := filter(auditArch, foreignCalls, s.policy(abi), deny(unix.ENOSYS))
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&prog)))
	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL:
		return &MissingError{Layer: "seccomp filters", Why: "seccomp: " + errno.Error(), Fix: "use a kernel with CONFIG_SECCOMP_FILTER"}
	case errno != 0:
		return fmt.Errorf("cannot restrict the box with seccomp: %v", errno)
	case thread != 0:
		return fmt.Errorf("cannot restrict the box with seccomp: thread %d has another filter", thread)
	}
	return nil
}

func (s *spec) seccompLayer() string {
	if len(s.Devices) > 0 {
		return "seccomp (weaker: all ioctls, for devices)"
	}
	return "seccomp"
}

// namespaces names them.
func (s *spec) namespaces() string {
	if s.UserNS {
		return "namespaces (user, mount, net, pid, ipc, uts, cgroup)"
	}
	return "namespaces (mount, net, pid, ipc, uts, cgroup)"
}
