//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"time"
)

// TestOldLandlock runs a confined box as on Linux 6.2, whose Landlock does not
// keep signals in: the seccomp filter protects the helper, and the helper ends
// its descendants one by one.
func TestOldLandlock(t *testing.T) {
	if landlockABI() < minABI {
		t.Skip("this kernel has no Landlock of version 3")
	}
	dir, err := probeDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := Box{
		Level: Confined, HostDir: dir, oldLandlock: minABI, Stdout: w, Env: []string{"PATH=/usr/bin:/bin"},
		Argv: []string{"sh", "-c", `kill -9 $PPID 2>/dev/null || echo kept
			kill -9 -1 2>/dev/null || echo kept
			(setsid sh -c 'setsid sleep 1000 & setsid sleep 1000' &); echo up; exit 3`},
		Show: []Show{{Host: "/usr", Box: "/usr"}, {Host: "/bin", Box: "/bin"}, {Host: "/lib", Box: "/lib"}, {Host: "/lib64", Box: "/lib64", Optional: true}},
	}
	p, err := Start(t.Context(), b)
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Layers(), " "); !strings.Contains(got, "landlock 3 (no signal scope)") {
		t.Errorf("layers %q, want landlock 3", got)
	}
	if exit := p.Wait(); exit.Code != 3 {
		t.Errorf("exit %+v, want code 3", exit)
	}
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	out := bufio.NewScanner(r)
	for out.Scan() {
		lines = append(lines, out.Text())
	}
	if out.Err() != nil {
		t.Errorf("somebody is left: %v", out.Err())
	}
	if got := strings.Join(lines, " "); got != "kept kept up" {
		t.Errorf("output %q, want %q", got, "kept kept up")
	}
}
