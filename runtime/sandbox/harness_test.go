//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fx/runtime/sandbox"
)

var levels = []sandbox.Level{sandbox.Full, sandbox.Confined}

// system shows what programs of the host need.
func system() []sandbox.Show {
	var show []sandbox.Show
	for _, d := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		show = append(show, sandbox.Show{Host: d, Box: d, Optional: true})
	}
	return show
}

// startShell starts a script in a box that has a workspace and data, and returns
// what it writes.
func startShell(t *testing.T, level sandbox.Level, script string, change func(*sandbox.Box)) (*sandbox.Process, *os.File) {
	t.Helper()
	return startBox(t, level, []string{"sh", "-c", script}, change)
}

func startBox(t *testing.T, level sandbox.Level, argv []string, change func(*sandbox.Box)) (*sandbox.Process, *os.File) {
	t.Helper()
	workspace, data := folders(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	b := sandbox.Box{
		Level: level, Argv: argv, Env: []string{"PATH=/usr/bin:/bin", "HOME=/scratch"},
		Show:     append(system(), sandbox.Show{Host: workspace, Box: sandbox.WorkspaceDir}, sandbox.Show{Host: data, Box: sandbox.DataDir}),
		Writable: []string{sandbox.WorkspaceDir + "/logs"},
		Stdout:   w,
	}
	if testing.Verbose() {
		b.Stderr = os.Stderr
	}
	if level == sandbox.Confined {
		b.HostDir = hostDir(t)
	}
	if change != nil {
		change(&b)
	}
	p, err := sandbox.Start(t.Context(), b)
	_ = w.Close()
	var missing *sandbox.MissingError
	if errors.As(err, &missing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); p.Wait() })
	return p, r
}

// runShell returns what a script writes, and how it ends.
func runShell(t *testing.T, level sandbox.Level, script string, change func(*sandbox.Box), look ...func(*sandbox.Process)) (string, sandbox.Exit) {
	t.Helper()
	p, out := startShell(t, level, script, change)
	return finish(t, p, out, look)
}

// runAttempt runs this test binary in the box.
func runAttempt(t *testing.T, level sandbox.Level, name string, change func(*sandbox.Box), look ...func(*sandbox.Process)) (string, sandbox.Exit) {
	t.Helper()
	p, out := startBox(t, level, []string{"/attempt", "attempt", name}, func(b *sandbox.Box) {
		b.Show = append(b.Show, sandbox.Show{Host: self(t), Box: "/attempt"})
		if change != nil {
			change(b)
		}
	})
	return finish(t, p, out, look)
}

func finish(t *testing.T, p *sandbox.Process, out *os.File, look []func(*sandbox.Process)) (string, sandbox.Exit) {
	t.Helper()
	for _, l := range look {
		l(p)
	}
	exit := p.Wait()
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	return string(text), exit
}

// self is a copy of the test binary that the box's user can reach.
func self(t *testing.T) string {
	t.Helper()
	name := filepath.Join(publicDir(t), "attempt")
	if err := copyFile(name, "/proc/self/exe", 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func folders(t *testing.T) (workspace, data string) {
	t.Helper()
	dir := publicDir(t)
	workspace, data = filepath.Join(dir, "workspace"), filepath.Join(dir, "data")
	err := errors.Join(
		os.MkdirAll(workspace+"/logs", 0o755), os.Mkdir(data, 0o755),
		os.WriteFile(workspace+"/hello.txt", []byte("hello\n"), 0o644),
		os.WriteFile(data+"/a.csv", []byte("1,2\n"), 0o644),
		os.WriteFile(data+"/run.sh", []byte("#!/bin/sh\necho ran\n"), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	return workspace, data
}

// publicDir is a folder that every user can reach, which those of t.TempDir are
// not.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sandbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hostDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(publicDir(t), "box")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func fileWith(t *testing.T, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func copyFile(to, from string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}

// waitFor polls for a file of the box with a content.
func waitFor(t *testing.T, p *sandbox.Process, name, content string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for range 2000 {
		if f, err := p.Open(name); err == nil {
			data, err := io.ReadAll(f)
			_ = f.Close()
			if last = string(data); err == nil && last == content {
				return
			}
		} else {
			last = err.Error()
		}
		<-tick.C
	}
	t.Fatalf("file %q is %q, want %q", name, strings.TrimSpace(last), content)
}
