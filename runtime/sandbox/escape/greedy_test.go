//go:build linux && (amd64 || arm64)

package escape

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fx/runtime/sandbox"
)

// small limits, so that exhausting them does not take long.
var small = sandbox.Limits{Memory: 256 << 20, Scratch: 32 << 20, Processes: 64, OpenFiles: 64}

// greedy are attempts to take more than the box allows, or to live longer. do is
// the task code; check runs it and says how it ended.
var greedy = []struct {
	name  string
	do    func()
	check func(*host) string
}{
	{"fork without end", forkBomb, func(h *host) string {
		began := count(h)
		out, _ := h.run(small, nil, h.attempt("fork without end")...)
		n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(lastLine(out), "forked ")))
		if err != nil || n > small.Processes {
			h.t.Errorf("it made %d processes of %d that are allowed: %.500s", n, small.Processes, out)
		}
		if now := count(h); now > began {
			h.t.Errorf("%d processes of the box are left, %d before", now, began)
		}
		return "stopped at the limit, and nothing is left of them"
	}},
	{"take all memory", takeMemory, func(h *host) string {
		out, exit := h.run(small, nil, h.attempt("take all memory")...)
		if strings.Contains(out, "took") || exit.Code == 0 {
			h.t.Errorf("it took more than it may (%+v): %.500s", exit, out)
		}
		return "ended at the limit"
	}},
	{"fill the disk", fillDisk, func(h *host) string {
		out, exit := h.run(small, nil, h.attempt("fill the disk")...)
		if h.level == sandbox.Confined && (exit.OutOfScratch || exit.Signal == "SIGXFSZ" || exit.Code != 0) {
			return "ended"
		}
		return h.wrote(out)
	}},
	{"fill the disk with empty files", fillInodes, func(h *host) string {
		out, exit := h.run(small, nil, h.attempt("fill the disk with empty files")...)
		if h.level == sandbox.Confined && exit.OutOfScratch {
			return "ended"
		}
		if !strings.Contains(out, "NOTHING") {
			h.t.Errorf("no end of files (%+v): %.500s", exit, out)
		}
		return "no space left on device"
	}},
	{"open files without end", openFiles, func(h *host) string {
		out, exit := h.run(small, nil, h.attempt("open files without end")...)
		return verdict(h.t, out, exit)
	}},
	{"live on as a daemon", daemonise, func(h *host) string {
		began := count(h)
		out, exit := h.run(small, nil, h.attempt("live on as a daemon")...)
		if !strings.Contains(out, "daemon started") || exit.Code != 0 {
			h.t.Errorf("no daemon to look for (%+v): %.500s", exit, out)
		}
		if now := count(h); now > began {
			h.t.Errorf("the daemon lives")
		}
		return "it ends with the task"
	}},
	{"ignore all signals", sleep, func(h *host) string { return h.stubborn() }},
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// wrote says how much an attempt to fill the disk could write.
func (h *host) wrote(out string) string {
	h.t.Helper()
	n, err := strconv.ParseInt(strings.TrimPrefix(lastLine(out), "wrote "), 10, 64)
	if err != nil {
		h.t.Errorf("cannot tell what it wrote: %.500s", out)
	}
	if n > small.Scratch {
		h.t.Errorf("it wrote %d bytes of %d that are allowed", n, small.Scratch)
	}
	return "no space left on device"
}

// count is how many processes run the attempts' program now.
func count(h *host) int {
	h.t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		h.t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), "\x00attempt\x00sleep\x00") {
			n++
		}
	}
	return n
}

func forkBomb() {
	n := 0
	for range 10_000 {
		c := exec.Command("/proc/self/exe", append([]string{"attempt", "sleep", "{}"}, boxFolders...)...)
		if err := c.Start(); err != nil {
			break
		}
		n++
	}
	fmt.Println("forked", n)
}

func takeMemory() {
	var all [][]byte
	for range 1024 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	fmt.Println("took", len(all), "MiB")
}

func fillDisk() {
	total := 0
	block := make([]byte, 1<<20)
	for i := range 8 {
		for _, dir := range boxFolders[2:] {
			f, err := os.Create(filepath.Join(at(dir), "fill"+strconv.Itoa(i)))
			if err != nil {
				continue
			}
			for range 64 {
				n, err := f.Write(block)
				total += n
				if err != nil {
					break
				}
			}
			_ = f.Close()
		}
	}
	fmt.Println("wrote", total)
}

func fillInodes() {
	for i := range 2_000_000 {
		f, err := os.Create(at("/scratch/" + strconv.Itoa(i)))
		if err != nil {
			fmt.Println("NOTHING", err)
			return
		}
		_ = f.Close()
	}
	fmt.Println("CAUGHT two million files")
}

func openFiles() {
	var files []*os.File
	for range 100_000 {
		f, err := os.Open("/dev/null")
		if err != nil {
			fmt.Println("NOTHING", err)
			return
		}
		files = append(files, f)
	}
	fmt.Println("CAUGHT", len(files))
}

func daemonise() {
	c := exec.Command("/proc/self/exe", append([]string{"attempt", "sleep", "{}"}, boxFolders...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		fmt.Println("NOTHING", err)
		return
	}
	fmt.Println("daemon started")
}

// stubborn is a task that ignores every signal it can, and whose time is over.
func (h *host) stubborn() string {
	h.t.Helper()
	p, _ := h.start(small, nil, h.attempt("sleep")...)
	p.Kill()
	if exit := p.Wait(); exit.Signal != "SIGKILL" {
		h.t.Errorf("it ended with %+v", exit)
	}
	return "ended by SIGKILL"
}

// sleep is what daemons and bombs do, and tasks that do not want to end.
func sleep() {
	signal.Ignore()
	time.Sleep(10 * time.Minute)
}
