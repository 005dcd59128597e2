package taskrunner

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fx/runtime/sandbox"
	"fx/schema"
)

// adapterFiles runs OpenFL's classes by the task protocol; its folder shim stands
// in where the interpreter has no package openfl.
//
//go:embed all:adapter
var adapterFiles embed.FS

const (
	adapterDir   = "/fx/adapter" // in the box
	adapterEntry = adapterDir + "/fx_adapter.py"
)

// pythonEnv makes Python leave no files behind, and the order of its sets the
// same in every run.
var pythonEnv = []string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0"}

func isPython(template string) bool {
	return strings.HasPrefix(template, "src.") || slices.Contains(schema.OpenFLClasses("task_runner"), template)
}

// newPython runs OpenFL's classes: a TaskRunner and a DataLoader in Python, of
// the workspace or of the package openfl.
func newPython(o Options) (Runner, error) {
	if strings.HasPrefix(o.TaskRunner.Template, "src.") {
		if err := checkClass(o.Workspace, "task_runner", o.TaskRunner.Template); err != nil {
			return nil, err
		}
	}
	switch {
	case strings.HasPrefix(o.DataLoader.Template, "src."):
		if err := checkClass(o.Workspace, "data_loader", o.DataLoader.Template); err != nil {
			return nil, err
		}
	case !slices.Contains(schema.OpenFLClasses("data_loader"), o.DataLoader.Template):
		return nil, wrongLoader(o, "a class of the workspace such as src.dataloader.MyLoader")
	}
	return newHosted(o, func(ctx context.Context, h *hosted) (*program, error) {
		python, err := findPython(ctx, h.o.Box.Python)
		if err != nil {
			return nil, err
		}
		adapter, err := writeAdapter(h.base)
		if err != nil {
			return nil, err
		}
		return &program{
			argv: []string{python.exe, "-B", "-u", adapterEntry}, show: python.show, env: pythonEnv,
			trusted: []sandbox.Show{{Host: adapter, Box: adapterDir}},
		}, nil
	})
}

// writeAdapter writes the adapter out and returns its folder.
func writeAdapter(base string) (string, error) {
	dir := filepath.Join(base, "adapter")
	tree, err := fs.Sub(adapterFiles, "adapter")
	if err == nil {
		err = errors.Join(os.RemoveAll(dir), writeTree(tree, dir, ""))
	}
	if err != nil {
		return "", fmt.Errorf("cannot write out the Python adapter: %w", err)
	}
	return dir, nil
}

// checkClass says whether the workspace has the file of a class such as
// src.taskrunner.Mine. The file is not read.
func checkClass(workspace fs.FS, section, template string) error {
	dot := strings.LastIndexByte(template, '.')
	base := strings.ReplaceAll(template[:dot], ".", "/")
	if workspace != nil && fs.ValidPath(base) {
		for _, name := range []string{base + ".py", base + "/__init__.py"} {
			if info, err := fs.Stat(workspace, name); err == nil && info.Mode().IsRegular() {
				return nil
			}
		}
	}
	return invalidf(section, "%q needs the file %s.py, which the workspace does not have", template, base)
}
