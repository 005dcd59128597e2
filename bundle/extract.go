package bundle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fx/bundle/approval"
	"fx/ca/trust"
)

// Extract does what Check does and writes the bundle's files into a new folder
// dir, which must not exist, in the same pass. The work happens in a folder
// beside dir that is renamed when every byte has proved to be in order and
// removed on any error. Files become 0444 or 0555 and folders 0555, so that
// nothing changes by accident what was reviewed. progress is as of Check.
//
// Nothing is flushed to the disk: after a power failure, extract again.
func (b *Bundle) Extract(ctx context.Context, dir string, progress func(written int64)) (*Checked, error) {
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("cannot extract to %q: it exists", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot extract: %w", err)
	}
	c, err := b.checked()
	if err != nil {
		return nil, err
	}
	dir = filepath.Clean(dir)
	temp := fmt.Sprintf("%s.%s-%s.tmp", dir, b.id.String()[:12], rand.Text()[:8])
	if err := os.Mkdir(temp, 0o700); err != nil {
		return nil, fmt.Errorf("cannot extract: %w", err)
	}
	if err := c.extractTo(ctx, temp, dir, progress); err != nil {
		removeAll(temp)
		return nil, fmt.Errorf("cannot extract to %q: %w", dir, err)
	}
	return c, nil
}

// VerifyAndExtract does what Verify does and, in the same pass over the data
// frames, what Extract does: nothing is written unless the policy said yes.
func (b *Bundle) VerifyAndExtract(ctx context.Context, anchors *trust.Anchors, policy approval.Policy, sidecar *approval.Sidecar, at time.Time,
	dir string, progress func(written int64)) (*Verified, error) {
	return b.verify(anchors, policy, sidecar, at, func() (*Checked, error) { return b.Extract(ctx, dir, progress) })
}

func (c *Checked) extractTo(ctx context.Context, temp, dir string, progress func(int64)) error {
	if err := c.fill(ctx, temp, progress); err != nil {
		return err
	}
	// The name appears only when everything is in place and in order.
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return os.Chmod(dir, 0o555)
}

// fill writes all files below temp.
func (c *Checked) fill(ctx context.Context, temp string, progress func(int64)) (err error) {
	root, err := os.OpenRoot(temp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	x := newExtractor(c.manifest.Files, root)
	if err = errors.Join(c.scan(ctx, progress, x, nil), x.close()); err != nil {
		return err
	}
	return c.tree.sealFolders(root)
}

// sealFolders makes every folder below the top read-only.
func (t *tree) sealFolders(root *os.Root) error {
	for name := range t.dirs {
		if name == "." {
			continue
		}
		if err := root.Chmod(filepath.FromSlash(name), 0o555); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes a half-made extraction, read-only folders included. What it
// cannot remove stays under a name that says it is temporary.
func removeAll(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}
