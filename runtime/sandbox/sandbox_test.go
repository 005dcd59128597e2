//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fx/runtime/sandbox"
)

// The test binary is also the box's helper, the program in the box that tries
// what it must not do, and a parent that is killed.
func TestMain(m *testing.M) {
	sandbox.Child()
	if len(os.Args) > 2 && os.Args[1] == "attempt" {
		os.Exit(attempt(os.Args[2]))
	}
	if len(os.Args) > 3 && os.Args[1] == "parent" {
		os.Exit(parent(sandbox.Level(os.Args[2]), os.Args[3]))
	}
	os.Exit(m.Run())
}

// TestAsAnotherUser runs all tests once more without root's rights.
func TestAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is not root")
	}
	dir := publicDir(t)
	if err := copyFile(filepath.Join(dir, "sandbox.test"), "/proc/self/exe", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "sandbox.test"), "-test.v", "-test.timeout=2m")
	cmd.WaitDelay = time.Second // somebody who is left must not hold us up
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(dir, "tmp"))
	cmd.Dir = dir
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "tmp"), 0o777), os.Chmod(filepath.Join(dir, "tmp"), 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as user 65533: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "SKIP") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func TestProgram(t *testing.T) {
	for name, c := range map[string]struct {
		script, out string
		exit        sandbox.Exit
	}{
		"output":            {script: "echo out", out: "out\n"},
		"exit code":         {script: "exit 7", exit: sandbox.Exit{Code: 7}},
		"signal":            {script: "kill -TERM $$", exit: sandbox.Exit{Code: -1, Signal: "SIGTERM"}},
		"environment":       {script: "env | sort | grep -v -e ^_= -e ^PWD= -e HOME", out: "A=1\nPATH=/usr/bin:/bin\n"},
		"standard input":    {script: "cat", out: "hello"},
		"background orphan": {script: "sleep 100 & echo out", out: "out\n"},
	} {
		for _, level := range levels {
			t.Run(fmt.Sprintf("%s/%s", level, name), func(t *testing.T) {
				out, exit := runShell(t, level, c.script, func(b *sandbox.Box) {
					b.Env = append(b.Env, "A=1")
					b.Stdin = fileWith(t, "hello")
				})
				if out != c.out {
					t.Errorf("output %q, want %q", out, c.out)
				}
				exit.Wall = 0
				if exit != c.exit {
					t.Errorf("exit %+v, want %+v", exit, c.exit)
				}
			})
		}
	}
}

func TestFullBoxShowsNothingElse(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"root folder":      {"ls /", "bin data dev etc io lib lib64 proc scratch tmp usr workspace"},
		"no host files":    {"ls /root /home /var /workspace/.. 2>/dev/null | grep -c ssh", "0"},
		"one user":         {"cat /etc/passwd /etc/group | wc -l", "2"},
		"name":             {"hostname", "box"},
		"working folder":   {"pwd", "/workspace"},
		"data":             {"cat /data/a.csv", "1,2"},
		"workspace":        {"cat hello.txt", "hello"},
		"helper hidden":    {"ls -d /proc/1 2>/dev/null || echo hidden", "hidden"},
		"only own streams": {"ls /proc/self/fd", "0 1 2 3"},
		"no devices":       {"ls /dev", "fd full null random shm stderr stdin stdout urandom zero"},
		"no interfaces":    {"grep -c -E '^ *(eth|en|wl|docker|veth)' /proc/net/dev", "0"},
		"kernel hidden":    {"cat /proc/cmdline /proc/modules /proc/keys | wc -c", "0"},
		"one file system":  {"echo x >/scratch/a && echo x >/workspace/logs/b && echo x >/dev/shm/c && echo x >/tmp/d && echo ok", "ok"},
		"code read-only":   {"(echo x >hello.txt) 2>/dev/null || echo refused", "refused"},
		"data read-only":   {"(echo x >/data/new) 2>/dev/null || echo refused", "refused"},
		"data not run":     {"/data/run.sh 2>/dev/null || echo refused", "refused"},
		"scratch not run":  {"cp /bin/true /scratch/t && chmod +x /scratch/t; /scratch/t 2>/dev/null || echo refused", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := runShell(t, sandbox.Full, c.script, nil)
			if got := strings.Join(strings.Fields(out), " "); got != c.want {
				t.Errorf("%s: %q, want %q", c.script, got, c.want)
			}
		})
	}
}

func TestConfinedBoxReadsWhatIsShown(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"no host files":  {"ls / /root /etc /home /proc 2>/dev/null; cat /etc/passwd 2>/dev/null", ""},
		"working folder": {"cat hello.txt", "hello"},
		"scratch":        {"echo x >$HOME/a && cat $HOME/a", "x"},
		"writable":       {"echo x >logs/a && cat logs/a", "x"},
		"code read-only": {"(echo x >hello.txt) 2>/dev/null || echo refused", "refused"},
		"no attributes":  {"chmod 777 hello.txt 2>/dev/null || echo refused", "refused"},
		"no signals out": {"kill -0 $PPID 2>/dev/null || echo refused", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := runShell(t, sandbox.Confined, c.script, nil)
			if got := strings.Join(strings.Fields(out), " "); got != c.want {
				t.Errorf("%s: %q, want %q", c.script, got, c.want)
			}
		})
	}
}

func TestAttempts(t *testing.T) {
	for name, a := range attempts {
		for _, level := range levels {
			t.Run(fmt.Sprintf("%s/%s", level, name), func(t *testing.T) {
				want := a.full
				if level == sandbox.Confined && a.confined != "" {
					want = a.confined
				}
				out, exit := runAttempt(t, level, name, nil)
				if a.signal != "" {
					if exit.Signal != a.signal {
						t.Errorf("exit %+v, want %s (%s)", exit, a.signal, out)
					}
				} else if out != want {
					t.Errorf("%q, want %q", out, want)
				}
			})
		}
	}
}

func TestFiles(t *testing.T) {
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			p, _ := startShell(t, level, `cd $IO; echo made >made; ln -s made link; ln made2 x 2>/dev/null
				echo two >two; ln two two-names; mkfifo pipe; mkdir folder; ln -s /etc/passwd outside
				while ! test -e given; do sleep 0.01; done; cat given >copy; echo ready; sleep 100`, func(b *sandbox.Box) {
				b.Env = append(b.Env, "IO=/io")
			})
			f, err := p.Create("given", 5)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("given"), 0); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			waitFor(t, p, "copy", "given")
			waitFor(t, p, "made", "made\n")
			for _, name := range []string{"link", "outside", "two", "pipe", "folder", "absent", "..", ".", "", "/etc/passwd", "../etc/passwd", "a/b", "a\x00b"} {
				if f, err := p.Open(name); err == nil {
					t.Errorf("opened %q", name)
					_ = f.Close()
				}
			}
			for _, name := range []string{"made", "link", "../new", "/io/new", ""} {
				if _, err := p.Create(name, 0); err == nil {
					t.Errorf("created %q", name)
				}
			}
			if err := p.Remove("made"); err != nil {
				t.Error(err)
			}
			if _, err := p.Open("made"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open after remove: %v, want that it does not exist", err)
			}
			if err := p.Remove("folder"); err == nil {
				t.Error("removed a folder")
			}
			p.Kill()
			p.Wait()
			if _, err := p.Open("copy"); !errors.Is(err, io.EOF) {
				t.Errorf("open after the end: %v, want io.EOF", err)
			}
		})
	}
}

func TestPath(t *testing.T) {
	dir := hostDir(t)
	for _, level := range levels {
		var seen map[string]string
		runShell(t, level, "true", func(b *sandbox.Box) { b.HostDir = dir }, func(p *sandbox.Process) {
			seen = map[string]string{"/io/x": p.Path("/io/x"), "/scratch": p.Path("/scratch"), "/usr/bin/sh": p.Path("/usr/bin/sh")}
		})
		want := map[string]string{"/io/x": "/io/x", "/scratch": "/scratch", "/usr/bin/sh": "/usr/bin/sh"}
		if level == sandbox.Confined {
			want = map[string]string{"/io/x": dir + "/io/x", "/scratch": dir + "/scratch", "/usr/bin/sh": "/usr/bin/sh"}
		}
		for box, w := range want {
			if seen[box] != w {
				t.Errorf("%s: path of %s is %s, want %s", level, box, seen[box], w)
			}
		}
	}
}

func TestProbe(t *testing.T) {
	whole := map[string]bool{}
	for _, f := range sandbox.Probe(t.Context()) {
		if f.Whole {
			whole[f.Layer] = f.OK
		}
		if !f.OK && f.Detail == "" {
			t.Errorf("%+v does not say why", f)
		}
	}
	for _, level := range levels {
		if !whole[string(level)] {
			t.Errorf("levels %v, want %s, which works in other tests", whole, level)
		}
	}
}
