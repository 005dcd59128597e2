package bundle

import (
	"encoding/binary"
	"io"
)

// The head frame is a zstd frame (RFC 8878) of raw blocks only, so that the
// bytes whose digest is signed are had without a decompressor.
const (
	headMagic = "\x28\xb5\x2f\xfd\xe0" // zstd; 8-byte content size, single segment, no checksum, no dictionary
	rawBlock  = 128 << 10              // the largest block that RFC 8878 allows
	minHead   = 2 * block
	maxHead   = 64 << 20
)

// headContent returns the size of the head frame's content, header and padding
// included, for a manifest of n bytes.
func headContent(n int64) int64 { return block + n + pad(n) }

// headLen returns the size of the whole head frame for a manifest of n bytes.
func headLen(n int64) int64 {
	c := headContent(n)
	return 13 + c + 3*((c+rawBlock-1)/rawBlock)
}

func headHeader(n int64) []byte { return ustar("", headPath, "0644", n, '0') }

// encodeHead returns the head frame for a manifest.
func encodeHead(manifest []byte) []byte {
	n := int64(len(manifest))
	content := append(headHeader(n), manifest...)
	content = append(content, make([]byte, pad(n))...)
	out := append(make([]byte, 0, headLen(n)), headMagic...)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(content)))
	for len(content) > 0 {
		size := min(len(content), rawBlock)
		h := blockHeader(size, size == len(content))
		out = append(append(out, h[:]...), content[:size]...)
		content = content[size:]
	}
	return out
}

// blockHeader is the three-byte header of a raw block.
func blockHeader(size int, last bool) (h [3]byte) {
	v := uint32(size) << 3
	if last {
		v |= 1
	}
	h[0], h[1], h[2] = byte(v), byte(v>>8), byte(v>>16)
	return h
}

// readHead reads the head frame at the start of r and returns the manifest and
// the size of the frame. Every byte that is not the manifest is compared with
// the one that encodeHead would write.
func readHead(r io.ReaderAt, size int64) (manifest []byte, headSize int64, err error) {
	var start [13]byte
	if size < int64(len(start)) {
		return nil, 0, fault(CauseShort, "the file has %d bytes, which is too short for a bundle", size)
	}
	if err := readFullAt(r, start[:], 0); err != nil {
		return nil, 0, err
	}
	if string(start[:5]) != headMagic {
		return nil, 0, fault(CauseMagic, "the file does not start like a bundle: found % x, want % x", start[:5], headMagic)
	}
	n := binary.LittleEndian.Uint64(start[5:])
	if n < minHead || n > maxHead || n%block != 0 {
		return nil, 0, fault(CauseHeadSize, "the head frame states %d bytes, allowed are multiples of 512 from %d to %d", n, minHead, maxHead)
	}
	content, err := readRawBlocks(r, size, int(n))
	if err != nil {
		return nil, 0, err
	}
	length, ok := headManifestLen(content)
	if !ok {
		return nil, 0, fault(CauseHeadMember, "the first member is not exactly %q as this format writes it", headPath)
	}
	for _, b := range content[block+length:] {
		if b != 0 {
			return nil, 0, fault(CauseHeadZero, "the padding after the manifest is not zero")
		}
	}
	return content[block : block+length], headLen(length), nil
}

// readRawBlocks concatenates the raw blocks of a head frame with n bytes of
// content. It allocates block by block, so that a size which the file does not
// hold costs nothing.
func readRawBlocks(r io.ReaderAt, size int64, n int) ([]byte, error) {
	if end := headLen(int64(n) - block); size < end {
		return nil, fault(CauseHeadCut, "the file has %d bytes, its head frame alone %d", size, end)
	}
	content := make([]byte, n)
	at := int64(13)
	for done := 0; done < n; {
		want := min(n-done, rawBlock)
		var h [3]byte
		if err := readFullAt(r, h[:], at); err != nil {
			return nil, err
		}
		if h != blockHeader(want, done+want == n) {
			return nil, fault(CauseHeadBlock, "the head frame's block at %d is not the raw block that this format writes", at)
		}
		if err := readFullAt(r, content[done:done+want], at+3); err != nil {
			return nil, err
		}
		done += want
		at += 3 + int64(want)
	}
	return content, nil
}

// headManifestLen finds the manifest's length: the only one whose header equals
// the header found and whose padding fits the content.
func headManifestLen(content []byte) (int64, bool) {
	var n int64
	for _, c := range content[124:135] {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n<<3 | int64(c-'0')
	}
	if n == 0 || headContent(n) != int64(len(content)) {
		return 0, false
	}
	return n, string(headHeader(n)) == string(content[:block])
}
