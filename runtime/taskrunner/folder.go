package taskrunner

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"fx/runtime/sandbox"
)

// Bounds on a workspace that is written out. A bundle's own are narrower.
const (
	maxWorkspaceFiles = 100_000
	maxWorkspaceBytes = 64 << 30
)

// scratchFolders of a workspace are writable for the task code, where the bundle
// has no files in them: OpenFL code expects to write there.
var scratchFolders = []string{"data", "logs", "save", "local_state"}

// writeTree writes a tree of folders and regular files into the new folder dir,
// readable and not writable for everybody. The file executable, if any, can be
// executed whatever its mode in the tree says. A half-written folder stays
// behind: it is scratch.
func writeTree(tree fs.FS, dir, executable string) error {
	files, left := 0, int64(maxWorkspaceBytes)
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return makeFolder(to)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%q is no regular file (%v)", name, info.Mode().Type())
		}
		if files++; files > maxWorkspaceFiles {
			return fmt.Errorf("there are more than %d files", maxWorkspaceFiles)
		}
		if left -= info.Size(); left < 0 {
			return fmt.Errorf("the files have more than %s", size(maxWorkspaceBytes))
		}
		mode := fs.FileMode(0o444)
		if info.Mode()&0o111 != 0 || name == executable {
			mode = 0o555
		}
		return writeFile(tree, name, to, info.Size(), mode)
	})
}

// makeFolder makes a folder that the box's user can enter, whatever the umask.
func makeFolder(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// writeFile copies exactly n bytes.
func writeFile(tree fs.FS, name, to string, n int64, mode fs.FileMode) (err error) {
	in, err := tree.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	written, err := io.Copy(out, io.LimitReader(in, n+1))
	if err != nil {
		return err
	}
	if written != n {
		return fmt.Errorf("%q changed while it was read", name)
	}
	return out.Chmod(mode)
}

// prepareWorkspace writes the workspace out, with a place for everything that is
// to appear inside of it, and returns the folders that are writable.
func prepareWorkspace(tree fs.FS, dir, executable string, show []sandbox.Show) (writable []string, err error) {
	if err := writeTree(tree, dir, executable); err != nil {
		return nil, fmt.Errorf("cannot write out the workspace: %w", err)
	}
	var shown []string
	for _, s := range show {
		below, inside := strings.CutPrefix(path.Clean(s.Box), sandbox.WorkspaceDir)
		if !inside || below != "" && below[0] != '/' {
			continue
		}
		below = strings.TrimPrefix(below, "/")
		if err := makePlace(tree, dir, below, s.Host); err != nil {
			return nil, fmt.Errorf("cannot show %q at %q: %w", s.Host, s.Box, err)
		}
		shown = append(shown, below)
	}
	for _, name := range scratchFolders {
		if slices.ContainsFunc(shown, func(s string) bool { return s == name || strings.HasPrefix(s, name+"/") }) {
			continue
		}
		if entries, err := fs.ReadDir(tree, name); err == nil && len(entries) > 0 {
			continue
		}
		if info, err := fs.Stat(tree, name); err == nil && !info.IsDir() {
			continue
		}
		if err := makeFolder(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("cannot write out the workspace: %w", err)
		}
		writable = append(writable, path.Join(sandbox.WorkspaceDir, name))
	}
	return writable, nil
}

// makePlace makes the empty file or folder of a workspace over which a file or
// folder of the host will appear. It must not hide what the bundle has there.
func makePlace(tree fs.FS, dir, name, host string) error {
	if name == "" || !fs.ValidPath(name) {
		return errors.New("it would hide the approved workspace")
	}
	if entries, err := fs.ReadDir(tree, name); err == nil && len(entries) > 0 {
		return errors.New("it would hide files of the approved workspace")
	}
	if info, err := fs.Stat(tree, name); err == nil && !info.IsDir() {
		return errors.New("it would hide a file of the approved workspace")
	}
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		at := filepath.Join(dir, filepath.FromSlash(strings.Join(parts[:i+1], "/")))
		if i == len(parts)-1 && !info.IsDir() {
			return os.WriteFile(at, nil, 0o444)
		}
		if err := makeFolder(at); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// keepPrivate refuses to show anything that holds, or lies in, a file or folder
// that task code must never see.
func keepPrivate(show []sandbox.Show, private []string) error {
	for _, s := range show {
		host, err := resolve(s.Host)
		if errors.Is(err, fs.ErrNotExist) {
			continue // where it must be there, the box says so
		}
		if err != nil {
			return err
		}
		for _, p := range private {
			hidden, err := resolve(p)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				continue // what we cannot reach, the box cannot
			}
			if err != nil {
				return err
			}
			if within(hidden, host) || within(host, hidden) {
				return fmt.Errorf("task code cannot be shown %q: %q has keys or state of this site; keep them in folders apart", s.Host, p)
			}
		}
	}
	return nil
}

// resolve gives the absolute path of what a path names.
func resolve(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// within says whether name is dir or lies in it.
func within(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == filepath.Separator || dir == string(filepath.Separator))
}
