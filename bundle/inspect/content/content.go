// Package content says what a file is by its bytes, whatever its name says, and
// what a reviewer should know about it. It runs nothing and unpacks only into
// memory, within bounds; what is beyond them is reported as not analysed.
package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"fx/bundle/inspect/finding"
)

// Bounds. What is larger is reported, never skipped in silence.
const (
	maxText    = 8 << 20   // bytes of a text that is read whole
	maxMember  = 64 << 20  // bytes of an archive's member that is unpacked
	maxUnpack  = 512 << 20 // bytes that one file's members unpack to in all
	maxMembers = 20000
	maxDepth   = 4  // archives in archives
	maxPerRule = 50 // findings of one rule in one file
	maxDetails = 60
	headSize   = 8192
)

// File is what is known of a file by its content.
type File struct {
	Type         string            // such as "python", "elf", "zip", "text"
	Entropy      float64           // bits per byte, 0 to 8
	Details      []string          // facts, such as the libraries that machine code needs
	Licence      string            // SPDX identifier, "" if none was recognised
	Dependencies []Dependency      // that it names
	Imports      []string          // Python packages that it imports
	Analysed     bool              // whether anything but type, size and entropy was looked at
	Reason       string            // why not, or what of it was not
	Members      int               // files inside that were looked at
	Findings     []finding.Finding // not sealed
}

// Scan looks at a file of size bytes. Errors are those of r alone.
func Scan(name string, size int64, r io.ReaderAt) (*File, error) {
	c := &checked{r: r}
	s := &scanner{out: &File{}, rules: map[string]int{}}
	s.one(source{path: name, size: size, r: c}, s.out)
	if c.err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", name, c.err)
	}
	return s.out, nil
}

// checked remembers the first real trouble of a reader.
type checked struct {
	r   io.ReaderAt
	err error
}

func (c *checked) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && off >= 0 && c.err == nil {
		c.err = err
	}
	return n, err
}

// source is a file, or a member of an archive.
type source struct {
	path   string
	size   int64
	r      io.ReaderAt
	depth  int
	within string // what the archive around it is: "torch", "npz", "keras"
}

func (s source) reader() *io.SectionReader { return io.NewSectionReader(s.r, 0, s.size) }

func (s source) ext() string { return strings.ToLower(path.Ext(s.path)) }

func (s source) base() string {
	p := s.path
	if i := strings.LastIndexByte(p, '!'); i >= 0 {
		p = p[i+1:]
	}
	return path.Base(p)
}

type scanner struct {
	out      *File
	rules    map[string]int // findings of a rule so far
	unpacked int64
}

func (s *scanner) add(f finding.Finding) {
	if s.rules[f.Rule]++; s.rules[f.Rule] <= maxPerRule {
		s.out.Findings = append(s.out.Findings, f)
	} else if s.rules[f.Rule] == maxPerRule+1 {
		s.out.Findings = append(s.out.Findings, finding.New("not-analysed", f.Path, 0, "", fmt.Sprintf("more than %d findings of rule %s; the rest is not listed", maxPerRule, f.Rule)))
	}
}

func (s *scanner) report(rule string, src source, detail string) {
	s.add(finding.New(rule, src.path, 0, "", detail))
}

func (s *scanner) detail(format string, a ...any) {
	if text := finding.Clean(fmt.Sprintf(format, a...)); len(s.out.Details) < maxDetails && !slices.Contains(s.out.Details, text) {
		s.out.Details = append(s.out.Details, text)
	}
}

// skip says that something was not analysed, and why.
func (s *scanner) skip(src source, f *File, why string) {
	s.report("not-analysed", src, why)
	if f.Reason == "" {
		f.Reason = why
	}
}

// one looks at one source; f is the file's own record, or that of a member,
// which is dropped.
func (s *scanner) one(src source, f *File) {
	if src.size == 0 {
		f.Type, f.Analysed = "empty", true
		s.named(src)
		return
	}
	head := make([]byte, min(src.size, headSize))
	if n, _ := src.r.ReadAt(head, 0); n < len(head) {
		s.skip(src, f, "its beginning cannot be read")
		return
	}
	f.Type = sniff(src, head)
	var whole []byte
	if isText(f.Type) || src.size <= maxText {
		if src.size > maxText {
			f.Entropy = s.stream(src, true)
			s.skip(src, f, fmt.Sprintf("text of %d bytes is longer than is read", src.size))
			return
		}
		whole = make([]byte, src.size)
		if n, _ := src.r.ReadAt(whole, 0); n < len(whole) {
			s.skip(src, f, "it cannot be read to its end")
			return
		}
		f.Entropy = entropyOf(whole)
		if isText(f.Type) && !looksText(whole) {
			f.Type = "binary"
		}
	} else {
		f.Entropy = s.stream(src, true)
	}
	s.named(src)
	s.mismatch(src, f.Type)
	f.Analysed = true
	if analyse := analyser(f.Type); analyse != nil {
		if why := guarded(func() string { return analyse(s, src, f, head) }); why != "" {
			s.skip(src, f, why)
		}
	} else if isText(f.Type) {
		if why := guarded(func() string { s.textFile(src, f, whole); return "" }); why != "" {
			s.skip(src, f, why)
		}
	} else {
		s.unknown(src, f)
	}
	if whole != nil && !isText(f.Type) {
		s.keys(src, whole)
	}
	if f.Type != "zip" {
		s.hiddenZip(src, f)
	}
}

// analyser returns what looks into one type of binary file, nil if nothing does.
// What it returns is why the file was not analysed, or not to its end.
func analyser(t string) func(s *scanner, src source, f *File, head []byte) string {
	switch t {
	case "elf":
		return (*scanner).elf
	case "pe":
		return (*scanner).pe
	case "macho":
		return (*scanner).macho
	case "wasm":
		return (*scanner).wasm
	case "ar", "java class", "llvm bitcode", "dex", "lua bytecode":
		return (*scanner).opaqueCode
	case "pyc":
		return (*scanner).pyc
	case "zip":
		return (*scanner).zip
	case "tar":
		return (*scanner).tar
	case "gzip", "bzip2", "zstd", "zlib":
		return (*scanner).compressed
	case "pickle":
		return (*scanner).pickle
	case "npy":
		return (*scanner).npy
	case "safetensors":
		return (*scanner).safetensors
	case "hdf5":
		return (*scanner).hdf5
	case "gguf":
		return (*scanner).gguf
	case "onnx":
		return (*scanner).onnx
	case "pbuf":
		return (*scanner).pbuf
	case "png":
		return (*scanner).png
	case "jpeg":
		return (*scanner).jpeg
	case "gif":
		return (*scanner).gif
	case "pdf", "ole":
		return (*scanner).document
	}
	return nil
}

// guarded keeps a panic of a parser, the standard library's or our own, from
// ending the whole inspection.
func guarded(analyse func() string) (why string) {
	defer func() {
		if r := recover(); r != nil {
			why = "its structure makes no sense"
		}
	}()
	return analyse()
}

// unknown is a binary file of a type that we do not know. It may still be
// pickled data, which needs no magic number.
func (s *scanner) unknown(src source, f *File) {
	if s.oldPickle(src, f) {
		return
	}
	f.Analysed = false
	if src.within == "torch" && isTensorMember(src.path) {
		f.Analysed = true
		return
	}
	s.skip(src, f, fmt.Sprintf("a binary file of a type that is not known (entropy %.1f of 8 bits)", f.Entropy))
}

// stream reads a large file once: entropy, and marks of private keys.
func (s *scanner) stream(src source, keys bool) float64 {
	var counts [256]int64
	buf := make([]byte, 1<<20)
	const overlap = 64
	carry := 0
	r := src.reader()
	reported := false
	for {
		n, err := io.ReadFull(r, buf[carry:])
		for _, b := range buf[carry : carry+n] {
			counts[b]++
		}
		if keys && !reported && hasKeyMark(buf[:carry+n]) {
			s.report("private-key", src, "")
			reported = true
		}
		if err != nil {
			return entropy(&counts, src.size)
		}
		copy(buf, buf[carry+n-overlap:carry+n])
		carry = overlap
	}
}

func entropyOf(data []byte) float64 {
	var counts [256]int64
	for _, b := range data {
		counts[b]++
	}
	return entropy(&counts, int64(len(data)))
}

// entropy is Shannon's, in bits per byte, rounded so that it prints the same
// everywhere.
func entropy(counts *[256]int64, total int64) float64 {
	var h float64
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(total)
			h -= p * math.Log2(p)
		}
	}
	return math.Abs(math.Round(h*100) / 100)
}

// named is what a file's name alone means.
func (s *scanner) named(src source) {
	base := src.base()
	switch {
	case base == "sitecustomize.py" || base == "usercustomize.py":
		s.report("import-hook", src, base)
	case src.ext() == ".pth" && src.size < maxText && src.size > 0:
		s.pth(src)
	case base == "setup.py" || base == "conftest.py" || base == "noxfile.py" || base == "fabfile.py" || base == "tasks.py" || base == "dodo.py":
		s.report("setup-code", src, base)
	case base == "Makefile" || base == "Dockerfile" || base == "Jenkinsfile" || base == "CMakeLists.txt" || base == "Vagrantfile" || base == ".pre-commit-config.yaml" || base == "tox.ini" || strings.Contains(src.path, ".github/workflows/"):
		s.report("build-file", src, base)
	}
}

// pth tells a path file of Python's from a PyTorch model of that name.
func (s *scanner) pth(src source) {
	data := make([]byte, src.size)
	if n, _ := src.r.ReadAt(data, 0); n < len(data) || !looksText(data) {
		return
	}
	s.report("import-hook", src, "a path file")
	for i, line := range bytes.Split(data, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("import ")) || bytes.HasPrefix(line, []byte("import\t")) {
			s.add(finding.New("import-hook", src.path, i+1, string(line), "runs code"))
			s.python(source{path: src.path}, line, i+1)
		}
	}
}
