//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// How often to look at what a confined box has written. What it can write
// meanwhile is not bounded, so no tree of its making may make us slow: not many
// files, which are counted, and not deep folders, in which every step is longer.
const (
	quotaPause    = 100 * time.Millisecond // at least
	quotaMaxPause = time.Second            // at most, where looking takes long
	quotaDepth    = 128                    // folders in one another
)

// watch ends a confined box that has written more than its limit: it writes to a
// file system of the host, which has no limit for it.
func (p *Process) watch() {
	pause := time.NewTimer(quotaPause)
	defer pause.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-pause.C:
		}
		start := time.Now()
		if p.overQuota() {
			p.mu.Lock()
			p.full = true
			p.mu.Unlock()
			p.Kill()
			return
		}
		pause.Reset(min(max(quotaPause, 10*time.Since(start)), quotaMaxPause))
	}
}

// overQuota adds up what is in the box's folders.
func (p *Process) overQuota() bool {
	bytes, files := p.box.Limits.Scratch, nodes(p.box.Limits.Scratch)
	for _, dir := range append([]string{IODir, ScratchDir}, p.box.Writable...) {
		if !spend(p.Path(dir), &bytes, &files) {
			return true
		}
	}
	return false
}

var errSpent = errors.New("the limit is reached")

// spend takes what a folder holds from what is left. Task code changes the
// folder meanwhile: what has gone is not counted, and what cannot be read might
// hold anything.
func spend(dir string, bytes, files *int64) bool {
	root, err := os.OpenRoot(dir) // no link leads out of it
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer func() { _ = root.Close() }() // read only
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || strings.Count(name, "/") >= quotaDepth {
			return errSpent
		}
		if err != nil {
			return nil //nolint:nilerr // it has gone, or has become something else
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				*bytes -= st.Blocks * 512 // the unit of st_blocks
			}
		}
		if *files--; *bytes < 0 || *files < 0 {
			return errSpent
		}
		return nil
	})
	return !errors.Is(err, errSpent)
}
