package egress

import (
	"errors"
	"fmt"
	"io"
	"math"

	"fx/runtime/tensor"
)

// block is how many values are held at a time.
const block = 16 << 10

// pairs reads two float32 payloads of the same length side by side.
type pairs struct {
	base, trained io.Reader
	buf           [2][]byte
}

func newPairs(base, trained io.Reader) *pairs {
	return &pairs{base: base, trained: trained, buf: [2][]byte{make([]byte, 4*block), make([]byte, 4*block)}}
}

// next returns the next values of both, which are valid until it is called
// again, and io.EOF after the last.
func (p *pairs) next() (base, trained []float32, err error) {
	n, err := io.ReadFull(p.trained, p.buf[1])
	if err != nil && err != io.ErrUnexpectedEOF {
		return nil, nil, err
	}
	if _, err := io.ReadFull(p.base, p.buf[0][:n]); err != nil {
		return nil, nil, fmt.Errorf("cannot read the model that training began with: %v", err)
	}
	return tensor.Float32s(p.buf[0][:n]), tensor.Float32s(p.buf[1][:n]), nil
}

// ChangeNorm is the Euclidean norm of trained − base, two float32 payloads of
// the same length, in float64.
func ChangeNorm(base, trained io.Reader) (float64, error) {
	p := newPairs(base, trained)
	squares := 0.0
	for {
		from, to, err := p.next()
		if errors.Is(err, io.EOF) {
			return math.Sqrt(squares), nil
		}
		if err != nil {
			return 0, err
		}
		for i, v := range to {
			d := float64(v) - float64(from[i])
			squares += d * d
		}
	}
}

// Clipped reads base + factor·(trained − base), computed in float64 and rounded
// to float32.
func Clipped(base, trained io.Reader, factor float64) io.Reader {
	return &mapped{pairs: newPairs(base, trained), value: func(from, to float64) (float64, error) {
		return from + factor*(to-from), nil
	}}
}
