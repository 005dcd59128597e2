package taskrunner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"fx/runtime/sandbox"
	"fx/schema"
)

const (
	templateProcess = "fx.process.TaskRunner"
	templateFolder  = "fx.data.Folder"
)

// maxCommand bounds a command of the plan.
const (
	maxCommand     = 1000  // arguments
	maxCommandText = 64000 // bytes of all of them
)

// newProcess runs a program of the workspace, or of the host's /usr/bin and
// /bin, that speaks the task protocol.
func newProcess(o Options) (Runner, error) {
	if err := hostedTemplate(o, templateProcess); err != nil {
		return nil, err
	}
	command, err := words(o.TaskRunner.Settings, "command")
	if err != nil {
		return nil, err
	}
	if len(command) == 0 {
		return nil, invalidf("task_runner", "command is missing; a list is needed, such as [src/runner.sh] or [python3, src/runner.py]")
	}
	first := command[0]
	if strings.Contains(first, "/") {
		if err := checkExecutable(o.Workspace, first); err != nil {
			return nil, err
		}
	} else if first == "" || first == "." || first == ".." {
		return nil, invalidf("task_runner", "command begins with %q; a file of the workspace such as src/runner.sh was expected, or the name of a program in /usr/bin", first)
	}
	return newHosted(o, func(ctx context.Context, h *hosted) (*program, error) {
		if strings.Contains(first, "/") {
			return &program{
				argv: append([]string{path.Join(sandbox.WorkspaceDir, first)}, command[1:]...),
				show: systemShows(), executable: path.Clean(first),
			}, nil
		}
		return hostProgram(ctx, h, command)
	})
}

// hostedTemplate checks that the plan's classes are those of a hosted kind.
func hostedTemplate(o Options, runner string) error {
	if o.TaskRunner.Template != runner {
		return unknownRunner(o)
	}
	if o.DataLoader.Template != templateFolder {
		return wrongLoader(o, templateFolder)
	}
	return nil
}

// words reads a list of texts out of the task runner's settings; nil if it is not
// there.
func words(m map[string]any, key string) ([]string, error) {
	v, there := m[key]
	if !there || v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > maxCommand {
		return nil, invalidf("task_runner", "%s is %s; a list of at most %d texts was expected", key, show(v), maxCommand)
	}
	var out []string
	total := 0
	for _, item := range list {
		word, ok := item.(string)
		if total += len(word); !ok || strings.ContainsRune(word, 0) || total > maxCommandText {
			return nil, invalidf("task_runner", "%s has %s; texts without zero bytes were expected, of at most %d bytes together", key, show(item), maxCommandText)
		}
		out = append(out, word)
	}
	return out, nil
}

// checkExecutable says whether the kernel can execute a file of the workspace.
// Its mode does not matter: a workspace may come from a system that has none.
func checkExecutable(workspace fs.FS, name string) error {
	head, err := fileHead(workspace, "command", name, 256)
	switch {
	case err != nil:
		return err
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return nil
	case !bytes.HasPrefix(head, []byte("#!")):
		return invalidf("task_runner", "the command %q is neither a Linux program nor a script that begins with a line such as #!/bin/sh", name)
	}
	if line, _, _ := bytes.Cut(head, []byte("\n")); bytes.HasSuffix(line, []byte("\r")) {
		return invalidf("task_runner", "the first line of the command %q ends in a carriage return, as Windows writes it; save the file with Unix line ends", name)
	}
	return nil
}

// fileHead reads the beginning of a file of the workspace that a setting names.
func fileHead(workspace fs.FS, setting, name string, n int64) ([]byte, error) {
	if !fs.ValidPath(name) || workspace == nil {
		return nil, invalidf("task_runner", "%s is %q; a path inside of the workspace was expected, such as src/runner.sh", setting, name)
	}
	f, err := workspace.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, invalidf("task_runner", "%s names the file %q, which the workspace does not have", setting, name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %q of the workspace: %v", name, err)
	}
	defer func() { _ = f.Close() }() // read only
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, invalidf("task_runner", "%s names %q, which is no file", setting, name)
	}
	head, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		return nil, fmt.Errorf("cannot read %q of the workspace: %v", name, err)
	}
	return head, nil
}

// systemShows is what programs of the host need of it.
func systemShows() []sandbox.Show {
	var out []sandbox.Show
	for _, name := range []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
		"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
	} {
		out = append(out, sandbox.Show{Host: name, Box: name, Optional: true})
	}
	return out
}

// hostProgram is a command whose program is the host's. Python is the site's
// choice, like that of Python task code, if it made one.
func hostProgram(ctx context.Context, h *hosted, command []string) (*program, error) {
	if h.o.Box.Python != "" && (command[0] == "python3" || command[0] == "python") {
		python, err := findPython(ctx, h.o.Box.Python)
		if err != nil {
			return nil, err
		}
		return &program{argv: append([]string{python.exe}, command[1:]...), show: python.show, env: pythonEnv}, nil
	}
	for _, dir := range []string{"/usr/bin", "/bin"} {
		name := path.Join(dir, command[0])
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return &program{argv: append([]string{name}, command[1:]...), show: systemShows()}, nil
		}
	}
	return nil, fmt.Errorf("the plan's task code needs the program %q, which is not in /usr/bin or /bin here; install it", command[0])
}

// unknownRunner refuses a template that no kind knows.
func unknownRunner(o Options) error {
	allowed := append(runnerNames(), templateProcess, templateWasm)
	hint := ""
	if s := schema.DidYouMean(o.TaskRunner.Template, allowed); s != "" {
		hint = "; " + s
	}
	return invalidf("task_runner", "%q is no task runner that can be run; allowed: %s, and src.… for a class of the workspace%s",
		o.TaskRunner.Template, strings.Join(allowed, ", "), hint)
}
