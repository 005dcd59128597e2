//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bufio"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// hierarchy is a mounted cgroup file system and where this process is in it.
type hierarchy struct {
	version     int
	controllers []string // of version 1
	dir         string   // the folder of the cgroup that this process is in
	top         string   // the folder of the mount
}

// hierarchies finds the cgroup file systems and this process's place in them.
func hierarchies() ([]hierarchy, error) {
	own, err := ownGroups()
	if err != nil {
		return nil, err
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = mounts.Close() }() // read only
	var all []hierarchy
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		// id parent major:minor root point options … - type source superoptions
		before, after, _ := strings.Cut(lines.Text(), " - ")
		b, a := strings.Fields(before), strings.Fields(after)
		if len(b) < 5 || len(a) < 3 {
			continue
		}
		h := hierarchy{top: unescape(b[4])}
		path := ""
		switch a[0] {
		case "cgroup2":
			h.version, path = 2, own[""]
		case "cgroup":
			h.version, h.controllers = 1, strings.Split(a[2], ",")
			for _, c := range h.controllers {
				if p, ok := own[c]; ok {
					path = p
				}
			}
		default:
			continue
		}
		// Inside a container the mount may show only a part of the hierarchy.
		if root := unescape(b[3]); root != "/" {
			path = strings.TrimPrefix(path, root)
		}
		h.dir = filepath.Join(h.top, path)
		all = append(all, h)
	}
	return all, nil
}

// ownGroups reads /proc/self/cgroup: the path by controller, "" being version 2.
func ownGroups() (map[string]string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 {
			for c := range strings.SplitSeq(parts[1], ",") {
				own[c] = parts[2]
			}
		}
	}
	return own, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// ownMemoryLimit is the least limit of the cgroups that this process is in.
func ownMemoryLimit() int64 {
	least := int64(math.MaxInt64)
	all, err := hierarchies()
	if err != nil {
		return least
	}
	for _, h := range all {
		name := "memory.max"
		if h.version == 1 {
			if !slices.Contains(h.controllers, "memory") {
				continue
			}
			name = "memory.limit_in_bytes"
		}
		for dir := h.dir; within(dir, h.top); dir = filepath.Dir(dir) {
			if n := readNumbers(filepath.Join(dir, name)); len(n) == 1 && n[0] > 0 {
				least = min(least, n[0])
			}
		}
	}
	return least
}

// readNumbers reads the lines of a file that are numbers.
func readNumbers(name string) []int64 {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var all []int64
	for _, word := range strings.Fields(string(data)) {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// readField reads the number after a name in a file of names and numbers.
func readField(file, name string) int64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return n
			}
		}
	}
	return 0
}

// writeControl writes a control file, which must exist.
func writeControl(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
