//go:build linux && (amd64 || arm64)

package sandbox

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// run interprets a filter as the kernel does.
func (c code) run(t *testing.T, arch, number uint32, args [6]uint64) uint32 {
	t.Helper()
	var a uint32
	for pc := 0; pc < len(c); pc++ {
		in := c[pc]
		condition := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			switch in.K {
			case dataNumber:
				a = number
			case dataArch:
				a = arch
			default:
				a = uint32(args[(in.K-dataArgs)/8] >> ((in.K - dataArgs) % 8 * 8))
			}
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			condition = a == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			condition = a >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			condition = a&in.K != 0
		default:
			t.Fatalf("instruction %d has the code %#x", pc, in.Code)
		}
		if condition {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	t.Fatal("the filter does not return")
	return 0
}

const noSuchCall = retErrno | uint32(unix.ENOSYS)

func TestFilterFindsEveryCall(t *testing.T) {
	for name, s := range map[string]*spec{
		"full":     {Box: Box{Level: Full}},
		"devices":  {Box: Box{Level: Full, Devices: []string{"/dev/nvidia0"}}},
		"confined": {Box: Box{Level: Confined}, Parent: 7},
	} {
		for _, abi := range []int{minABI, scopeABI} {
			table := s.policy(abi)
			program := filter(auditArch, foreignCalls, table, deny(unix.ENOSYS))
			if len(program) > 4096 {
				t.Errorf("%s: the filter has %d instructions; the kernel takes 4096", name, len(program))
			}
			args := [6]uint64{1, 1, 1, 1, 1, 1}
			for number := range uint32(1000) {
				want := noSuchCall
				if v := table[number]; v != nil {
					var alone code
					v(&alone)
					want = alone.run(t, auditArch, number, args)
				}
				if got := program.run(t, auditArch, number, args); got != want {
					t.Errorf("%s: call %d returns %#x, want %#x", name, number, got, want)
				}
			}
		}
	}
}

func TestFilterLooksAtArguments(t *testing.T) {
	const allowed, notPermitted, noAccess = uint32(retAllow), retErrno | uint32(unix.EPERM), retErrno | uint32(unix.EACCES)
	program := filter(auditArch, foreignCalls, (&spec{Box: Box{Level: Full}}).policy(scopeABI), deny(unix.ENOSYS))
	for name, c := range map[string]struct {
		arch, number uint32
		args         [6]uint64
		want         uint32
	}{
		"read":                       {auditArch, unix.SYS_READ, [6]uint64{}, allowed},
		"read of another machine":    {unix.AUDIT_ARCH_I386, unix.SYS_READ, [6]uint64{}, retKill},
		"read of x32":                {auditArch, 0x40000000 | unix.SYS_READ, [6]uint64{}, retKill},
		"a negative number":          {auditArch, 0xffffffff, [6]uint64{}, retKill},
		"clone of a thread":          {auditArch, unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allowed},
		"clone of a namespace":       {auditArch, unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_NEWUSER}, notPermitted},
		"unshare of files":           {auditArch, unix.SYS_UNSHARE, [6]uint64{unix.CLONE_FILES}, allowed},
		"unshare of time":            {auditArch, unix.SYS_UNSHARE, [6]uint64{unix.CLONE_NEWTIME}, notPermitted},
		"stream pair":                {auditArch, unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, allowed},
		"datagram pair":              {auditArch, unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, noAccess},
		"pair of another family":     {auditArch, unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_TIPC, unix.SOCK_STREAM}, noAccess},
		"send":                       {auditArch, unix.SYS_SENDTO, [6]uint64{}, allowed},
		"send to an address":         {auditArch, unix.SYS_SENDTO, [6]uint64{4: 0x1000}, noAccess},
		"send to a high address":     {auditArch, unix.SYS_SENDTO, [6]uint64{4: 0x1000_0000_0000}, noAccess},
		"question of a terminal":     {auditArch, unix.SYS_IOCTL, [6]uint64{1: unix.TCGETS}, allowed},
		"terminal input":             {auditArch, unix.SYS_IOCTL, [6]uint64{1: unix.TIOCSTI}, retErrno | uint32(unix.ENOTTY)},
		"terminal input, high bits":  {auditArch, unix.SYS_IOCTL, [6]uint64{1: 0xffffffff_00000000 | unix.TIOCSTI}, retErrno | uint32(unix.ENOTTY)},
		"question of a personality":  {auditArch, unix.SYS_PERSONALITY, [6]uint64{0xffffffff}, allowed},
		"another personality":        {auditArch, unix.SYS_PERSONALITY, [6]uint64{0x0040000}, notPermitted},
		"thread name":                {auditArch, unix.SYS_PRCTL, [6]uint64{unix.PR_SET_NAME}, allowed},
		"map of memory (prctl)":      {auditArch, unix.SYS_PRCTL, [6]uint64{unix.PR_SET_MM}, notPermitted},
		"a call that does not exist": {auditArch, 999, [6]uint64{}, noSuchCall},
	} {
		t.Run(name, func(t *testing.T) {
			if got := program.run(t, c.arch, c.number, c.args); got != c.want {
				t.Errorf("%#x, want %#x", got, c.want)
			}
		})
	}
}

func TestTablesDoNotOverlap(t *testing.T) {
	for _, n := range slices.Concat(refusedCalls, archRefusedCalls) {
		if slices.Contains(allowedCalls, n) || slices.Contains(archAllowedCalls, n) {
			t.Errorf("call %d is allowed and refused", n)
		}
	}
	for _, n := range slices.Concat(hostCalls, archHostCalls) {
		if !slices.Contains(allowedCalls, n) && !slices.Contains(archAllowedCalls, n) {
			t.Errorf("call %d is refused in a confined box only, but is not allowed in a full one", n)
		}
	}
}
