//go:build linux && (amd64 || arm64)

package sandbox

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	const deadPID = "4194305" // above the kernel's largest
	old, young := time.Now().Add(-time.Hour), time.Now()
	own := strconv.Itoa(os.Getpid())
	for name, c := range map[string]struct {
		made time.Time
		full bool
		kept bool
	}{
		groupPrefix + deadPID + "-A": {made: old},
		groupPrefix + deadPID + "-B": {made: young, kept: true},
		groupPrefix + deadPID + "-C": {made: old, full: true, kept: true},
		groupPrefix + own + "-D":     {made: old, kept: true},
		"system.slice":               {made: old, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			group := filepath.Join(dir, name)
			if err := os.Mkdir(group, 0o755); err != nil {
				t.Fatal(err)
			}
			if c.full {
				if err := os.Mkdir(filepath.Join(group, "child"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chtimes(group, c.made, c.made); err != nil {
				t.Fatal(err)
			}
			sweep(dir)
			if _, err := os.Stat(group); (err == nil) != c.kept {
				t.Errorf("kept %v, want %v", err == nil, c.kept)
			}
		})
	}
}

// TestGroupV2Undone: a cgroup whose limits cannot be set is taken away again.
func TestGroupV2Undone(t *testing.T) {
	slice := t.TempDir()
	if err := os.WriteFile(filepath.Join(slice, "cgroup.subtree_control"), []byte("cpu memory pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &group{version: 2, dirs: map[string]string{}}
	// A plain folder has no control files, which the kernel would have made.
	err := g.makeV2(slice, groupPrefix+"1-A", Limits{Memory: 1 << 30, Processes: 64})
	if err == nil || !strings.Contains(err.Error(), "memory.max") {
		t.Errorf("%v, want that memory.max is missing", err)
	}
	if left, _ := filepath.Glob(filepath.Join(slice, groupPrefix+"*")); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}
