package taskrunner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fx/runtime/sandbox"
)

// start makes sure that there is a process.
func (h *hosted) start(ctx context.Context) error {
	if h.session != nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(h.hostDir()), makeFolder(h.hostDir())); err != nil {
		return fmt.Errorf("cannot make the scratch folder of the box: %v", err)
	}
	bounded, cancel := context.WithTimeout(ctx, h.terms.startTimeout)
	defer cancel()
	s, err := startSession(bounded, *h.box, h.log)
	if bounded.Err() != nil && ctx.Err() == nil && err != nil {
		return fmt.Errorf("cannot start the task code: its box was not ready within %v", h.terms.startTimeout)
	}
	if err != nil {
		return err
	}
	h.session = s
	hello := &helloRequest{
		request: s.next(opHello), Protocol: Protocol, Collaborator: h.o.Name,
		Workspace: h.sees(sandbox.WorkspaceDir), Data: h.o.DataText, Scratch: h.sees(sandbox.ScratchDir),
		TaskRunner:   componentOnWire{h.o.TaskRunner.Template, h.runner},
		DataLoader:   componentOnWire{h.o.DataLoader.Template, h.loader},
		OptTreatment: h.o.Opt,
	}
	if h.o.DataPath != "" {
		hello.Data = h.sees(sandbox.DataDir)
	}
	err = s.ask(ctx, h.terms.startTimeout, hello, &s.hello)
	if refused, ok := errors.AsType[*taskError](err); ok {
		err = fmt.Errorf("it could not start: %s", refused.text) // and is of no use
	}
	if err := h.judge(ctx, "", err); err != nil {
		return err
	}
	h.o.Log.Info("task code started", "name", clean(s.hello.Name, maxNameLength), "version", clean(s.hello.Version, maxNameLength), "box", strings.Join(s.box.Layers(), ", "))
	return nil
}

// prepare does what is the same for every start: the workspace and other files
// are written out, and the box is described.
func (h *hosted) prepare(ctx context.Context) error {
	if h.box != nil {
		return nil
	}
	if h.o.Scratch == "" {
		return errors.New("cannot run task code without a scratch folder")
	}
	for _, name := range []*string{&h.o.Scratch, &h.o.DataPath} {
		if *name == "" {
			continue
		}
		abs, err := filepath.Abs(*name)
		if err != nil {
			return fmt.Errorf("cannot run task code: %v", err)
		}
		*name = abs
	}
	if err := h.makeBase(); err != nil {
		return err
	}
	p, err := h.program(ctx, h)
	if err != nil {
		return err
	}
	show := slices.Concat(p.show, h.siteShows())
	if err := keepPrivate(show, h.o.Box.Private); err != nil {
		return err
	}
	for _, dir := range []string{h.workspace(), h.inputs()} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("cannot clean the scratch folder: %v", err)
		}
	}
	writable, err := prepareWorkspace(h.o.Workspace, h.workspace(), p.executable, h.o.Box.Show)
	if err != nil {
		return err
	}
	if err := makeFolder(h.inputs()); err != nil {
		return fmt.Errorf("cannot make the folder for inputs: %v", err)
	}
	if h.log == nil {
		if h.log, err = openTaskLog(filepath.Join(h.o.Scratch, taskLogName), h.o.Log); err != nil {
			return err
		}
	}
	own := []sandbox.Show{{Host: h.workspace(), Box: sandbox.WorkspaceDir}, {Host: h.inputs(), Box: sandbox.InputsDir}}
	h.boxPaths = p.boxPaths
	h.box = &sandbox.Box{
		Level: h.terms.level, Cgroup: h.terms.cgroup, HostDir: h.hostDir(),
		Argv: p.argv, Dir: sandbox.WorkspaceDir, Env: h.terms.environment(sandbox.ScratchDir, p.env...),
		Show: slices.Concat(own, p.trusted, show), Writable: writable, Devices: h.o.Box.Devices,
		Limits: h.terms.limits, User: h.user(),
	}
	return nil
}

// siteShows is what the site shows of the host, beside programs.
func (h *hosted) siteShows() []sandbox.Show {
	show := slices.Clone(h.o.Box.Show)
	if h.o.DataPath != "" {
		show = append(show, sandbox.Show{Host: h.o.DataPath, Box: sandbox.DataDir})
	}
	return show
}

// makeBase finds the folder for what the task code sees of ours. That is scratch;
// but in a confined box, which has no root of its own, the user whom root chose
// for task code cannot enter a folder of root's. Then it is one that this user's
// group may enter, and nobody else.
func (h *hosted) makeBase() error {
	if h.base != "" {
		return nil
	}
	if h.terms.level != sandbox.Confined || os.Geteuid() != 0 {
		h.base = h.o.Scratch
		return nil
	}
	dir, err := os.MkdirTemp("", "fxrun-box-*")
	if err != nil {
		return fmt.Errorf("cannot make a folder for the task code: %v", err)
	}
	if h.base, err = filepath.Abs(dir); err != nil { // TMPDIR may be relative
		return fmt.Errorf("cannot make a folder for the task code: %v", err)
	}
	if err := errors.Join(os.Chown(dir, 0, h.user().GID), os.Chmod(dir, 0o710)); err != nil {
		return fmt.Errorf("cannot make a folder for the task code: %v", err)
	}
	return nil
}

// user is whom the task code becomes where we are root.
func (h *hosted) user() sandbox.User {
	return sandbox.User{UID: cmp.Or(h.o.Box.User.UID, nobody), GID: cmp.Or(h.o.Box.User.GID, nobody)}
}

// Folders for what the task code sees of ours.
func (h *hosted) workspace() string { return filepath.Join(h.base, "workspace") }
func (h *hosted) inputs() string    { return filepath.Join(h.base, "inputs") }
func (h *hosted) hostDir() string   { return filepath.Join(h.base, "box") }

// sees is a path of the box as the program sees it.
func (h *hosted) sees(name string) string {
	if h.boxPaths {
		return name
	}
	return h.session.box.Path(name)
}
