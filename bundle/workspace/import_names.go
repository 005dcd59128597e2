package workspace

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits of a path in an archive.
const (
	maxArchivePath  = 240 // bytes
	maxArchiveDepth = 32
)

// names are the paths of an archive, by what a file system that ignores case
// and Unicode composition takes them for.
type archiveNames map[string]claimed

type claimed struct {
	path   string
	folder bool
}

func newNames() archiveNames { return archiveNames{} }

// claim refuses a path that is unsafe to create, or that is another one's.
func (n archiveNames) claim(name string) error {
	if why := unsafePath(name); why != "" {
		return archiveError(name, "%s", why)
	}
	file, folder := strings.CutSuffix(name, "/")
	key := foldName(file)
	if old, there := n[key]; there && (!folder || old != claimed{file, true}) {
		return archiveError(name, "and %s are the same path on some systems", quoted(old.path))
	}
	n[key] = claimed{file, folder}
	for i := strings.LastIndexByte(file, '/'); i > 0; i = strings.LastIndexByte(file[:i], '/') {
		dir := file[:i]
		key := foldName(dir)
		switch old, there := n[key]; {
		case !there:
			n[key] = claimed{dir, true}
		case old.path != dir || !old.folder:
			return archiveError(name, "and %s are the same path on some systems", quoted(old.path))
		}
	}
	return nil
}

func foldName(p string) string { return cases.Fold().String(norm.NFKC.String(p)) }

// unsafePath says why a path must not be created, "" if it may.
func unsafePath(name string) string {
	file := strings.TrimSuffix(name, "/")
	switch {
	case file == "" || len(file) > maxArchivePath:
		return "has no path of 1 to 240 bytes"
	case !utf8.ValidString(file):
		return "has a path that is not UTF-8"
	case file[0] == '/':
		return "has an absolute path"
	case strings.ContainsRune(file, '\\'):
		return "has a backslash in its path"
	case len(file) > 1 && file[1] == ':':
		return "has a drive letter in its path"
	case strings.ContainsAny(file, `:*?"<>|`):
		return "has a character in its path that Windows does not allow"
	}
	for _, r := range file {
		if !unicode.IsPrint(r) {
			return "has a character in its path that cannot be seen"
		}
	}
	parts := strings.Split(file, "/")
	if len(parts) > maxArchiveDepth {
		return "is more than 32 folders deep"
	}
	for _, part := range parts {
		switch {
		case part == "..":
			return "leaves the workspace"
		case part == "" || part == ".":
			return "has an empty name in its path"
		case strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") || part[0] == ' ':
			return "has a name that begins or ends in a space, or ends in a full stop"
		case deviceName(part):
			return "has the name of a device on Windows"
		}
	}
	return ""
}

// deviceName reports whether Windows would open a device under this name.
func deviceName(part string) bool {
	base, _, _ := strings.Cut(part, ".")
	switch base = strings.ToUpper(strings.TrimRight(base, " ")); base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '0' && base[3] <= '9'
}
