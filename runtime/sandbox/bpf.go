//go:build linux && (amd64 || arm64)

package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Classic BPF over struct seccomp_data (linux/seccomp.h): the number of the
// call, the architecture, and six arguments of 64 bits of which only the lower
// half is ever compared, unless a pointer is to be null.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16

	retAllow = 0x7fff0000 // SECCOMP_RET_ALLOW
	retErrno = 0x00050000 // SECCOMP_RET_ERRNO
	retKill  = 0x80000000 // SECCOMP_RET_KILL_PROCESS
)

type code []unix.SockFilter

func deny(errno unix.Errno) verdict { return func(c *code) { c.ret(retErrno | uint32(errno)) } }

func allow(c *code) { c.ret(retAllow) }

// verdict appends what becomes of one system call; it always returns.
type verdict func(*code)

func (c *code) add(op uint16, jt, jf uint8, k uint32) {
	*c = append(*c, unix.SockFilter{Code: op, Jt: jt, Jf: jf, K: k})
}

func (c *code) ret(value uint32) { c.add(unix.BPF_RET|unix.BPF_K, 0, 0, value) }

func (c *code) load(offset uint32) { c.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, offset) }

func (c *code) loadArg(i int) { c.load(dataArgs + 8*uint32(i)) }

// ifEqual and ifBits run then, which returns, if the loaded word is k, or has a
// bit of k.
func (c *code) ifEqual(k uint32, then verdict) { c.when(unix.BPF_JEQ, k, then) }
func (c *code) ifBits(k uint32, then verdict)  { c.when(unix.BPF_JSET, k, then) }

func (c *code) when(jump uint16, k uint32, then verdict) {
	var inner code
	then(&inner)
	c.add(unix.BPF_JMP|jump|unix.BPF_K, 0, uint8(len(inner)), k)
	*c = append(*c, inner...)
}

// argIn allows a call whose argument is one of the values.
func argIn(i int, otherwise unix.Errno, values ...uint32) verdict {
	return func(c *code) {
		c.loadArg(i)
		for _, v := range values {
			c.ifEqual(v, allow)
		}
		deny(otherwise)(c)
	}
}

// argNot allows a call whose argument is none of the values.
func argNot(i int, values ...uint32) verdict {
	return func(c *code) {
		c.loadArg(i)
		for _, v := range values {
			c.ifEqual(v, deny(unix.EPERM))
		}
		allow(c)
	}
}

// argWithout allows a call whose argument has none of the bits.
func argWithout(i int, errno unix.Errno, bits uint32) verdict {
	return func(c *code) {
		c.loadArg(i)
		c.ifBits(bits, deny(errno))
		allow(c)
	}
}

// argNull allows a call whose argument is a null pointer.
func argNull(i int, errno unix.Errno) verdict {
	return func(c *code) {
		for _, half := range []uint32{0, 4} {
			c.load(dataArgs + 8*uint32(i) + half)
			c.ifBits(0xffffffff, deny(errno))
		}
		allow(c)
	}
}

// span is a run of calls that share a verdict: from its first number to that of
// the next.
type span struct {
	from    uint32
	verdict verdict
}

// filter compiles a table. Calls of another architecture, and numbers from
// foreign on, kill: they would be looked up in a table that is not theirs.
func filter(arch, foreign uint32, table map[uint32]verdict, otherwise verdict) code {
	var c code
	c.load(dataArch)
	c.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, arch)
	c.ret(retKill)
	c.load(dataNumber)
	c.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0, 1, foreign)
	c.ret(retKill)
	return append(c, search(spans(table, otherwise))...)
}

// spans lists the table without gaps.
func spans(table map[uint32]verdict, otherwise verdict) []span {
	numbers := make([]uint32, 0, len(table))
	for n := range table {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	list := []span{{0, otherwise}}
	for _, n := range numbers {
		if last := &list[len(list)-1]; last.from == n {
			last.verdict = table[n]
		} else {
			list = append(list, span{n, table[n]})
		}
		list = append(list, span{n + 1, otherwise})
	}
	return merge(list)
}

// merge joins neighbours that return the same.
func merge(list []span) []span {
	same := func(a, b verdict) bool {
		var x, y code
		a(&x)
		b(&y)
		return slices.Equal(x, y)
	}
	return slices.CompactFunc(list, func(a, b span) bool { return same(a.verdict, b.verdict) })
}

// search is a binary search: a jump on a condition reaches 255 instructions
// only, so it skips a long jump.
func search(list []span) code {
	var c code
	if len(list) == 1 {
		list[0].verdict(&c)
		return c
	}
	half := len(list) / 2
	below, above := search(list[:half]), search(list[half:])
	c.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0, 1, list[half].from)
	c.add(unix.BPF_JMP|unix.BPF_JA, 0, 0, uint32(len(below)))
	return append(append(c, below...), above...)
}
