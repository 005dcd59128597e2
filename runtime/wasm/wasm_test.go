package wasm_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fx/runtime/wasm"
)

// outside is a folder with a file that no module may see, beside the folders that
// it is given.
func outside(t *testing.T) (dir string, mounts []wasm.Mount) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"data", "data/sub", "io"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "secret", "key")
	write(t, dir, "data/rows", "12345678")
	write(t, dir, "data/sub/rows", "9")
	return dir, []wasm.Mount{
		{Host: filepath.Join(dir, "data"), Guest: "/data"},
		{Host: filepath.Join(dir, "io"), Guest: "/io", Write: true},
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestModuleHasWhatItIsGiven(t *testing.T) {
	t.Setenv("SECRET", "of the host")
	_, mounts := outside(t)
	s := start(t, wasm.Config{Args: []string{"one", "two"}, Env: []string{"A=1", "PWD=/data", "E="}, Mounts: mounts})
	s.exchange([]exchange{
		{"arguments", "args", "guest.wasm one two"},
		{"environment", "env", "A=1 PWD=/data E="},
		{"working folder", "pwd", "/data"},
		{"a relative name", "read rows", "12345678"},
		{"a file", "read /data/rows", "12345678"},
		{"a file in a folder", "read /data/sub/rows", "9"},
		{"part of a file", "readat /data/rows 2", "3456"},
		{"past the end", "readat /data/rows 6", "EOF"},
		{"more than there is", "large /data/rows", "8"},
		{"a folder twice", "list /data", "rows"},
		{"what a file is", "stat /data/rows", "---------- 8"},
		{"what a folder is", "lstat /data/sub", "d"},
		{"write", "write /io/out first", "written"},
		{"append", "append /io/out +second", "written"},
		{"read back", "read /io/out", "first+second"},
		{"truncate", "truncate /io/out 5", "truncated"},
		{"what is left", "read /io/out", "first"},
		{"extend", "truncate /io/out 6", "truncated"},
		{"create what exists", "create /io/out", "exists"},
		{"make a folder", "mkdir /io/dir", "made"},
		{"make it again", "mkdir /io/dir", "exists"},
		{"rename", "rename /io/out /io/dir/out", "renamed"},
		{"set times", "chtimes /io/dir/out 1000000000", "changed"},
		{"remove a folder as a file", "unlink /io/dir", "error"},
		{"remove a file as a folder", "rmdir /io/dir/out", "error"},
		{"remove a full folder", "rmdir /io/dir", "error"},
		{"remove a file", "unlink /io/dir/out", "removed"},
		{"remove a folder", "rmdir /io/dir", "removed"},
		{"time of day", "clock", "right"},
		{"sleep", "sleep", "slept"},
	})
	if a, b := s.ask("random"), s.ask("random"); len(a) != 32 || a == b {
		t.Errorf("random numbers are %q and %q", a, b)
	}
}

func TestNothingLeadsOutOfAFolder(t *testing.T) {
	dir, mounts := outside(t)
	data, io := filepath.Join(dir, "data"), filepath.Join(dir, "io")
	link(t, filepath.Join(dir, "secret"), filepath.Join(data, "absolute"))
	link(t, "../secret", filepath.Join(data, "relative"))
	link(t, "..", filepath.Join(data, "up"))
	link(t, "/proc/self/root", filepath.Join(data, "root"))
	link(t, "rows", filepath.Join(data, "within"))
	link(t, "loop", filepath.Join(data, "loop"))
	link(t, filepath.Join(dir, "planted"), filepath.Join(io, "dangling"))
	link(t, "..", filepath.Join(io, "up"))
	link(t, "/dev/zero", filepath.Join(data, "zero"))
	if err := syscall.Mkfifo(filepath.Join(data, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(data, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	s := start(t, wasm.Config{Mounts: mounts})
	s.exchange([]exchange{
		{"parent", "read /data/../secret", "error"},
		{"parent of a folder", "read /data/sub/../../secret", "error"},
		{"absolute name", "read " + filepath.Join(dir, "secret"), "error"},
		{"a file of the host", "read /etc/passwd", "error"},
		{"the host's processes", "read /proc/self/environ", "error"},
		{"the root", "list /", "error"},
		{"absolute link", "read /data/absolute", "error"},
		{"relative link", "read /data/relative", "error"},
		{"link to the parent", "read /data/up/secret", "error"},
		{"link to the parent, list", "list /data/up", "error"},
		{"link to the root", "read /data/root/etc/passwd", "error"},
		{"where a link leads", "stat /data/absolute", "error"},
		{"a link itself", "lstat /data/absolute", "L"},
		{"a link's target", "readlink /data/absolute", "error"},
		{"a link within", "read /data/within", "12345678"},
		{"a link to itself", "read /data/loop", "error"},
		{"a device", "read /data/zero", "error"},
		{"a pipe", "read /data/pipe", "error"},
		{"a socket", "read /data/socket", "error"},
		{"write through a link", "write /io/dangling x", "error"},
		{"write above", "write /io/../planted x", "error"},
		{"write above by a link", "write /io/up/planted x", "error"},
		{"make a folder above", "mkdir /io/up/planted", "error"},
		{"remove above", "unlink /io/up/secret", "error"},
		{"move above", "rename /io/dangling /io/up/planted", "error"},
		{"a symbolic link", "symlink ../secret /io/link", "error"},
		{"a hard link", "link /data/rows /io/link", "error"},
		{"a hard link within", "link /io/dangling /io/link", "error"},
		{"move between folders", "rename /data/rows /io/rows", "error"},
		{"move between folders back", "rename /io/dangling /data/planted", "error"},
		{"write what is read-only", "write /data/rows x", "error"},
		{"create in what is read-only", "create /data/new", "error"},
		{"append to what is read-only", "append /data/rows x", "error"},
		{"truncate what is read-only", "truncate /data/rows 0", "error"},
		{"write to what was opened to read", "writero /data/rows", "error"},
		{"make a folder in what is read-only", "mkdir /data/new", "error"},
		{"remove from what is read-only", "unlink /data/rows", "error"},
		{"remove a folder from what is read-only", "rmdir /data/sub", "error"},
		{"move in what is read-only", "rename /data/rows /data/new", "error"},
		{"set times of what is read-only", "chtimes /data/rows 1", "error"},
		{"a closed descriptor", "closed /data/rows", "error"},
		{"other descriptors", "descriptors", "none"},
		{"connect", "dial 127.0.0.1:1", "error"},
		{"socket functions", "sockets", "none"},
	})
	for _, name := range []string{"planted", "io/link", "io/rows", "data/planted", "data/new"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	for name, want := range map[string]string{"secret": "key", "data/rows": "12345678"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
}

// A Go program in a module has a network of its own in its memory; it never was a
// socket of the host.
func TestListeningStaysInTheModule(t *testing.T) {
	s := start(t, wasm.Config{})
	if got := s.ask("listen"); got != "listening" && !strings.Contains(got, "error") {
		t.Errorf("got %q", got)
	}
	if sockets := openSockets(t); sockets > 0 {
		t.Errorf("the process has %d sockets", sockets)
	}
}

func openSockets(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("open descriptors cannot be listed here: %v", err)
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

func TestMemoryIsLimited(t *testing.T) {
	s := start(t, wasm.Config{Memory: 64 << 20})
	if got := s.ask("grow"); got != "" {
		t.Errorf("the module went on: %q", got)
	}
	if s.code != 2 || s.err != nil || !strings.Contains(s.stderr.String(), "out of memory") {
		t.Errorf("got code %d, %v and %q, want 2 and Go's out of memory", s.code, s.err, s.stderr.String())
	}
}

func TestGoPrograms(t *testing.T) {
	for _, tt := range []struct {
		name, order string
		code        int
		stderr      string
	}{
		{"end of input", "", 0, ""},
		{"panic", "panic", 2, "the guest's own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, wasm.Config{})
			if tt.order == "" {
				_ = s.orders.Close()
				<-s.ended
			} else if got := s.ask(tt.order); got != "" {
				t.Fatalf("the module answered %q", got)
			}
			if s.code != tt.code || s.err != nil || !strings.Contains(s.stderr.String(), tt.stderr) {
				t.Errorf("got %d, %v, %q; want %d and %q", s.code, s.err, s.stderr.String(), tt.code, tt.stderr)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	module := moduleFile(t, program())
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		c    wasm.Config
		want string
	}{
		{"no module", nil, wasm.Config{Module: module + "x"}, "no such file"},
		{"a folder", nil, wasm.Config{Module: filepath.Dir(module)}, "no regular file"},
		{"too little memory", nil, wasm.Config{Module: module, Memory: 65535}, "the least is 65536"},
		{"no folder", nil, wasm.Config{Module: module, Mounts: []wasm.Mount{{Host: module + "x", Guest: "/data"}}}, `as "/data"`},
		{"a file for a folder", nil, wasm.Config{Module: module, Mounts: []wasm.Mount{{Host: module, Guest: "/data"}}}, `as "/data"`},
		{"a relative place", nil, wasm.Config{Module: module, Mounts: []wasm.Mount{{Host: t.TempDir(), Guest: "data"}}}, "an absolute path"},
		{"a folder twice", nil, wasm.Config{Module: module, Mounts: []wasm.Mount{{Host: t.TempDir(), Guest: "/io"}, {Host: t.TempDir(), Guest: "/io"}}}, "twice"},
		{"the root", nil, wasm.Config{Module: module, Mounts: []wasm.Mount{{Host: t.TempDir(), Guest: "/"}}}, "an absolute path"},
		{"a variable without value", nil, wasm.Config{Module: module, Env: []string{"A"}}, "NAME=VALUE"},
		{"too late", cancelled, wasm.Config{Module: module}, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ctx == nil {
				tt.ctx = context.Background()
			}
			if _, err := wasm.Run(tt.ctx, tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
