//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultLimits are the limits of a box whose caller sets none: three quarters
// of the memory of this machine, or of the cgroup that this process is in; a
// quarter of that, at most 2 GiB, for files; 512 processes and threads; 1024
// open files in each.
func DefaultLimits() Limits {
	memory := int64(1 << 30)
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		memory = int64(info.Totalram) * int64(info.Unit)
	}
	memory = min(memory, ownMemoryLimit()) / 4 * 3
	return Limits{Memory: memory, Scratch: min(2<<30, memory/4), Processes: 512, OpenFiles: 1024}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.Memory == 0 {
		l.Memory = d.Memory
	}
	if l.Scratch == 0 {
		l.Scratch = min(d.Scratch, l.Memory)
	}
	if l.Processes == 0 {
		l.Processes = d.Processes
	}
	if l.OpenFiles == 0 {
		l.OpenFiles = d.OpenFiles
	}
	return l
}

// Limits of every box, whatever its caller says.
const (
	maxLocked = 8 << 20 // bytes of locked memory per process
	maxQueued = 1024    // signals
)

// setLimits sets this process's limits, which all others inherit.
func setLimits(s *spec) error {
	l := s.Limits
	set := []struct {
		name     string
		resource int
		value    uint64
	}{
		{"core files", unix.RLIMIT_CORE, 0},
		{"open files", unix.RLIMIT_NOFILE, uint64(l.OpenFiles)},
		{"file size", unix.RLIMIT_FSIZE, uint64(l.Scratch)},
		{"locked memory", unix.RLIMIT_MEMLOCK, maxLocked},
		{"queued signals", unix.RLIMIT_SIGPENDING, maxQueued},
		{"message queues", unix.RLIMIT_MSGQUEUE, 0},
	}
	if m := s.Machine.Data; m > 0 {
		set = append(set, struct {
			name     string
			resource int
			value    uint64
		}{"memory", unix.RLIMIT_DATA, uint64(m)})
	}
	if n := s.Machine.NProc; n > 0 {
		set = append(set, struct {
			name     string
			resource int
			value    uint64
		}{"processes", unix.RLIMIT_NPROC, uint64(n)})
	}
	for _, limit := range set {
		var now unix.Rlimit
		if err := unix.Prlimit(0, limit.resource, nil, &now); err != nil {
			return fmt.Errorf("cannot read the limit of %s: %v", limit.name, err)
		}
		value := min(limit.value, now.Max) // what is stricter already stays
		if err := unix.Prlimit(0, limit.resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("cannot limit %s to %d: %v", limit.name, value, err)
		}
	}
	return s.setProcessors()
}

// setProcessors keeps the box on the first few of the processors that it may
// use, where no cgroup shares them out.
func (s *spec) setProcessors() error {
	n := s.Machine.CPUs
	if n == 0 {
		return nil
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("cannot read the processor mask: %v", err)
	}
	for i := range set {
		for m := uint64(set[i]); m != 0; m &= m - 1 {
			if n--; n < 0 {
				set.Clear(i*64 + bits.TrailingZeros64(m))
			}
		}
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("cannot limit the box to %d processors: %v", s.Machine.CPUs, err)
	}
	return nil
}

// limitsLayer names the limits that no cgroup holds.
func (s *spec) limitsLayer() string {
	more := []string{"files"}
	if s.Machine.Data > 0 {
		more = append(more, "memory per process")
	}
	if s.Machine.NProc > 0 {
		more = append(more, "processes")
	}
	if s.Machine.CPUs > 0 {
		more = append(more, "processor mask")
	}
	return "rlimits (" + strings.Join(more, ", ") + ")"
}

// rest says what rlimits must hold because the cgroup, if there is one, does
// not.
func (g *group) rest(b Box) (machine, error) {
	var m machine
	if !g.holds("memory") {
		m.Data = b.Limits.Memory
	}
	if !g.holds("pids") {
		n, err := processesOf(b)
		if err != nil {
			return m, err
		}
		m.NProc = n
	}
	if !g.holds("cpu") && b.Limits.CPUs > 0 {
		m.CPUs = int(math.Ceil(b.Limits.CPUs))
	}
	return m, nil
}

// processesOf is the limit of processes, to which the kernel counts all of a
// user: in a user namespace those of the box alone, otherwise also those that
// run already.
func processesOf(b Box) (int64, error) {
	if b.Level == Full && !privileged() {
		return int64(b.Limits.Processes), nil
	}
	uid := os.Getuid()
	if uid == 0 {
		uid = b.User.UID
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("cannot count processes: %v", err)
	}
	running := int64(0)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			running += threadsOf(e.Name(), uid)
		}
	}
	return running + int64(b.Limits.Processes), nil
}

// threadsOf counts the threads of a process if it is the user's.
func threadsOf(pid string, uid int) int64 {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0 // it has ended
	}
	own, threads := false, int64(0)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch fields := strings.Fields(value); {
		case len(fields) == 0:
		case name == "Uid":
			own = fields[0] == strconv.Itoa(uid)
		case name == "Threads":
			threads, _ = strconv.ParseInt(fields[0], 10, 64) // the kernel writes numbers
		}
	}
	if !own {
		return 0
	}
	return threads
}
