//go:build linux && (amd64 || arm64)

package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// groupPrefix begins the names of our cgroups; the process id of the parent and
// something random follow.
const groupPrefix = "fxrun-box-"

// group is the cgroup of a box: one folder for version 2, one for each
// controller for version 1, none where this process may make none.
type group struct {
	version int
	dirs    map[string]string // by controller: memory, pids, cpu
	why     error             // why there is none
}

// newGroup makes a cgroup with the limits, if this host lets us. A host that
// does not is no error here: see require.
func newGroup(l Limits) *group {
	all, err := hierarchies()
	if err != nil {
		return &group{why: err}
	}
	name := groupPrefix + strconv.Itoa(os.Getpid()) + "-" + rand.Text()[:8]
	g := newGroupV2(all, name, l)
	if !g.holds("memory") {
		g1 := newGroupV1(all, name, l)
		if g1.holds("memory") || g1.holds("pids") {
			g.remove()
			g = g1
		} else {
			g1.remove()
		}
	}
	return g
}

// holds reports whether the cgroup has a controller.
func (g *group) holds(controller string) bool { return g.dirs[controller] != "" }

// require says what is missing where a cgroup is a must.
func (g *group) require(must bool) error {
	if !must || g.holds("memory") && g.holds("pids") {
		return nil
	}
	why := "this process may make none"
	if g.why != nil {
		why = g.why.Error()
	}
	return &MissingError{
		Layer: "a cgroup that holds memory and processes", Why: why,
		Fix: "under systemd, run fxrun in a unit with Delegate=yes and DelegateSubgroup=main " +
			"(systemd-run --user --scope -p Delegate=yes fxrun … for a user), or leave --box-cgroup out",
	}
}

// layers names it for logs.
func (g *group) layers() []string {
	var held []string
	for _, c := range []string{"memory", "pids", "cpu"} {
		if g.holds(c) {
			held = append(held, c)
		}
	}
	if held == nil {
		return nil
	}
	return []string{fmt.Sprintf("cgroup v%d (%s)", g.version, strings.Join(held, ", "))}
}

// folders lists its folders, each once.
func (g *group) folders() []string {
	var all []string
	if g != nil {
		for _, dir := range g.dirs {
			if !slices.Contains(all, dir) {
				all = append(all, dir)
			}
		}
	}
	return all
}

// add puts a process into it.
func (g *group) add(pid int) error {
	for _, dir := range g.folders() {
		if err := writeControl(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("cannot put the box into its cgroup: %v", err)
		}
	}
	return nil
}

// kill ends whatever is still in it.
func (g *group) kill() {
	for _, dir := range g.folders() {
		if g.version == 2 && writeControl(dir, "cgroup.kill", "1") == nil {
			continue
		}
		for range 1000 { // a fork bomb makes new ones meanwhile
			pids := readNumbers(filepath.Join(dir, "cgroup.procs"))
			if len(pids) == 0 {
				break
			}
			for _, pid := range pids {
				if p, err := os.FindProcess(int(pid)); err == nil {
					_ = p.Kill() // it may be gone already
				}
			}
		}
	}
}

// outOfMemory reports whether the kernel ended a process for the memory of the
// cgroup.
func (g *group) outOfMemory() bool {
	dir := g.dirs["memory"]
	if dir == "" {
		return false
	}
	name := "memory.events"
	if g.version == 1 {
		name = "memory.oom_control"
	}
	return readField(filepath.Join(dir, name), "oom_kill") > 0
}

// remove removes it. The kernel is done with a process a moment after its
// parent has seen it end, and answers EBUSY until then.
func (g *group) remove() {
	for _, dir := range g.folders() {
		for wait := time.Millisecond; wait < 2*time.Second; wait *= 2 {
			err := os.Remove(dir)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			time.Sleep(wait)
		}
	}
}

// sweep removes the cgroups of parents that are gone. One that still has a
// process cannot be removed, and a young one may be that of a process that we
// cannot see.
func sweep(dir string) {
	old, err := filepath.Glob(filepath.Join(dir, groupPrefix+"*"))
	if err != nil {
		return
	}
	for _, name := range old {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(name), groupPrefix), "-")
		info, err := os.Stat(name)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(name) // not ours if it still has processes
		}
	}
}
