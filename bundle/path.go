package bundle

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits of a path inside a bundle.
const (
	maxPath      = 240 // bytes
	maxComponent = 200 // bytes
	maxDepth     = 32  // components
	maxFiles     = 100_000
)

// pathPunctuation is every allowed rune that is no letter, mark or digit. It
// leaves out what a shell, Windows or a JSON string would treat as special.
const pathPunctuation = "._-+@=,~()[]{}#%&!$^' "

// CheckPath says whether path may be a file's path in a bundle: relative,
// slash-separated, NFC, within the limits, made of letters, marks, digits and
// plain punctuation, and safe to create on Linux, macOS and Windows. Errors
// wrap schema.ErrInvalid.
func CheckPath(path string) error {
	switch {
	case path == "" || len(path) > maxPath:
		return fault(CausePathLength, "path %s has %d bytes, allowed are 1 to %d", clip(path), len(path), maxPath)
	case !utf8.ValidString(path):
		return fault(CausePathUTF8, "path %q is not UTF-8", path)
	case !norm.NFC.IsNormalString(path):
		return fault(CausePathNormal, "path %+q is not in Unicode normal form C; rename the file to %+q", path, norm.NFC.String(path))
	}
	for _, r := range path {
		if r != '/' && !pathRune(r) {
			return fault(CausePathRune, "path %+q contains %+q; allowed are letters, marks, digits, space and %s", path, r, pathPunctuation)
		}
	}
	parts := strings.Split(path, "/")
	if len(parts) > maxDepth {
		return fault(CausePathDepth, "path %q has %d components, allowed are %d", path, len(parts), maxDepth)
	}
	for _, c := range parts {
		if cause, why := badComponent(c); why != "" {
			return fault(cause, "path %q: component %q %s", path, c, why)
		}
	}
	if foldPath(parts[0]) == ".fxb" {
		return fault(CausePathReserved, "path %q: the folder %q belongs to the format", path, ".fxb")
	}
	return nil
}

func pathRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(pathPunctuation, r)
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r))
}

// badComponent returns what is wrong with one component of a path, or "".
func badComponent(c string) (Cause, string) {
	switch {
	case c == "":
		return CausePathEmpty, "is empty"
	case c == "." || c == "..":
		return CausePathDots, "is not a name"
	case len(c) > maxComponent:
		return CausePathComponent, "is longer than 200 bytes"
	case c[0] == ' ':
		return CausePathComponent, "begins with a space"
	case c[len(c)-1] == ' ' || c[len(c)-1] == '.':
		return CausePathComponent, "ends in a space or a full stop"
	case windowsDevice(c):
		return CausePathDevice, "is a device name on Windows"
	}
	return "", ""
}

// windowsDevice reports whether Windows would open a device under this name,
// with any extension and in any case.
func windowsDevice(c string) bool {
	base, _, _ := strings.Cut(c, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '0' && base[3] <= '9'
}

// foldPath maps all spellings that some file system treats as one to one string.
func foldPath(p string) string { return cases.Fold().String(norm.NFKC.String(p)) }

// checkPaths applies CheckPath to every file and refuses two paths, or a path
// and a folder, that a case-insensitive or normalising file system would merge.
func checkPaths(files []File) error {
	if len(files) > maxFiles {
		return fault(CausePathCount, "%d files, allowed are %d", len(files), maxFiles)
	}
	type entry struct {
		path string
		dir  bool
	}
	byFold := make(map[string]entry, len(files))
	dirs := make(map[string]bool)
	claim := func(e entry) error {
		key := foldPath(e.path)
		if old, ok := byFold[key]; ok {
			return fault(CausePathClash, "paths %+q and %+q cannot exist side by side on every file system", old.path, e.path)
		}
		byFold[key] = e
		return nil
	}
	for _, f := range files {
		if err := CheckPath(f.Path); err != nil {
			return err
		}
		if err := claim(entry{f.Path, false}); err != nil {
			return err
		}
		for dir := parent(f.Path); dir != "" && !dirs[dir]; dir = parent(dir) {
			dirs[dir] = true
			if err := claim(entry{dir, true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// parent returns the folder part of a path, "" at the top.
func parent(p string) string {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return ""
	}
	return p[:i]
}
