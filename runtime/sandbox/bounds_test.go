//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fx/runtime/sandbox"
)

func TestScratchIsBounded(t *testing.T) {
	limit := func(b *sandbox.Box) { b.Limits.Scratch = 1 << 20 }
	out, _ := runShell(t, sandbox.Full, "for i in 1 2 3 4; do head -c 500000 /dev/zero >/scratch/$i 2>/dev/null || echo full; done; echo x 2>/dev/null >/io/x || echo full", limit)
	if strings.Count(out, "full") < 2 {
		t.Errorf("%q, want that 1 MiB is full after two files", out)
	}
	out, _ = runShell(t, sandbox.Full, "i=0; while : >/scratch/$i; do i=$((i+1)); test $i = 5000 && break; done 2>/dev/null; echo $i", limit)
	if n := strings.TrimSpace(out); len(n) > 4 || n >= "2000" && len(n) == 4 {
		t.Errorf("made %s empty files, want fewer than 2000", n)
	}
	p, _ := startShell(t, sandbox.Full, "sleep 100", limit)
	if f, err := p.Create("half", 600_000); err != nil {
		t.Error(err)
	} else {
		_ = f.Close()
	}
	if _, err := p.Create("large", 600_000); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("create: %v, want %v", err, unix.ENOSPC)
	}
	if _, err := p.Open("large"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v, want that nothing is left", err)
	}
}

func TestConfinedScratchIsWatched(t *testing.T) {
	for name, script := range map[string]string{
		"bytes":         "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero >$HOME/$i; done",
		"files":         "i=0; while :; do i=$((i+1)); : >$HOME/$i; done",
		"writable":      "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero >logs/$i; done",
		"deep folders":  "cd $HOME; i=0; while [ $i -lt 150 ]; do i=$((i+1)); mkdir d; cd d; done; sleep 100",
		"hidden folder": "umask 0477; mkdir $HOME/hidden; sleep 100",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "hidden folder" && os.Getuid() == 0 {
				t.Skip("nothing is hidden from root")
			}
			_, exit := runShell(t, sandbox.Confined, script, func(b *sandbox.Box) { b.Limits.Scratch = 2 << 20 })
			if !exit.OutOfScratch || exit.Signal != "SIGKILL" {
				t.Errorf("exit %+v, want that it was ended for what it wrote", exit)
			}
		})
	}
}

func TestProcessesAreBounded(t *testing.T) {
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			out, _ := runAttempt(t, level, "fork bomb", func(b *sandbox.Box) { b.Limits.Processes = 40 })
			n := 0
			if _, err := fmt.Sscanf(out, "%d processes", &n); err != nil || n < 1 || n > 40 {
				t.Errorf("%q, want 1 to 40 processes", out)
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			var layers string
			out, exit := runAttempt(t, level, "memory bomb", func(b *sandbox.Box) { b.Limits.Memory = 256 << 20 }, func(p *sandbox.Process) {
				layers = strings.Join(p.Layers(), " ")
			})
			if strings.Contains(out, "survived") || exit.Code == 0 {
				t.Errorf("exit %+v, %q", exit, out)
			}
			if strings.Contains(layers, "(memory") && !exit.OutOfMemory {
				t.Errorf("exit %+v, want out of memory (%s)", exit, layers)
			}
		})
	}
}

func TestNothingIsLeft(t *testing.T) {
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			runShell(t, level, "true", nil)
			runtime.GC() // earlier tests' files
			before := census(t)
			for range 20 {
				runShell(t, level, "setsid sleep 100 & echo x >$HOME/x", nil)
			}
			runtime.GC()
			if after := census(t); after != before {
				t.Errorf("%+v after 20 boxes, %+v before", after, before)
			}
		})
	}
}

type counts struct{ descriptors, children, cgroups, mounts int }

func census(t *testing.T) counts {
	t.Helper()
	c := counts{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	c.descriptors = len(fds)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	c.mounts = bytes.Count(mounts, []byte("\n"))
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		if stat, err := os.ReadFile(name); err == nil && bytes.Contains(stat, []byte(fmt.Sprintf(") Z %d ", os.Getpid()))) {
			c.children++
		}
	}
	c.descriptors-- // that of ReadDir itself
	err = filepath.WalkDir("/sys/fs/cgroup", func(p string, d fs.DirEntry, _ error) error {
		if d != nil && strings.HasPrefix(d.Name(), fmt.Sprintf("fxrun-box-%d-", os.Getpid())) {
			c.cgroups++
		}
		return nil
	})
	if err != nil {
		t.Log(err)
	}
	return c
}

func TestNoInheritedDescriptors(t *testing.T) {
	f := fileWith(t, "secret")
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 50) // without the mark that closes it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	out, _ := runShell(t, sandbox.Full, "ls /proc/self/fd", nil)
	if got := strings.Join(strings.Fields(out), " "); got != "0 1 2 3" {
		t.Errorf("descriptors %s, want 0 1 2 and the folder itself", got)
	}
}
