package taskrunner

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"fx/runtime/sandbox"
	"fx/schema"
)

var someWorkspace = fstest.MapFS{
	"src/runner.sh":        {Data: []byte("#!/bin/sh\n")},
	"src/windows.sh":       {Data: []byte("#!/bin/sh\r\n")},
	"src/text.sh":          {Data: []byte("echo hello\n"), Mode: 0o755},
	"src/program":          {Data: []byte("\x7fELF...")},
	"src/model.wasm":       {Data: []byte("\x00asm\x01\x00\x00\x00...")},
	"src/old.wasm":         {Data: []byte("\x00asm\x02\x00\x00\x00...")},
	"src/empty.wasm":       {},
	"src/taskrunner.py":    {Data: []byte("class Mine: pass\n")},
	"src/data/__init__.py": {Data: []byte("class Loader: pass\n")},
}

func TestNewOfHostedKinds(t *testing.T) {
	for _, tt := range []struct {
		name, runner, loader string
		settings             m
		want                 string // "" is no error
	}{
		{"script", templateProcess, templateFolder, m{"command": []any{"src/runner.sh", "x"}}, ""},
		{"program", templateProcess, templateFolder, m{"command": []any{"src/program"}}, ""},
		{"of the host", templateProcess, templateFolder, m{"command": []any{"python3", "src/x.py"}, "rate": 0.5}, ""},
		{"no command", templateProcess, templateFolder, nil, "command is missing; a list is needed"},
		{"empty command", templateProcess, templateFolder, m{"command": []any{}}, "command is missing"},
		{"a text", templateProcess, templateFolder, m{"command": "src/runner.sh"}, `command is the text "src/runner.sh"; a list`},
		{"a number", templateProcess, templateFolder, m{"command": []any{"src/runner.sh", 3}}, "command has 3; texts"},
		{"no file", templateProcess, templateFolder, m{"command": []any{"src/other.sh"}}, `the file "src/other.sh", which the workspace does not have`},
		{"a folder", templateProcess, templateFolder, m{"command": []any{"src/data"}}, "which is no file"},
		{"outside", templateProcess, templateFolder, m{"command": []any{"../x.sh"}}, "a path inside of the workspace"},
		{"absolute", templateProcess, templateFolder, m{"command": []any{"/bin/sh"}}, "a path inside of the workspace"},
		{"no shebang", templateProcess, templateFolder, m{"command": []any{"src/text.sh"}}, "neither a Linux program nor a script"},
		{"Windows", templateProcess, templateFolder, m{"command": []any{"src/windows.sh"}}, "carriage return"},
		{"dots", templateProcess, templateFolder, m{"command": []any{".."}}, `command begins with ".."`},
		{"infinite setting", templateProcess, templateFolder, m{"command": []any{"sh"}, "x": inf()}, "task_runner.settings.x: the value is +Inf"},
		{"huge setting", templateProcess, templateFolder, m{"command": []any{"sh"}, "x": strings.Repeat("x", maxLine)}, "at most 1048576 are allowed"},
		{"loader", templateProcess, templateCSVLoader, m{"command": []any{"sh"}}, `allowed: fx.data.Folder`},
		{"template", "fx.process.TaskRuner", templateFolder, m{"command": []any{"sh"}}, `did you mean "fx.process.TaskRunner"`},

		{"module", templateWasm, templateFolder, m{"module": "src/model.wasm", "args": []any{"-v"}}, ""},
		{"no module", templateWasm, templateFolder, nil, "module is empty; the path of a module"},
		{"module outside", templateWasm, templateFolder, m{"module": "../model.wasm"}, "a path inside of the workspace"},
		{"no such module", templateWasm, templateFolder, m{"module": "src/modle.wasm"}, "which the workspace does not have"},
		{"another version", templateWasm, templateFolder, m{"module": "src/old.wasm"}, "begins with the bytes 0061736d02000000"},
		{"empty module", templateWasm, templateFolder, m{"module": "src/empty.wasm"}, "is no WebAssembly module"},
		{"arguments", templateWasm, templateFolder, m{"module": "src/model.wasm", "args": "-v"}, "args is the text"},

		{"Python", "src.taskrunner.Mine", "src.data.Loader", m{"rate": 1.0}, ""},
		{"OpenFL's own loader", "src.taskrunner.Mine", "openfl.federated.data.loader.DataLoader", nil, ""},
		{"no Python file", "src.taskruner.Mine", "src.data.Loader", nil, "needs the file src/taskruner.py"},
		{"no loader's file", "src.taskrunner.Mine", "src.dat.Loader", nil, "data_loader: \"src.dat.Loader\" needs the file src/dat.py"},
		{"loader of another kind", "src.taskrunner.Mine", templateFolder, nil, "does not go with"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Options{Workspace: someWorkspace, TaskRunner: schema.Component{Template: tt.runner, Settings: tt.settings}, DataLoader: schema.Component{Template: tt.loader}})
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.want != "" && (!errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func inf() float64 {
	var zero float64
	return 1 / zero
}

func TestNewChecksHostedTasks(t *testing.T) {
	for _, tt := range []struct {
		kwargs m
		want   string
	}{
		{m{"metrics": []any{"loss", "a b"}, "apply": "local", "epochs": 1}, ""},
		{m{"metrics": nil}, ""},
		{m{"metrics": "loss"}, `metrics is the text "loss"; a list`},
		{m{"metrics": []any{"loss", "loss"}}, `metrics has "loss" twice`},
		{m{"metrics": []any{3}}, "metrics has 3; a name"},
		{m{"metrics": []any{""}}, "a name of at most"},
		{m{"apply": "globl"}, `did you mean "global"`},
		{m{"lr": inf()}, "tasks.train.kwargs.lr: the value is +Inf"},
	} {
		_, err := New(Options{Workspace: someWorkspace, Tasks: []schema.Task{task("train", "train_task", tt.kwargs)},
			TaskRunner: schema.Component{Template: templateProcess, Settings: m{"command": []any{"sh"}}}, DataLoader: schema.Component{Template: templateFolder}})
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: got %v, want %q", tt.kwargs, err, tt.want)
		}
	}
}

func TestAgree(t *testing.T) {
	for _, tt := range []struct {
		name  string
		needs schema.Box
		site  BoxOptions
		want  string // of the error
	}{
		{"nothing", schema.Box{}, BoxOptions{}, ""},
		{"level", schema.Box{Level: "full"}, BoxOptions{Level: sandbox.Confined}, "allow it with --box full"},
		{"lower level", schema.Box{Level: "confined"}, BoxOptions{}, ""},
		{"unknown level", schema.Box{}, BoxOptions{Level: "none"}, `the level of the box is "none"`},
		{"memory", schema.Box{Memory: 4 << 30}, BoxOptions{Limits: sandbox.Limits{Memory: 512 << 20}}, "asks for 4 GiB of memory (box.memory), and this site allows 512 MiB; raise it with --box-memory"},
		{"scratch", schema.Box{Scratch: 2000}, BoxOptions{Limits: sandbox.Limits{Scratch: 1000}}, "asks for 2000 bytes of scratch (box.scratch), and this site allows 1000 bytes; raise it with --box-scratch"},
		{"processes", schema.Box{Processes: 9}, BoxOptions{Limits: sandbox.Limits{Processes: 8}}, "asks for 9 of processes (box.processes), and this site allows 8; raise it with --box-processes"},
		{"open files", schema.Box{OpenFiles: 9}, BoxOptions{Limits: sandbox.Limits{OpenFiles: 8}}, "asks for 9 of open files (box.open_files), and this site allows 8; raise it with --box-open-files"},
		{"cpus", schema.Box{CPUs: 2.5}, BoxOptions{Limits: sandbox.Limits{CPUs: 2}}, "asks for 2.5 of cpus (box.cpus), and this site allows 2; raise it with --box-cpus"},
		{"device", schema.Box{Devices: []string{"/dev/nvidia0"}}, BoxOptions{Devices: []string{"/dev/nvidia1"}}, "allow it with --device /dev/nvidia0"},
		{"device of the site", schema.Box{}, BoxOptions{Devices: []string{"/etc/passwd"}}, "is no device"},
		{"linker", schema.Box{Env: map[string]string{"LD_PRELOAD": "x"}}, BoxOptions{}, "LD_PRELOAD decides which code runs"},
		{"path", schema.Box{}, BoxOptions{Env: []string{"PATH=/x"}}, "PATH decides which code runs"},
		{"no value", schema.Box{}, BoxOptions{Env: []string{"A"}}, "write NAME=VALUE"},
		{"name", schema.Box{}, BoxOptions{Env: []string{"A-B=1"}}, "no name of an environment variable"},
	} {
		_, err := agree(tt.needs, tt.site)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	got, err := agree(
		schema.Box{Memory: 1 << 30, Processes: 7, CPUs: 1.5, TaskTimeout: time.Minute, StartTimeout: time.Hour, Cgroup: true, Env: map[string]string{"A": "plan", "B": "plan"}},
		BoxOptions{Limits: sandbox.Limits{Processes: 9}, TaskTimeout: time.Hour, StartTimeout: time.Second, Env: []string{"B=site", "C=="}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (sandbox.Limits{Memory: 1 << 30, Processes: 9, CPUs: 1.5}); got.limits != want || !got.cgroup || got.level != sandbox.Full || got.taskTimeout != time.Minute || got.startTimeout != time.Second {
		t.Errorf("got %+v", got)
	}
	want := []string{"PATH=/usr/bin:/bin", "HOME=/scratch", "TMPDIR=/scratch", "X=1", "LANG=C.UTF-8", "A=plan", "B=site", "C=="}
	if env := got.environment("/scratch", "X=1"); !slices.Equal(env, want) {
		t.Errorf("environment %q, want %q", env, want)
	}
}

func TestPrepareWorkspace(t *testing.T) {
	tree := fstest.MapFS{"src/a.sh": {Data: []byte("a")}, "src/b": {Data: []byte("b"), Mode: 0o755}, "src/c": {Data: []byte("c")}, "save/init.pbuf": {}}
	host := t.TempDir()
	file := filepath.Join(host, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "workspace")
	writable, err := prepareWorkspace(tree, dir, "src/a.sh", []sandbox.Show{
		{Host: host, Box: "/workspace/data/images"}, {Host: file, Box: "/workspace/file"}, {Host: host, Box: "/workspaces"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/workspace/logs", "/workspace/local_state"}; !slices.Equal(writable, want) {
		t.Errorf("writable %q, want %q", writable, want)
	}
	for name, mode := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o755, "src": fs.ModeDir | 0o755, "src/a.sh": 0o555, "src/b": 0o555, "src/c": 0o444,
		"data/images": fs.ModeDir | 0o755, "file": 0o444, "logs": fs.ModeDir | 0o755, "save/init.pbuf": 0o444,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: got %v, %v, want %v", name, info, err, mode)
		}
	}
	for _, box := range []string{"/workspace", "/workspace/src", "/workspace/src/c", "/workspace/save/init.pbuf/x", "/workspace/../etc"} {
		_, err := prepareWorkspace(tree, filepath.Join(t.TempDir(), "w"), "", []sandbox.Show{{Host: host, Box: box}})
		if hides := !strings.Contains(box, ".."); hides != (err != nil) {
			t.Errorf("show at %s: got %v", box, err)
		}
	}
	link := fstest.MapFS{"src/link": {Mode: fs.ModeSymlink, Data: []byte("/etc/passwd")}}
	if _, err := prepareWorkspace(link, filepath.Join(t.TempDir(), "w"), "", nil); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a link: got %v", err)
	}
}

func TestKeepPrivate(t *testing.T) {
	dir := t.TempDir()
	cert, data, link := filepath.Join(dir, "site", "cert"), filepath.Join(dir, "data"), filepath.Join(dir, "link")
	if err := errors.Join(os.MkdirAll(filepath.Join(cert, "client"), 0o755), os.Mkdir(data, 0o755), os.Symlink(cert, link)); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		data: true, filepath.Join(dir, "absent"): true, filepath.Join(dir, "site", "certs"): true,
		cert: false, filepath.Dir(cert): false, filepath.Join(cert, "client"): false, link: false, dir: false, "/": false,
	} {
		err := keepPrivate([]sandbox.Show{{Host: host, Box: "/data"}}, []string{cert, filepath.Join(dir, "nothing")})
		if (err == nil) != want {
			t.Errorf("show %s: got %v", host, err)
		}
	}
}

// The box of the Python kind, without running it.
func TestAdapterIsWritten(t *testing.T) {
	dir, err := writeAdapter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if head := read(t, filepath.Join(dir, filepath.Base(adapterEntry))); !bytes.Contains(head, []byte(Protocol)) {
		t.Errorf("the adapter does not speak %s", Protocol)
	}
	err = fs.WalkDir(adapterFiles, "adapter", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(name, ".py") {
			t.Errorf("the program carries %s", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
