package egress

import (
	"errors"
	"fmt"
	"io"
	"math"

	"fx/runtime/tensor"
)

// Span is the smallest and the largest value of a float32 payload; both are 0 if
// it is empty.
func Span(data io.Reader) (least, most float64, err error) {
	buf := make([]byte, 4*block)
	first := true
	for {
		n, err := io.ReadFull(data, buf)
		for _, v := range tensor.Float32s(buf[:n]) {
			f := float64(v)
			if first {
				least, most, first = f, f, false
			}
			least, most = math.Min(least, f), math.Max(most, f)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return least, most, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("cannot read what is to be quantised: %v", err)
		}
	}
}

// Quantised reads the values of data, each replaced by the nearest that the
// filter leaves: one of 2^bits that are evenly spread from least to most, or one
// of 16 bits of floating point. What cannot be represented becomes the largest
// that can.
func (f Filter) Quantised(data io.Reader, least, most float64) io.Reader {
	round := func(v float64) float64 { return uniform(v, least, most, f.Bits) }
	switch f.To {
	case "float16":
		round = func(v float64) float64 { return short(v, 10, -14, 65504) }
	case "bfloat16":
		round = func(v float64) float64 { return short(v, 7, -126, math.Ldexp(2-1.0/128, 127)) }
	}
	return &mapped{pairs: newPairs(zeros{}, data), value: func(_, v float64) (float64, error) { return round(v), nil }}
}

// uniform is the nearest of 2^bits values from least to most.
func uniform(v, least, most float64, bits int) float64 {
	step := (most - least) / float64(int(1)<<bits-1)
	if !(step > 0) {
		return v
	}
	return math.Min(least+math.RoundToEven((v-least)/step)*step, most)
}

// short is the nearest number with that many bits of fraction, an exponent from
// least on (below it numbers are evenly spread), and no larger than most; ties go
// to the even one.
func short(v float64, fraction, least int, most float64) float64 {
	_, exponent := math.Frexp(v) // |v| = f·2^exponent, f in [1/2, 1)
	step := math.Ldexp(1, max(exponent-1, least)-fraction)
	return math.Max(-most, math.Min(math.RoundToEven(v/step)*step, most))
}

// zeros reads zeros without end.
type zeros struct{}

// Read implements [io.Reader].
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
