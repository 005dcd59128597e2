//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// confinedDirs are the folders of the box that a confined one has in HostDir.
var confinedDirs = []struct{ box, below string }{
	{IODir, "/io"},
	{ScratchDir, "/scratch"},
	{"/tmp", "/scratch"},
}

// translate gives the place of a path of the box: by the innermost place that
// holds it.
func translate(places []place, p string) string {
	clean := path.Clean(p)
	best, found := place{}, false
	for _, at := range places {
		if within(clean, at.Box) && (!found || len(at.Box) > len(best.Box)) {
			best, found = at, true
		}
	}
	if !found {
		return p
	}
	return best.Host + strings.TrimPrefix(clean, best.Box)
}

// translateLists translates every text that is a path of the box or a list of
// such with colons, and every such value of NAME=VALUE.
func translateLists(places []place, texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		name, value, isVariable := strings.Cut(text, "=")
		if !isVariable || strings.Contains(name, "/") {
			name, value = "", text
		} else {
			name += "="
		}
		list := strings.Split(value, ":")
		for j, item := range list {
			if path.IsAbs(item) {
				list[j] = translate(places, item)
			}
		}
		out[i] = name + strings.Join(list, ":")
	}
	return out
}

// adopt makes all orphans of the box children of this process, and opens the
// kernel's lists of its children while /proc can be opened: they are kept by
// thread, and there are children of the thread that starts the program and, once
// they are orphans, of the first.
func (h *inside) adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot adopt the program's orphans: %v", err)
	}
	for i, thread := range []int{unix.Getpid(), unix.Gettid()} {
		fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/children", thread), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil && h.spec.abi() < scopeABI { // else killAll can do without
			return &MissingError{Layer: "the kernel's lists of children", Why: err.Error(), Fix: "use a kernel with CONFIG_PROC_CHILDREN"}
		}
		h.children[i] = fd
	}
	return nil
}

// killAll ends everything in a confined box. It runs on the thread that started
// the program and shares its Landlock domain: where that keeps signals in, one
// call reaches all in the box and nobody else. Otherwise children are killed
// until there are none; their children become ours.
func (h *inside) killAll() {
	for {
		if h.spec.scoped {
			_ = unix.Kill(-1, unix.SIGKILL) // there may be none
		}
		for _, pid := range h.listChildren() {
			_ = unix.Kill(pid, unix.SIGKILL) // it is ours until it has been waited for
		}
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); errors.Is(err, unix.ECHILD) {
			return
		}
		time.Sleep(time.Millisecond) // until they are gone, and orphans have come to us
	}
}

// listChildren reads the lists of children.
func (h *inside) listChildren() []int {
	var all []int
	for _, fd := range h.children {
		buf := make([]byte, 1<<16) // more follow in the next pass
		n, err := unix.Pread(fd, buf, 0)
		if err != nil {
			continue
		}
		for _, word := range bytes.Fields(buf[:n]) {
			if pid, err := strconv.Atoi(string(word)); err == nil && pid > 1 {
				all = append(all, pid)
			}
		}
	}
	return all
}
