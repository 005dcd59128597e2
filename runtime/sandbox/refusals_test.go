//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fx/runtime/sandbox"
)

func TestUnreadableData(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root runs the box as another user")
	}
	for name, mode := range map[string][2]os.FileMode{"folder": {0o700, 0o644}, "file in it": {0o755, 0o600}} {
		t.Run(name, func(t *testing.T) {
			dir := publicDir(t)
			data := filepath.Join(dir, "data")
			if err := errors.Join(os.Mkdir(data, 0o755), os.WriteFile(data+"/a.csv", []byte("1"), mode[1]), os.Chmod(data, mode[0])); err != nil {
				t.Fatal(err)
			}
			b := sandbox.Box{Argv: []string{"true"}, Show: append(system(), sandbox.Show{Host: data, Box: sandbox.DataDir})}
			_, err := sandbox.Start(t.Context(), b)
			if err == nil || !strings.Contains(err.Error(), data) || !strings.Contains(err.Error(), "--box-user") {
				t.Errorf("%v, want what to do about %s", err, data)
			}
		})
	}
}

// A pipe is no data, but looking at it must not take for ever.
func TestPipeAsData(t *testing.T) {
	pipe := filepath.Join(publicDir(t), "pipe")
	if err := errors.Join(unix.Mkfifo(pipe, 0o644), os.Chmod(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := sandbox.Start(ctx, sandbox.Box{Argv: []string{"true"}, Show: append(system(), sandbox.Show{Host: pipe, Box: sandbox.DataDir})})
	if missing, ok := errors.AsType[*sandbox.MissingError](err); ok {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Wait()
}

// A service manager may start us with a mask that leaves others no rights.
func TestStrictUmask(t *testing.T) {
	old := unix.Umask(0o022)
	t.Cleanup(func() { unix.Umask(old) })
	out, exit := runShell(t, sandbox.Full, "cat /etc/passwd /workspace/hello.txt && umask", func(*sandbox.Box) { unix.Umask(0o077) })
	if exit.Code != 0 || !strings.Contains(out, "hello\n0077\n") {
		t.Errorf("exit %+v, %q", exit, out)
	}
}

func TestCgroupRequired(t *testing.T) {
	p, err := sandbox.Start(t.Context(), sandbox.Box{Cgroup: true, Argv: []string{"true"}, Show: system()})
	if missing, ok := errors.AsType[*sandbox.MissingError](err); ok {
		if missing.Fix == "" || !strings.Contains(missing.Error(), "cgroup") {
			t.Errorf("%v, want what to do about the cgroup", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Wait()
	if !strings.Contains(strings.Join(p.Layers(), " "), "cgroup") {
		t.Errorf("layers %q, want a cgroup", p.Layers())
	}
}

func TestRefusals(t *testing.T) {
	good := func() sandbox.Box { return sandbox.Box{Argv: []string{"true"}, Show: system()} }
	for name, c := range map[string]struct {
		spoil func(*sandbox.Box)
		want  string
	}{
		"level":            {func(b *sandbox.Box) { b.Level = "loose" }, `"loose"`},
		"no program":       {func(b *sandbox.Box) { b.Argv = nil }, "no program"},
		"relative program": {func(b *sandbox.Box) { b.Argv = []string{"src/x"} }, `"src/x"`},
		"absent program":   {func(b *sandbox.Box) { b.Argv = []string{"no-such-program"} }, `"no-such-program"`},
		"absent file":      {func(b *sandbox.Box) { b.Argv = []string{"/workspace/x"} }, `"/workspace/x"`},
		"absent folder":    {func(b *sandbox.Box) { b.Dir = "/nowhere" }, "/nowhere"},
		"absent show":      {func(b *sandbox.Box) { b.Show = append(b.Show, sandbox.Show{Host: "/no/such", Box: "/data"}) }, `"/no/such"`},
		"relative show":    {func(b *sandbox.Box) { b.Show = append(b.Show, sandbox.Show{Host: "x", Box: "/data"}) }, `"x"`},
		"show over /proc":  {func(b *sandbox.Box) { b.Show = append(b.Show, sandbox.Show{Host: "/usr", Box: "/proc/self"}) }, `"/proc"`},
		"show above /io":   {func(b *sandbox.Box) { b.Show = append(b.Show, sandbox.Show{Host: "/usr", Box: "/"}) }, `"/"`},
		"shown twice":      {func(b *sandbox.Box) { b.Show = append(b.Show, b.Show[0]) }, "two things"},
		"unclean show":     {func(b *sandbox.Box) { b.Show = append(b.Show, sandbox.Show{Host: "/usr", Box: "/data/../usr"}) }, `"/data/../usr"`},
		"file in a show":   {func(b *sandbox.Box) { b.Files = []sandbox.File{{Path: "/usr/x"}} }, `"/usr/x"`},
		"writable absent":  {func(b *sandbox.Box) { b.Writable = []string{"/usr/no-such"} }, `/usr/no-such`},
		"variable":         {func(b *sandbox.Box) { b.Env = []string{"=x"} }, `"=x"`},
		"zero byte":        {func(b *sandbox.Box) { b.Env = []string{"A=\x00"} }, "zero byte"},
		"little memory":    {func(b *sandbox.Box) { b.Limits.Memory = 1000 }, "memory is 1000"},
		"no processes":     {func(b *sandbox.Box) { b.Limits.Processes = 2 }, "processes is 2"},
		"device":           {func(b *sandbox.Box) { b.Devices = []string{"/etc/passwd"} }, `"/etc/passwd"`},
		"absent device":    {func(b *sandbox.Box) { b.Devices = []string{"/dev/no-such"} }, `"/dev/no-such"`},
		"confined nowhere": {func(b *sandbox.Box) { b.Level = sandbox.Confined }, "empty folder"},
	} {
		t.Run(name, func(t *testing.T) {
			b := good()
			c.spoil(&b)
			p, err := sandbox.Start(t.Context(), b)
			if err == nil {
				p.Kill()
				p.Wait()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}
