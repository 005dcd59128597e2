package workspace

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"fx/schema"
)

// Limits of an archive that is imported.
const (
	maxArchive      = 2 << 30 // bytes of the file
	maxDirectory    = 4 << 20 // bytes of its table of contents
	maxArchiveFiles = 10_000
	maxUnpackedFile = 2 << 30 // bytes of one file
	maxUnpacked     = 4 << 30 // bytes of all files
	maxRatio        = 200     // unpacked bytes for a packed one, beyond freeBytes
	freeBytes       = 1 << 20
)

// archive is a zip whose table of contents has been checked: every path is one
// that this and any other system can create, once.
type archive struct {
	files   []archiveFile // sorted by path
	leftOut []Excluded
	prefix  string // of the paths in the archive: "", or a folder and a slash
}

type archiveFile struct {
	path string // in the workspace
	zip  *zip.File
}

// archiveError is about one entry.
func archiveError(name, format string, a ...any) error {
	return fmt.Errorf("%w: entry %s %s", schema.ErrInvalid, quoted(name), fmt.Sprintf(format, a...))
}

// openArchive reads the table of contents and nothing else.
func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	if err := checkDirectory(r, size); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: this is no zip archive: %v", schema.ErrInvalid, err)
	}
	if len(z.File) > maxArchiveFiles {
		return nil, fmt.Errorf("%w: the archive has %d entries; at most %d are allowed", schema.ErrInvalid, len(z.File), maxArchiveFiles)
	}
	a := &archive{prefix: prefixOf(z.File)}
	names, total := newNames(), uint64(0)
	for _, f := range z.File {
		if err := checkEntry(f); err != nil {
			return nil, err
		}
		if err := names.claim(f.Name); err != nil {
			return nil, err
		}
		if total += f.UncompressedSize64; total > maxUnpacked {
			return nil, fmt.Errorf("%w: the archive unpacks to more than %d bytes", schema.ErrInvalid, int64(maxUnpacked))
		}
		if !strings.HasSuffix(f.Name, "/") {
			a.sort(f)
		}
	}
	slices.SortFunc(a.files, func(x, y archiveFile) int { return strings.Compare(x.path, y.path) })
	slices.SortFunc(a.leftOut, func(x, y Excluded) int { return strings.Compare(x.Path, y.Path) })
	a.leftOut = slices.CompactFunc(a.leftOut, func(x, y Excluded) bool { return x.Path == y.Path })
	if !slices.ContainsFunc(a.files, func(f archiveFile) bool { return f.path == planFile }) {
		return nil, fmt.Errorf("%w: the archive is no workspace: it has no %s", schema.ErrInvalid, planFile)
	}
	return a, nil
}

// checkDirectory bounds the table of contents before anything of it is read: it
// must lie directly before the record that ends the archive. That also refuses
// zip64, which only archives beyond our limits need, and archives with something
// before or after them.
func checkDirectory(r io.ReaderAt, size int64) error {
	const recordSize = 22
	if size < recordSize || size > maxArchive {
		return fmt.Errorf("%w: this is no zip archive: it has %d bytes, from %d to %d are allowed", schema.ErrInvalid, size, recordSize, int64(maxArchive))
	}
	tail := make([]byte, min(size, recordSize+1<<16))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return fmt.Errorf("cannot read the archive: %v", err)
	}
	for i := len(tail) - recordSize; i >= 0; i-- {
		record := tail[i:]
		if binary.LittleEndian.Uint32(record) != 0x06054b50 || recordSize+int(binary.LittleEndian.Uint16(record[20:])) != len(record) {
			continue
		}
		length, begin := int64(binary.LittleEndian.Uint32(record[12:])), int64(binary.LittleEndian.Uint32(record[16:]))
		end := size - int64(len(record))
		switch {
		case binary.LittleEndian.Uint16(record[10:]) > maxArchiveFiles || length > maxDirectory:
			return fmt.Errorf("%w: the archive has too many entries; at most %d are allowed", schema.ErrInvalid, maxArchiveFiles)
		case begin+length != end:
			return fmt.Errorf("%w: the archive's table of contents is not at its end", schema.ErrInvalid)
		}
		return nil
	}
	return fmt.Errorf("%w: this is no zip archive: it does not end like one", schema.ErrInvalid)
}

// checkEntry refuses what is neither a plain file nor a folder, and what would
// unpack to too much.
func checkEntry(f *zip.File) error {
	folder := strings.HasSuffix(f.Name, "/")
	switch mode := f.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return archiveError(f.Name, "is a symbolic link; plain files only are imported")
	case mode.Type()&^fs.ModeDir != 0:
		return archiveError(f.Name, "is a device or another special file; plain files only are imported")
	case mode.IsDir() != folder:
		return archiveError(f.Name, "is a folder and a file at once")
	case f.Flags&(1|1<<6|1<<13) != 0:
		return archiveError(f.Name, "is encrypted; export the workspace again")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return archiveError(f.Name, "is packed by method %d; stored and deflated files only are imported", f.Method)
	case folder && f.UncompressedSize64 != 0:
		return archiveError(f.Name, "is a folder with content")
	case f.UncompressedSize64 > maxUnpackedFile:
		return archiveError(f.Name, "unpacks to %d bytes; at most %d are allowed", f.UncompressedSize64, int64(maxUnpackedFile))
	case f.UncompressedSize64 > freeBytes+maxRatio*min(f.CompressedSize64, maxArchive):
		return archiveError(f.Name, "unpacks to %d bytes from %d; no workspace is packed that densely", f.UncompressedSize64, f.CompressedSize64)
	}
	return nil
}

// prefixOf is the folder that holds the plan, where the whole workspace was
// packed as one folder instead of its content.
func prefixOf(files []*zip.File) string {
	prefix := ""
	for i, f := range files {
		top, _, below := strings.Cut(f.Name, "/")
		if !below || i > 0 && top+"/" != prefix {
			return ""
		}
		prefix = top + "/"
	}
	if prefix == "plan/" || prefix == "src/" {
		return ""
	}
	return prefix
}

// sort decides whether a file is imported.
func (a *archive) sort(f *zip.File) {
	name := strings.TrimPrefix(f.Name, a.prefix)
	if top, _, below := strings.Cut(name, "/"); below {
		if why := neverAtTop[strings.ToLower(top)]; why != "" && strings.ToLower(top) != "cert" && strings.ToLower(top) != "ca" {
			a.leftOut = append(a.leftOut, Excluded{top + "/", why})
			return
		}
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		lower, last := strings.ToLower(part), i == len(parts)-1
		why := neverAnywhere[lower]
		if why == "" && last {
			why = neverSuffix[path.Ext(lower)]
		}
		if why == "" && last && strings.HasSuffix(lower, ".sigs.jsonl") {
			why = isBundle
		}
		if why != "" {
			left := strings.Join(parts[:i+1], "/")
			if !last {
				left += "/"
			}
			a.leftOut = append(a.leftOut, Excluded{left, why})
			return
		}
	}
	a.files = append(a.files, archiveFile{name, f})
}
