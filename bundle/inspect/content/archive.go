package content

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// member looks at one file of an archive by its content.
func (s *scanner) member(src source, name, within string, r io.Reader) {
	in := source{path: src.path + "!" + name, depth: src.depth + 1, within: within}
	var dropped File
	if s.out.Members++; s.out.Members > maxMembers {
		if s.out.Members == maxMembers+1 {
			s.skip(src, s.out, fmt.Sprintf("more than %d members", maxMembers))
		}
		return
	}
	if s.unpacked > maxUnpack {
		s.skip(in, s.out, "the archive unpacks to more than is read")
		return
	}
	data, err := io.ReadAll(io.LimitReader(r, maxMember+1))
	s.unpacked += int64(len(data))
	if len(data) > maxMember {
		if within == "torch" && isTensorMember(name) || within == "npz" && plainArray(data) {
			return // raw numbers of any length
		}
		s.skip(in, s.out, fmt.Sprintf("a member of more than %d bytes", maxMember))
		return
	}
	if err != nil {
		s.skip(in, s.out, fmt.Sprintf("it cannot be unpacked: %.100v", err))
		return
	}
	in.size, in.r = int64(len(data)), bytes.NewReader(data)
	s.one(in, &dropped)
}

var tensorMember = regexp.MustCompile(`(^|[/!])(data|tensors|constants)/\d+$`)

func isTensorMember(name string) bool { return tensorMember.MatchString(name) }

// unsafeName says why a member would not stay in the folder it is unpacked to.
func unsafeName(name string) string {
	clean := strings.ReplaceAll(name, `\`, "/")
	switch {
	case strings.HasPrefix(clean, "/") || len(clean) > 1 && clean[1] == ':':
		return "absolute"
	case !fs.ValidPath(strings.TrimSuffix(path.Clean(clean), "/")):
		return "leads out of its folder"
	}
	return ""
}

func (s *scanner) zip(src source, f *File, _ []byte) string {
	if src.depth >= maxDepth {
		return "archives are nested deeper than is read"
	}
	z, err := zip.NewReader(src.reader(), src.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return fmt.Sprintf("a zip archive that cannot be read: %.100v", err)
	}
	within := zipKind(z)
	if within == "" {
		s.report("archive", src, fmt.Sprintf("zip, %d members", len(z.File)))
	} else {
		s.detail("a zip archive of kind %s, %d members", within, len(z.File))
	}
	if within == "torchscript" {
		s.report("model-code", src, "TorchScript: the code is in its members code/")
		within = "torch"
	}
	seen := map[string]bool{}
	for _, m := range z.File {
		if why := unsafeName(m.Name); why != "" {
			s.report("archive-unsafe", src, fmt.Sprintf("%q: %s", m.Name, why))
		}
		if m.Mode()&fs.ModeSymlink != 0 {
			s.report("archive-unsafe", src, fmt.Sprintf("%q is a link", m.Name))
		}
		if seen[m.Name] {
			s.report("archive-unsafe", src, fmt.Sprintf("%q is there twice: readers differ in which they take", m.Name))
		}
		seen[m.Name] = true
		if strings.HasSuffix(m.Name, "/") {
			continue
		}
		in := source{path: src.path + "!" + m.Name}
		if m.Flags&1 != 0 {
			s.skip(in, f, "an encrypted member")
			continue
		}
		if strings.HasSuffix(m.Name, "vbaProject.bin") {
			s.report("active-content", in, "macros")
		}
		r, err := m.Open()
		if err != nil {
			s.skip(in, f, fmt.Sprintf("it cannot be unpacked: %.100v", err))
			continue
		}
		s.member(src, m.Name, within, r)
		_ = r.Close() // reading has said what was wrong
	}
	s.zipTail(src)
	return ""
}

// zipKind tells models, which are zip archives, from others.
func zipKind(z *zip.Reader) string {
	var pickled, code, npy, other, config bool
	for _, m := range z.File {
		switch {
		case strings.HasSuffix(m.Name, "/data.pkl") || m.Name == "data.pkl":
			pickled = true
		case strings.Contains(m.Name, "/code/") && strings.HasSuffix(m.Name, ".py"):
			code = true
		case strings.HasSuffix(m.Name, ".npy"):
			npy = true
		case m.Name == "config.json":
			config = true
		default:
			other = true
		}
	}
	switch {
	case code && pickled:
		return "torchscript"
	case pickled:
		return "torch"
	case npy && !other && !config:
		return "npz"
	case config:
		return "keras"
	}
	return ""
}

// zipTail looks for bytes before the first member and behind the directory.
func (s *scanner) zipTail(src source) {
	head := make([]byte, 4)
	if _, err := src.r.ReadAt(head, 0); err == nil && string(head[:2]) != "PK" {
		s.report("appended-data", src, "bytes before the first member of the zip")
	}
	end := make([]byte, min(src.size, 22+1<<16))
	if n, _ := src.r.ReadAt(end, src.size-int64(len(end))); n < len(end) {
		return
	}
	at := bytes.LastIndex(end, []byte("PK\x05\x06"))
	if at < 0 || len(end)-at < 22 {
		return
	}
	comment := int(binary.LittleEndian.Uint16(end[at+20:]))
	if behind := len(end) - at - 22 - comment; behind > 0 {
		s.report("appended-data", src, fmt.Sprintf("%d bytes behind the end of the zip", behind))
	}
	if comment > 1024 {
		s.report("appended-data", src, fmt.Sprintf("a comment of %d bytes at the end of the zip", comment))
	}
}

// hiddenZip looks for a zip archive at the end of a file of another type: readers
// of zip, Python among them, find it there.
func (s *scanner) hiddenZip(src source, f *File) {
	if src.size < 22 || f.Type == "tar" || src.depth >= maxDepth {
		return
	}
	end := make([]byte, min(src.size, 22+1<<16))
	if n, _ := src.r.ReadAt(end, src.size-int64(len(end))); n < len(end) || !bytes.Contains(end, []byte("PK\x05\x06")) {
		return
	}
	if z, err := zip.NewReader(src.reader(), src.size); z == nil || err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return
	}
	s.report("appended-data", src, "a zip archive at the end of a file of type "+f.Type)
	if why := guarded(func() string { return s.zip(src, f, nil) }); why != "" {
		s.skip(src, f, why)
	}
}

func (s *scanner) tar(src source, _ *File, _ []byte) string {
	if src.depth >= maxDepth {
		return "archives are nested deeper than is read"
	}
	s.report("archive", src, "tar")
	r := tar.NewReader(src.reader())
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ""
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Sprintf("a tar archive that cannot be read on: %.100v", err)
		}
		if why := unsafeName(h.Name); why != "" && h.Name != "./" {
			s.report("archive-unsafe", src, fmt.Sprintf("%q: %s", h.Name, why))
		}
		switch h.Typeflag {
		case tar.TypeReg:
			s.member(src, h.Name, "", r)
		case tar.TypeDir, tar.TypeXGlobalHeader:
		default:
			s.report("archive-unsafe", src, fmt.Sprintf("%q is a link or a device", h.Name))
		}
		if s.out.Members > maxMembers || s.unpacked > maxUnpack {
			return "the archive holds more than is read"
		}
	}
}

// compressed unpacks one compressed stream and looks at what it holds.
func (s *scanner) compressed(src source, f *File, _ []byte) string {
	if src.depth >= maxDepth {
		return "archives are nested deeper than is read"
	}
	var r io.Reader
	var err error
	switch f.Type {
	case "gzip":
		r, err = gzip.NewReader(src.reader())
	case "bzip2":
		r = bzip2.NewReader(src.reader())
	case "zlib":
		r, err = zlib.NewReader(src.reader())
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(src.reader(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMember)); err == nil {
			defer d.Close()
			r = d
		}
	}
	if err != nil {
		return fmt.Sprintf("compressed data that cannot be read: %.100v", err)
	}
	name := strings.TrimSuffix(src.base(), path.Ext(src.base()))
	if src.ext() == ".tgz" {
		name += ".tar"
	}
	s.detail("compressed with %s", f.Type)
	s.member(src, name, "", r)
	return ""
}
