//go:build linux

package taskrunner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/runtime/sandbox"
)

// pretend writes a script that answers as an interpreter would.
func pretend(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "python3")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFindPythonRefuses(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, tt := range []struct{ name, script, want string }{
		{"crash", `printf 'no \033[2Jmodule' >&2; exit 3`, `exit status 3: no \x1b[2Jmodule`},
		{"no answer", `true`, "does not behave like Python"},
		{"another program", `echo Python 3.11`, "does not behave like Python"},
		{"endless", `yes | head -c 5000000`, "does not behave like Python"},
		{"no path", `echo '["python3", [], []]'`, `it gives its own path as "python3"`},
		{"absent", `echo '["/nowhere/python3", ["/usr"], []]'`, "/nowhere/python3: no such file"},
		{"the home", `echo '["/usr/bin/env", ["` + home + `"], []]'`, "as a whole is not for task code to see"},
		{"above the home", `echo '["/usr/bin/env", ["` + filepath.Dir(home) + `"], []]'`, "as a whole is not for task code to see"},
		{"everything", `echo '["/usr/bin/env", ["/"], []]'`, "as a whole is not for task code to see"},
	} {
		if _, err := findPython(t.Context(), pretend(t, tt.script)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := findPython(t.Context(), filepath.Join(home, "none")); err == nil || !strings.Contains(err.Error(), "name one with --python") {
		t.Errorf("absent: got %v", err)
	}
}

// A virtual environment keeps its own path, because it is found by that; one in
// /tmp, which the box has for itself, moves. Modules in a home are not shown.
func TestFindPythonShows(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "fx-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	exe, modules, home := filepath.Join(dir, "bin", "python3"), filepath.Join(dir, "more"), t.TempDir()
	t.Setenv("HOME", home)
	for _, d := range []string{filepath.Dir(exe), modules} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/usr/bin/env", exe); err != nil {
		t.Fatal(err)
	}
	p, err := findPython(t.Context(), pretend(t, fmt.Sprintf(`echo '["%s", ["%s", "/usr"], ["%s", "%s", "/absent", "x.zip"]]'`, exe, dir, modules, home)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "/fx/python" + exe; p.exe != want {
		t.Errorf("the interpreter is %q, want %q", p.exe, want)
	}
	more := p.show[len(systemShows()):]
	if want := []sandbox.Show{{Host: dir, Box: "/fx/python" + dir}}; !slices.Equal(more, want) {
		t.Errorf("beside the system it shows %+v, want %+v", more, want)
	}
}
