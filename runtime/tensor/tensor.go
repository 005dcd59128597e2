// Package tensor reads and writes named arrays in the two file formats of a
// federation: safetensors, which task code sees, and ModelProto (.pbuf), which
// OpenFL's aggregator and collaborators exchange.
//
// Neither reader loads a payload: both answer with offsets into the file, so
// that the memory they need grows with the number of tensors, not their size.
package tensor

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ErrInvalid is wrapped by every error that is the fault of the bytes read, as
// opposed to the reading of them.
var ErrInvalid = errors.New("invalid tensor file")

// Limits on what a file may declare. They are far above what models of the
// field need and far below what would hurt the reader.
const (
	MaxRank    = 32      // dimensions of one tensor
	MaxName    = 4 << 10 // bytes of a tensor's name
	MaxTensors = 1 << 20 // tensors in one file
)

// invalidf makes an error that wraps ErrInvalid.
func invalidf(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, a...))
}

// Info describes one tensor: C order, little-endian, no strides. A nil or empty
// Shape is a scalar: one element.
type Info struct {
	Name  string
	DType DType
	Shape []int
}

// Elements is the product of the shape, 1 for a scalar, and -1 for a shape that
// has a negative dimension or whose product does not fit an int. Infos that
// come from this package's readers always have a valid shape.
func (i Info) Elements() int {
	n := uint64(1)
	zero := false
	for _, d := range i.Shape {
		switch {
		case d < 0:
			return -1
		case d == 0:
			zero = true
		default:
			hi, lo := bits.Mul64(n, uint64(d))
			if hi != 0 || lo > math.MaxInt {
				return -1
			}
			n = lo
		}
	}
	if zero {
		return 0
	}
	return int(n)
}

// Bytes is the payload size, and -1 where Elements is -1, the dtype is unknown
// or the size does not fit an int64.
func (i Info) Bytes() int64 {
	n, size := i.Elements(), i.DType.Size()
	if n < 0 || size == 0 || int64(n) > math.MaxInt64/int64(size) {
		return -1
	}
	return int64(n) * int64(size)
}

// check refuses an Info that no file may hold.
func (i Info) check() error {
	if err := checkName(i.Name); err != nil {
		return err
	}
	if i.DType.Size() == 0 {
		return invalidf("tensor %q has dtype %q; known are %s", i.Name, string(i.DType), knownDTypes())
	}
	if len(i.Shape) > MaxRank {
		return invalidf("tensor %q has %d dimensions; at most %d are allowed", i.Name, len(i.Shape), MaxRank)
	}
	if i.Bytes() < 0 {
		return invalidf("tensor %q has shape %v of %s, which is negative or too large to count", i.Name, i.Shape, i.DType)
	}
	return nil
}
