package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"fx/schema"
)

const ignoreFile = ".fxignore"

// pattern is one line of .fxignore.
type pattern struct {
	text   string
	glob   string
	dir    bool // only folders
	rooted bool // matches the whole path, not just the last name
}

// readIgnore reads .fxignore: one pattern a line as path.Match has them, `#`
// comments, blank lines. A pattern without a slash matches names at any depth;
// one with a slash matches the path from the top; a slash at the end means
// folders only. What a pattern excludes cannot be included again.
func readIgnore(root fs.FS) ([]pattern, error) {
	data, err := readLimited(root, ignoreFile, maxList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var patterns []pattern
	for n, line := range strings.Split(string(data), "\n") {
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		p := pattern{text: text}
		p.glob, p.dir = strings.CutSuffix(text, "/")
		p.rooted = strings.Contains(p.glob, "/")
		p.glob = strings.TrimPrefix(p.glob, "/")
		_, bad := path.Match(p.glob, "x")
		if bad != nil || p.glob == "" || text[0] == '!' || strings.Contains(p.glob, "**") {
			return nil, fmt.Errorf("%w: %s:%d: %q is no pattern (allowed: names and paths with *, ? and [a-z], one a line, nothing included again)",
				schema.ErrInvalid, ignoreFile, n+1, text)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

func (p pattern) matches(name string, dir bool) bool {
	if p.dir && !dir {
		return false
	}
	if !p.rooted {
		name = path.Base(name)
	}
	ok, _ := path.Match(p.glob, name) // the pattern was tried when it was read
	return ok
}

// readLimited reads a regular file of at most limit bytes.
func readLimited(root fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Lstat(root, name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the workspace: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%w: %q is not a regular file of at most %d bytes", schema.ErrInvalid, name, limit)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the workspace: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cannot read the workspace: %w", err)
	}
	return data, nil
}
