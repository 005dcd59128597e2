package tensor

import (
	"encoding/binary"
	"io"
	"math"
	"unsafe"
)

// littleEndian says whether this machine stores numbers the way both file
// formats do, in which case bytes need no conversion.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Float32s reads b as little-endian float32. A trailing rest of less than four
// bytes is ignored. The answer may share memory with b: neither may be changed
// while the other is in use.
func Float32s(b []byte) []float32 {
	n := len(b) / 4
	if n == 0 {
		return nil
	}
	if p := unsafe.Pointer(unsafe.SliceData(b)); littleEndian && uintptr(p)%4 == 0 {
		return unsafe.Slice((*float32)(p), n)
	}
	out := make([]float32, n)
	decodeFloat32s(out, b)
	return out
}

// AppendFloat32s appends the little-endian bytes of v to dst.
func AppendFloat32s(dst []byte, v []float32) []byte {
	if len(v) == 0 {
		return dst
	}
	if littleEndian {
		return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))...)
	}
	return appendFloat32s(dst, v)
}

// decodeFloat32s and appendFloat32s are the portable loops.
func decodeFloat32s(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

func appendFloat32s(dst []byte, v []float32) []byte {
	for _, x := range v {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst
}

// ReadFloat32sAt fills dst from little-endian bytes of r at byte offset off.
func ReadFloat32sAt(r io.ReaderAt, dst []float32, off int64) error {
	if len(dst) == 0 {
		return nil
	}
	if littleEndian {
		return readAt(r, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(dst))), 4*len(dst)), off)
	}
	b := make([]byte, 4*len(dst))
	if err := readAt(r, b, off); err != nil {
		return err
	}
	decodeFloat32s(dst, b)
	return nil
}
