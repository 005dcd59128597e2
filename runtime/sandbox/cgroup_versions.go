//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cpuPeriod is the time over which processor use is bounded, in microseconds:
// the kernel's default.
const cpuPeriod = 100_000

// setting is one control file of a cgroup.
type setting struct {
	name, value string
	optional    bool // not every kernel has it
}

// newGroupV2 makes a cgroup beside the one that this process is in, or below it:
// version 2 gives controllers to the children only of cgroups that have no
// processes of their own, so below works for the root of a container only.
func newGroupV2(all []hierarchy, name string, l Limits) *group {
	g := &group{version: 2, dirs: map[string]string{}, why: errors.New("cgroup version 2 has no memory controller for this process")}
	for _, h := range all {
		if h.version != 2 {
			continue
		}
		for _, parent := range []string{h.dir, filepath.Dir(h.dir)} {
			if !within(parent, h.top) {
				continue
			}
			if err := g.makeV2(parent, name, l); err != nil {
				g.why = err
				continue
			}
			return g
		}
	}
	return g
}

func (g *group) makeV2(parent, name string, l Limits) error {
	for _, c := range []string{"memory", "pids", "cpu"} {
		if !hasWord(filepath.Join(parent, "cgroup.subtree_control"), c) {
			_ = writeControl(parent, "cgroup.subtree_control", "+"+c) // looked at below
		}
	}
	for _, c := range []string{"memory", "pids"} {
		if !hasWord(filepath.Join(parent, "cgroup.subtree_control"), c) {
			return fmt.Errorf("cgroup %q gives its children no controller %s", parent, c)
		}
	}
	sweep(parent)
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	settings := []setting{
		{"memory.max", strconv.FormatInt(l.Memory, 10), false},
		{"memory.swap.max", "0", true},
		{"memory.oom.group", "1", true},
		{"pids.max", strconv.Itoa(l.Processes), false},
	}
	controllers := []string{"memory", "pids"}
	if hasWord(filepath.Join(dir, "cgroup.controllers"), "cpu") {
		controllers = append(controllers, "cpu")
		if l.CPUs > 0 {
			settings = append(settings, setting{"cpu.max", quota(l.CPUs) + " " + strconv.Itoa(cpuPeriod), false})
		}
	}
	if err := apply(dir, settings); err != nil {
		_ = os.Remove(dir) // it is empty
		return err
	}
	for _, c := range controllers {
		g.dirs[c] = dir
	}
	return nil
}

// newGroupV1 makes a cgroup for each controller, below the ones that this
// process is in.
func newGroupV1(all []hierarchy, name string, l Limits) *group {
	g := &group{version: 1, dirs: map[string]string{}}
	settings := map[string][]setting{
		"memory": {
			{"memory.limit_in_bytes", strconv.FormatInt(l.Memory, 10), false},
			{"memory.memsw.limit_in_bytes", strconv.FormatInt(l.Memory, 10), true},
		},
		"pids": {{"pids.max", strconv.Itoa(l.Processes), false}},
		"cpu":  nil,
	}
	if l.CPUs > 0 {
		settings["cpu"] = []setting{
			{"cpu.cfs_period_us", strconv.Itoa(cpuPeriod), false},
			{"cpu.cfs_quota_us", quota(l.CPUs), false},
		}
	}
	for controller, set := range settings {
		for _, h := range all {
			if h.version != 1 || !slices.Contains(h.controllers, controller) || g.holds(controller) {
				continue
			}
			sweep(h.dir)
			dir := filepath.Join(h.dir, name)
			if err := os.Mkdir(dir, 0o755); err != nil && !slices.Contains(g.folders(), dir) {
				continue
			}
			if apply(dir, set) != nil {
				_ = os.Remove(dir) // it is empty
				continue
			}
			g.dirs[controller] = dir
		}
	}
	return g
}

// quota is the processor time per period, at least what the kernel takes.
func quota(cpus float64) string {
	return strconv.Itoa(max(1000, int(math.Round(cpus*cpuPeriod))))
}

func apply(dir string, settings []setting) error {
	for _, s := range settings {
		if err := writeControl(dir, s.name, s.value); err != nil && !s.optional {
			return err
		}
	}
	return nil
}

// hasWord reports whether a file has a word.
func hasWord(file, word string) bool {
	data, err := os.ReadFile(file)
	return err == nil && slices.Contains(strings.Fields(string(data)), word)
}
