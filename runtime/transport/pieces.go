package transport

import (
	"errors"
	"io"
	"sort"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// pieces is bytes as they came from the network, in buffers that gRPC wants
// back: nothing is joined, and an element of a tensor may lie in two of them.
type pieces struct {
	bufs  mem.BufferSlice
	ends  []int64 // offset behind each buffer
	freed bool
}

// hold takes ownership of bufs.
func hold(bufs mem.BufferSlice) pieces {
	p := pieces{bufs: bufs, ends: make([]int64, len(bufs))}
	var end int64
	for i, b := range bufs {
		end += int64(b.Len())
		p.ends[i] = end
	}
	return p
}

func (p *pieces) size() int64 {
	if len(p.ends) == 0 {
		return 0
	}
	return p.ends[len(p.ends)-1]
}

// free gives the buffers back; the second time it does nothing.
func (p *pieces) free() {
	if !p.freed {
		p.freed = true
		p.bufs.Free()
		p.bufs, p.ends = nil, nil
	}
}

// ReadAt implements [io.ReaderAt].
func (p *pieces) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	i := sort.Search(len(p.ends), func(i int) bool { return p.ends[i] > off })
	done := 0
	for ; i < len(p.bufs) && done < len(b); i++ {
		data := p.bufs[i].ReadOnlyData()
		n := copy(b[done:], data[int64(len(data))-(p.ends[i]-off):])
		done += n
		off += int64(n)
	}
	if done < len(b) {
		return done, io.EOF
	}
	return done, nil
}

// errUnusual is any wire form that the walker leaves to the protobuf package:
// unknown fields, and what is not valid at all.
var errUnusual = errors.New("unusual wire form")

// walker steps over protobuf fields that lie in pieces.
type walker struct {
	bufs mem.BufferSlice
	i    int // buffer
	at   int // in it
	left int64
}

func walk(bufs mem.BufferSlice) *walker { return &walker{bufs: bufs, left: int64(bufs.Len())} }

func (w *walker) byte() (byte, error) {
	if w.left == 0 {
		return 0, errUnusual
	}
	for w.at == w.bufs[w.i].Len() {
		w.i, w.at = w.i+1, 0
	}
	b := w.bufs[w.i].ReadOnlyData()[w.at]
	w.at++
	w.left--
	return b, nil
}

func (w *walker) varint() (uint64, error) {
	var buf [10]byte
	for n := range buf {
		b, err := w.byte()
		if err != nil {
			return 0, err
		}
		if buf[n] = b; b < 0x80 {
			v, used := protowire.ConsumeVarint(buf[:n+1])
			if used < 0 {
				return 0, errUnusual
			}
			return v, nil
		}
	}
	return 0, errUnusual
}

// tag reads a field's number and type.
func (w *walker) tag() (protowire.Number, protowire.Type, error) {
	v, err := w.varint()
	if err != nil {
		return 0, 0, err
	}
	num, typ := protowire.DecodeTag(v)
	if num < protowire.MinValidNumber {
		return 0, 0, errUnusual
	}
	return num, typ, nil
}

// length reads the size of a field whose bytes follow.
func (w *walker) length() (int64, error) {
	v, err := w.varint()
	if err != nil || v > uint64(w.left) {
		return 0, errUnusual
	}
	return int64(v), nil
}

// take steps over n bytes, at most those left, and returns references to them.
func (w *walker) take(n int64) mem.BufferSlice {
	var out mem.BufferSlice
	w.left -= n
	for n > 0 {
		size := w.bufs[w.i].Len()
		part := int(min(n, int64(size-w.at)))
		if part > 0 {
			out = append(out, w.bufs[w.i].Slice(w.at, w.at+part))
		}
		n -= int64(part)
		if w.at += part; w.at == size && n > 0 {
			w.i, w.at = w.i+1, 0
		}
	}
	return out
}

// bytes steps over n bytes, at most those left, and appends them to b.
func (w *walker) bytes(b []byte, n int64) []byte {
	taken := w.take(n)
	for _, part := range taken {
		b = append(b, part.ReadOnlyData()...)
	}
	taken.Free()
	return b
}
