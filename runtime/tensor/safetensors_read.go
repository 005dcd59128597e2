package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// MaxSafetensorsHeader bounds the JSON header, as the reference implementation
// bounds it: 100 MB.
const MaxSafetensorsHeader = 100_000_000

// MaxOutputHeader bounds it in what task code makes: some 50,000 tensors. Reading
// a header takes twenty times its size of memory, which is no box's.
const MaxOutputHeader = 8_000_000

// File is an opened safetensors file. Its methods may be used concurrently if
// the ReaderAt may.
type File struct {
	r        io.ReaderAt
	base     int64 // offset of the first payload byte
	entries  map[string]entry
	names    []string
	metadata map[string]string
}

type entry struct {
	Info
	begin, end int64 // relative to base
}

// OpenSafetensors reads and checks the header of a safetensors file of size
// bytes. It refuses what the format forbids (holes, overlaps, bytes after the
// last tensor, sizes that do not follow from dtype and shape, duplicate names),
// and what no honest writer makes (unknown keys, unknown dtypes). Errors that
// are the file's fault wrap ErrInvalid.
func OpenSafetensors(r io.ReaderAt, size int64) (*File, error) {
	return openSafetensors(r, size, MaxSafetensorsHeader)
}

// OpenOutput is [OpenSafetensors] for a file that task code made: its header has
// at most MaxOutputHeader bytes.
func OpenOutput(r io.ReaderAt, size int64) (*File, error) {
	return openSafetensors(r, size, MaxOutputHeader)
}

func openSafetensors(r io.ReaderAt, size int64, most uint64) (*File, error) {
	if size < 8 {
		return nil, invalidf("a safetensors file has at least 8 bytes, this one %d", size)
	}
	var prefix [8]byte
	if err := readAt(r, prefix[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > most {
		return nil, invalidf("the safetensors header claims %d bytes; at most %d are allowed", n, most)
	}
	if int64(n) > size-8 {
		return nil, invalidf("the safetensors header claims %d bytes, but only %d follow", n, size-8)
	}
	raw := make([]byte, n)
	if err := readAt(r, raw, 8); err != nil {
		return nil, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, err
	}
	f := &File{r: r, base: 8 + int64(n), entries: h.entries, metadata: h.metadata}
	f.names = slices.Sorted(maps.Keys(h.entries))
	if err := f.checkLayout(size - f.base); err != nil {
		return nil, err
	}
	return f, nil
}

// checkLayout walks the tensors in file order: each must begin where its
// predecessor ended, and the last must end where the file does.
func (f *File) checkLayout(payload int64) error {
	byOffset := slices.Collect(maps.Values(f.entries))
	slices.SortFunc(byOffset, func(a, b entry) int {
		if a.begin != b.begin {
			return compareInt64(a.begin, b.begin)
		}
		if a.end != b.end {
			return compareInt64(a.end, b.end)
		}
		return strings.Compare(a.Name, b.Name)
	})
	var at int64
	for _, e := range byOffset {
		if e.begin != at {
			return invalidf("tensor %q begins at byte %d of the payload; %d was expected (tensors may neither overlap nor leave holes)", e.Name, e.begin, at)
		}
		if e.end < e.begin || e.end-e.begin != e.Bytes() {
			return invalidf("tensor %q spans bytes %d to %d, but shape %v of %s needs %d bytes", e.Name, e.begin, e.end, e.Shape, e.DType, e.Bytes())
		}
		at = e.end
	}
	if at != payload {
		return invalidf("the tensors need %d bytes of payload, the file has %d", at, payload)
	}
	return nil
}

// Infos describes all tensors in name order.
func (f *File) Infos() []Info {
	infos := make([]Info, len(f.names))
	for i, name := range f.names {
		infos[i] = f.entries[name].Info
	}
	return infos
}

// Info describes one tensor.
func (f *File) Info(name string) (Info, bool) {
	e, ok := f.entries[name]
	return e.Info, ok
}

// Section is the payload of one tensor.
func (f *File) Section(name string) (*io.SectionReader, error) {
	e, ok := f.entries[name]
	if !ok {
		return nil, fmt.Errorf("cannot read tensor %q: the file has no such tensor", name)
	}
	return io.NewSectionReader(f.r, f.base+e.begin, e.end-e.begin), nil
}

// Metadata is a copy of the file's free text, nil if it has none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// readAt fills b; a file that is shorter than it claims is ErrInvalid.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) || err == nil {
		return invalidf("the file ends at byte %d, %d more were expected", off+int64(n), len(b)-n)
	}
	return err
}

func compareInt64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
