package bundle

import "encoding/binary"

const seekFooter = 9 // bytes: count, descriptor, magic

// seekTable returns the skippable frame of the zstd seekable format 0.1 that
// ends a bundle: compressed and uncompressed size of the head and every data
// frame. It lets third-party readers seek; ours only compares it.
func seekTable(headSize, manifestLen int64, m *manifest, l *layout) []byte {
	le := binary.LittleEndian
	n := len(m.Frames) + 1
	out := make([]byte, 0, 8+8*n+seekFooter)
	out = append(out, 0x5e, 0x2a, 0x4d, 0x18)
	out = le.AppendUint32(out, uint32(8*n+seekFooter))
	out = le.AppendUint32(out, uint32(headSize))
	out = le.AppendUint32(out, uint32(headContent(manifestLen)))
	for i, f := range m.Frames {
		out = le.AppendUint32(out, f.csize)
		out = le.AppendUint32(out, uint32(l.usize(i)))
	}
	out = le.AppendUint32(out, uint32(n))
	return append(out, 0, 0xb1, 0xea, 0x92, 0x8f)
}
