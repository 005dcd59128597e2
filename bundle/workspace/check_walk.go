package workspace

import (
	"io/fs"
	"path"
	"strings"
)

// certificateSuffix are the extensions of what a certificate authority makes.
var certificateSuffix = map[string]bool{
	".crt": true, ".cer": true, ".csr": true, ".pem": true, ".srl": true, ".p12": true, ".pfx": true, ".jks": true, ".key": true,
}

const keyHint = "keep keys in a folder outside the workspace, and make a new one if this folder was ever shared"

// walk looks at every file: what must not be there, what a bundle could not
// hold, and Python that is none. Data, logs and the state of runs are not looked
// at, nor is what .fxignore lists.
func (f *Folder) walk(portable func(string) error) {
	ignore, err := readIgnore(f.root)
	if err != nil {
		f.add(f.in(ignoreFile, "syntax", 0, 0, "%s", cause(err)))
	}
	entries := 0
	err = fs.WalkDir(f.root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			f.add(f.in(name, "unreadable", 0, 0, "%s", cause(err)))
			return nil
		}
		if entries++; entries > maxEntries {
			return fs.ErrInvalid
		}
		if name == "." {
			return nil
		}
		for _, i := range ignore {
			if i.matches(name, d.IsDir()) {
				return skip(d)
			}
		}
		return f.visit(name, d, portable)
	})
	if err != nil {
		finding := f.in(".", "too-large", 0, 0, "the workspace has more than %d files and folders", maxEntries)
		finding.Hint = "list what does not belong to it in .fxignore"
		f.add(finding)
	}
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// visit looks at one entry.
func (f *Folder) visit(name string, d fs.DirEntry, portable func(string) error) error {
	lower, suffix := strings.ToLower(path.Base(name)), strings.ToLower(path.Ext(name))
	why := neverAnywhere[lower]
	if why == "" && !d.IsDir() {
		why = neverSuffix[suffix]
	}
	top := neverAtTop[lower]
	secrets := strings.HasPrefix(name, "cert/") || strings.HasPrefix(name, "ca/")
	switch {
	case why == isCache || why == isSecret:
		finding := f.in(name, "leftover", 0, 0, "this does not belong into a workspace: %s", why)
		finding.Hint = "delete it; it is never packed"
		f.warn(finding)
		return skip(d)
	case why != "":
		return skip(d)
	case d.IsDir() && top != "" && name == path.Base(name) && lower != "cert" && lower != "ca":
		return fs.SkipDir
	case d.IsDir():
		return nil
	case secrets:
		f.key(name, true)
		return nil
	case !d.Type().IsRegular():
		finding := f.in(name, "link", 0, 0, "this is a symbolic link or a special file; a bundle holds regular files only")
		finding.Hint = "put the file itself here"
		f.add(finding)
		return nil
	}
	switch found := f.key(name, false); {
	case found:
	case certificateSuffix[suffix]:
		finding := f.in(name, "leftover", 0, 0, "this does not belong into a workspace: it looks like a certificate")
		finding.Hint = "keep certificates in a folder outside the workspace"
		f.warn(finding)
	case suffix == ".py":
		f.python(name)
	}
	if strings.HasPrefix(name, "save/") { // only the initial model is packed, and model has looked at it
		return nil
	}
	if err := portable(name); err != nil {
		f.add(f.in(name, "path", 0, 0, "a bundle cannot hold this file: %s", cause(err)))
	}
	return nil
}

// key looks for a private key. Where it is never packed it is a warning.
func (f *Folder) key(name string, never bool) bool {
	if info, err := fs.Lstat(f.root, name); err != nil || !info.Mode().IsRegular() {
		return false
	}
	why, err := privateKey(f.root, name)
	switch {
	case err != nil:
		f.add(f.in(name, "unreadable", 0, 0, "%s", cause(err)))
		return true
	case why == "":
		return false
	}
	finding := f.in(name, "private-key", 0, 0, "the file %s", why)
	finding.Hint = keyHint
	if never {
		f.warn(finding)
	} else {
		f.add(finding)
	}
	return true
}

// python says where a file stops being Python.
func (f *Folder) python(name string) {
	data, err := readLimited(f.root, name, maxPython)
	if err != nil {
		f.add(f.in(name, "unreadable", 0, 0, "%s", cause(err)))
		return
	}
	if _, problem := tokenizePython(data); problem != nil {
		f.add(f.in(name, "python", problem.line, problem.column, "this is not Python: %s", problem.message))
	}
}

// readDir lists a folder, nothing if there is none.
func readDir(root fs.FS, dir string) []fs.DirEntry {
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return nil
	}
	return entries
}
