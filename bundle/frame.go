package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const minFrame = 4 + 1 + 1 + 3 + 4 // magic, descriptor, size, one block header, checksum

// maxCompressed bounds a frame's compressed size: raw blocks and the frame's
// own fields, and nothing more.
func maxCompressed(usize int64) int64 {
	return usize + 3*(usize/rawBlock+1) + 4 + 1 + 8 + 4
}

func newEncoder(workers int) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithSingleSegment(true),
		zstd.WithEncoderCRC(true),
		zstd.WithEncoderConcurrency(workers))
}

func newDecoder(workers int, usize int64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(workers),
		zstd.WithDecoderMaxMemory(uint64(max(usize, 1<<16))),
		zstd.WithDecodeAllCapLimit(true))
}

// buffers are the scratch space of one frame; they grow to the largest frame
// seen and no further.
type buffers struct{ packed, plain []byte }

// readFrame is step 7: it reads data frame i, compares its digest, checks that it is exactly
// one zstd frame of the derived size, and only then decompresses it. The result
// is valid until buf is used again.
func (b *Bundle) readFrame(dec *zstd.Decoder, i int, buf *buffers) ([]byte, error) {
	if err := b.readPacked(i, buf); err != nil {
		return nil, err
	}
	usize := b.layout.usize(i)
	if buf.plain == nil { // once, and large enough for every frame
		buf.plain = make([]byte, 0, b.layout.largest())
	}
	buf.plain = grow(buf.plain, usize)
	if cause, why := frameFault(buf.packed, usize); why != "" {
		return nil, fault(cause, "frame %d is not as this format writes it: %s", i+1, why)
	}
	plain, err := dec.DecodeAll(buf.packed, buf.plain[:0:usize])
	if errors.Is(err, zstd.ErrCRCMismatch) {
		return nil, fault(CauseFrameCheck, "frame %d does not have the checksum that it states itself", i+1)
	}
	if err != nil {
		return nil, fault(CauseFrameData, "cannot decompress frame %d: %v", i+1, err)
	}
	if int64(len(plain)) != usize {
		return nil, fault(CauseFrameData, "frame %d decompresses to %d bytes, want %d", i+1, len(plain), usize)
	}
	return plain, nil
}

// readPacked reads the compressed bytes of data frame i and compares their digest.
func (b *Bundle) readPacked(i int, buf *buffers) error {
	f := b.manifest.Frames[i]
	if buf.packed == nil { // once, and large enough for every frame
		buf.packed = make([]byte, 0, min(maxCompressed(b.layout.largest()), b.size))
	}
	buf.packed = grow(buf.packed, int64(f.csize))
	if err := readFullAt(b.r, buf.packed, b.offsets[i]); err != nil {
		return fmt.Errorf("cannot read frame %d: %w", i+1, err)
	}
	if sha256.Sum256(buf.packed) != f.sha256 {
		return fault(CauseFrameSum, "frame %d (bytes %d to %d) does not have the digest that the manifest states",
			i+1, b.offsets[i], b.offsets[i+1])
	}
	return nil
}

// frameFault walks a zstd frame's blocks (RFC 8878, 3.1.1) without decoding
// them and says what differs from one single-segment frame with a content size
// of usize, a checksum, no dictionary, and nothing behind it. "" is no fault.
func frameFault(p []byte, usize int64) (Cause, string) {
	if len(p) < minFrame || string(p[:4]) != headMagic[:4] {
		return CauseFrameMagic, "it is no zstd frame"
	}
	if p[4]&0x3f != 0x24 { // single segment and checksum; no reserved bit, no dictionary
		return CauseFrameHead, fmt.Sprintf("its descriptor is %#02x", p[4])
	}
	width := []int{1, 2, 4, 8}[p[4]>>6]
	var size int64
	if len(p) < 5+width {
		return CauseFrameBlock, "its header is cut short"
	}
	for k := width - 1; k >= 0; k-- {
		size = size<<8 | int64(p[5+k])
	}
	if width == 2 {
		size += 256
	}
	if size != usize {
		return CauseFrameSays, fmt.Sprintf("it states %d bytes of content, want %d", size, usize)
	}
	at := 5 + width
	for last := false; !last; {
		if len(p)-at < 3 {
			return CauseFrameBlock, "a block is cut short"
		}
		h := int(p[at]) | int(p[at+1])<<8 | int(p[at+2])<<16
		last = h&1 != 0
		body := h >> 3
		switch h >> 1 & 3 {
		case 1: // run-length: one byte stands for many
			body = 1
		case 3:
			return CauseFrameBlock, "a block is of the reserved kind"
		}
		if at += 3 + body; at > len(p) {
			return CauseFrameBlock, "a block is cut short"
		}
	}
	if at+4 != len(p) {
		return CauseFrameTail, fmt.Sprintf("%d bytes follow its last block, want a checksum of 4", len(p)-at)
	}
	return "", ""
}

// grow returns p with length n, allocating only when it has to.
func grow(p []byte, n int64) []byte {
	if int64(cap(p)) < n {
		return make([]byte, n)
	}
	return p[:n]
}
