// Package workspace knows workspace folders: what a template puts into one, and
// what of one may travel in a bundle.
package workspace

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"fx/schema"
)

// Limits of a workspace that is packed.
const (
	maxEntries = 200_000 // files and folders looked at
	maxList    = 1 << 20 // bytes of plan/data.yaml and of .fxignore
)

// PackOptions say what belongs to one workspace in particular.
type PackOptions struct {
	// Models are the paths below save/ that belong into the bundle: the initial
	// model that the plan names. Everything else in save/ came out of training,
	// and leaves nobody's site in a bundle.
	Models []string
}

// Excluded is a file or folder that Pack leaves out.
type Excluded struct {
	Path   string `json:"path"` // a folder ends in a slash
	Reason string `json:"reason"`
}

// Pack returns the part of a workspace that may travel in a bundle, and what it
// left out, in path order: certificates, data, logs, state, caches, results of
// training and what .fxignore lists. Everything else is in: plan, src,
// requirements.txt, .workspace, the initial model, any other regular file.
//
// It refuses private keys wherever they are, symbolic links and special files,
// each by name, in one error that wraps schema.ErrInvalid. root is not followed
// outside itself if it comes from os.Root; links are refused in any case.
func Pack(root fs.FS, o PackOptions) (fs.FS, []Excluded, error) {
	ignore, err := readIgnore(root)
	if err != nil {
		return nil, nil, err
	}
	p := &packing{root: root, o: o, ignore: ignore, seen: map[string]bool{}}
	if err := fs.WalkDir(root, ".", p.visit); err != nil {
		return nil, nil, err
	}
	whys, err := privateKeys(root, p.files)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the workspace: %w", err)
	}
	for i, why := range whys {
		if why != "" {
			p.refuse(p.files[i].path, why)
		}
	}
	if slices.Sort(p.refused); len(p.refused) > 0 {
		return nil, nil, fmt.Errorf("%w: cannot pack the workspace:\n  %s", schema.ErrInvalid, strings.Join(p.refused, "\n  "))
	}
	if len(p.files) == 0 {
		return nil, nil, fmt.Errorf("%w: cannot pack the workspace: it holds no files that belong into a bundle", schema.ErrInvalid)
	}
	return newSelection(root, p.files), p.excluded, nil
}

type packing struct {
	root     fs.FS
	o        PackOptions
	ignore   []pattern
	seen     map[string]bool
	files    []named
	excluded []Excluded
	refused  []string
}

// visit decides about one entry of the walk.
func (p *packing) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return fmt.Errorf("cannot read the workspace: %w", err)
	}
	if name == "." {
		return nil
	}
	if p.seen[name] = true; len(p.seen) > maxEntries {
		return fmt.Errorf("%w: the workspace has more than %d entries; list what does not belong to it in .fxignore", schema.ErrInvalid, maxEntries)
	}
	why, err := p.exclude(name, d)
	if err != nil {
		return err
	}
	if why != "" {
		if d.IsDir() {
			p.excluded = append(p.excluded, Excluded{name + "/", why})
			return fs.SkipDir
		}
		p.excluded = append(p.excluded, Excluded{name, why})
		return nil
	}
	if d.IsDir() {
		return nil
	}
	if !d.Type().IsRegular() {
		p.refuse(name, "is a symbolic link or a special file; a bundle holds regular files only")
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return fmt.Errorf("cannot read the workspace: %w", err)
	}
	p.files = append(p.files, named{info, name})
	return nil
}

func (p *packing) refuse(name, why string) {
	if len(p.refused) < 100 {
		p.refused = append(p.refused, fmt.Sprintf("%q %s", name, why))
	}
}

// exclude says why an entry does not belong into a bundle, "" if it does.
func (p *packing) exclude(name string, d fs.DirEntry) (string, error) {
	base, top := path.Base(name), !strings.Contains(name, "/")
	if why := neverAnywhere[strings.ToLower(base)]; why != "" {
		return why, nil
	}
	if why := neverSuffix[strings.ToLower(path.Ext(base))]; why != "" && !d.IsDir() {
		return why, nil
	}
	if strings.HasSuffix(strings.ToLower(base), ".sigs.jsonl") {
		return isBundle, nil
	}
	if why := neverAtTop[strings.ToLower(base)]; top && why != "" && d.IsDir() {
		return why, nil
	}
	if strings.HasPrefix(name, "save/") && !p.wanted(name, d.IsDir()) {
		return "not the initial model that the plan names", nil
	}
	if name == schemaFile {
		return "for editors; fxctl plan schema prints it", nil
	}
	for _, i := range p.ignore {
		if i.matches(name, d.IsDir()) {
			return "listed in .fxignore: " + i.text, nil
		}
	}
	if name == "plan/data.yaml" && d.Type().IsRegular() {
		return sitePaths(p.root, name)
	}
	return "", nil
}

// wanted reports whether a path below save/ is one of the models, or a folder
// on the way to one.
func (p *packing) wanted(name string, dir bool) bool {
	for _, m := range p.o.Models {
		if name == m || dir && strings.HasPrefix(m, name+"/") {
			return true
		}
	}
	return false
}

// sitePaths says why plan/data.yaml stays behind: OpenFL packs it, but a path
// on somebody's disk is true at one site only, makes bundles differ from machine
// to machine, and tells every site about the others. Relative paths and shard
// numbers, as templates have them, are part of the workspace and travel.
func sitePaths(root fs.FS, name string) (string, error) {
	data, err := readLimited(root, name, maxList)
	if err != nil {
		return "", err
	}
	entries, err := schema.ParseData(name, data)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if ofOneSite(e.Path) {
			return fmt.Sprintf("the path of %q is one of a site's own disk; sites give theirs with --data", e.Name), nil
		}
	}
	return "", nil
}

// named is a file's information under its whole path.
type named struct {
	fs.FileInfo
	path string
}

func (n named) Name() string { return path.Base(n.path) }

// selection is the part of a tree that was chosen.
type selection struct {
	root  fs.FS
	files map[string]bool
	dirs  map[string][]fs.DirEntry
}

func newSelection(root fs.FS, files []named) *selection {
	s := &selection{root: root, files: map[string]bool{}, dirs: map[string][]fs.DirEntry{".": nil}}
	for _, n := range files {
		s.files[n.path] = true
		s.add(n.path, fs.FileInfoToDirEntry(n))
	}
	for _, entries := range s.dirs {
		sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	}
	return s
}

func (s *selection) add(name string, e fs.DirEntry) {
	dir := path.Dir(name)
	_, known := s.dirs[dir]
	s.dirs[dir] = append(s.dirs[dir], e)
	if !known {
		s.add(dir, fs.FileInfoToDirEntry(folder{name: path.Base(dir)}))
	}
}

// Open opens a chosen file, or a folder that shows what was chosen.
func (s *selection) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if entries, ok := s.dirs[name]; ok {
		return &openFolder{folder: folder{name: path.Base(name)}, entries: entries}, nil
	}
	if !s.files[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return s.root.Open(name)
}

// folder describes a folder of a selection.
type folder struct{ name string }

func (f folder) Name() string       { return f.name }
func (f folder) Size() int64        { return 0 }
func (f folder) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (f folder) ModTime() time.Time { return time.Time{} }
func (f folder) IsDir() bool        { return true }
func (f folder) Sys() any           { return nil }
