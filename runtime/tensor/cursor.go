package tensor

import (
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// cursor walks protobuf fields of a ReaderAt from off to end. It reads ahead by
// at most one small window and steps over payloads without reading them.
type cursor struct {
	r        io.ReaderAt
	off, end int64
	window   []byte // the bytes at windowOff
	at       int64
	buf      [4096]byte
}

// peek answers with at least min(n, end-off) bytes at off; n is at most 16.
func (c *cursor) peek(n int64) ([]byte, error) {
	if left := c.end - c.off; n > left {
		n = left
	}
	if c.off < c.at || c.off+n > c.at+int64(len(c.window)) {
		size := min(int64(len(c.buf)), c.end-c.off)
		c.window = nil
		if err := readAt(c.r, c.buf[:size], c.off); err != nil {
			return nil, err
		}
		c.window, c.at = c.buf[:size], c.off
	}
	b := c.window[c.off-c.at:]
	if left := c.end - c.off; int64(len(b)) > left {
		b = b[:left]
	}
	return b, nil
}

func (c *cursor) done() bool { return c.off == c.end }

func (c *cursor) varint() (uint64, error) {
	b, err := c.peek(10)
	if err != nil {
		return 0, err
	}
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, invalidf("byte %d: a number is cut off or too long", c.off)
	}
	c.off += int64(n)
	return v, nil
}

func (c *cursor) tag() (protowire.Number, protowire.Type, error) {
	start := c.off
	v, err := c.varint()
	if err != nil {
		return 0, 0, err
	}
	num, typ := protowire.DecodeTag(v)
	if num < protowire.MinValidNumber {
		return 0, 0, invalidf("byte %d: %d is not a field tag", start, v)
	}
	return num, typ, nil
}

// length reads the size of a length-delimited field and checks that the field
// ends before the message does.
func (c *cursor) length() (int64, error) {
	start := c.off
	v, err := c.varint()
	if err != nil {
		return 0, err
	}
	if left := c.end - c.off; v > uint64(left) {
		return 0, invalidf("byte %d: a field claims %d bytes, but only %d follow", start, v, left)
	}
	return int64(v), nil
}

// bytes reads a length-delimited field of at most limit bytes.
func (c *cursor) bytes(what string, limit int64) ([]byte, error) {
	n, err := c.length()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, invalidf("%s has %d bytes; at most %d are allowed", what, n, limit)
	}
	b := make([]byte, n)
	if n <= 16 {
		window, err := c.peek(n)
		if err != nil {
			return nil, err
		}
		copy(b, window)
	} else if err := readAt(c.r, b, c.off); err != nil {
		return nil, err
	}
	c.off += n
	return b, nil
}

// toInt32 accepts what protobuf writers make of an int32: the value itself, or
// its sign extension to 64 bits.
func toInt32(v uint64) (int32, bool) {
	s := int64(v)
	return int32(s), s >= math.MinInt32 && s <= math.MaxInt32
}

func floatBits(f float32) uint32 { return math.Float32bits(f) }
