package tensor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
)

// Summary is what can be said of a float32 payload without keeping it.
type Summary struct {
	SHA256    string  // of the little-endian bytes, lower-case hex
	Norm      float64 // Euclidean, over the finite elements
	MaxAbs    float64 // over the finite elements
	NonFinite int64   // elements that are NaN or infinite
}

// Summarize reads a float32 payload of exactly n elements once, block by block.
func Summarize(r io.Reader, n int) (Summary, error) {
	h := sha256.New()
	buf := make([]byte, 64<<10)
	var s Summary
	var squares float64
	for left := int64(n) * 4; left > 0; {
		block := buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(r, block); err != nil {
			return Summary{}, fmt.Errorf("cannot read tensor data: %w", err)
		}
		h.Write(block)
		for _, x := range Float32s(block) {
			v := float64(x)
			if math.IsNaN(v) || math.IsInf(v, 0) {
				s.NonFinite++
				continue
			}
			squares += v * v
			s.MaxAbs = max(s.MaxAbs, math.Abs(v))
		}
		left -= int64(len(block))
	}
	s.Norm = math.Sqrt(squares)
	s.SHA256 = hex.EncodeToString(h.Sum(nil))
	return s, nil
}
