package codec

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"fx/runtime/tensor"
)

// maxLabels bounds the distinct values of one tensor. OpenFL's encoder fails
// from 33 clusters on, where NumPy's choose ends.
const maxLabels = 32

// label gives every distinct value a number from 0 on: the table that travels
// as int_to_float. values are distinct; NaN is not among them.
//
// OpenFL's decoder puts the values in one key after the other, in place and in
// no certain order, so that an element that already has its value is replaced
// again where that value equals a later key. With these numbers no order does
// harm: a value that is one of the keys is its own key. (OpenFL's own encoder
// numbers the values in ascending order, which gives 0 another number than 0.)
func label(values []float32) map[float32]int32 {
	labels := make(map[float32]int32, len(values))
	taken := make([]bool, len(values))
	for _, v := range values {
		if k := int(v); v >= 0 && k < len(values) && float32(k) == v {
			labels[v], taken[k] = int32(k), true
		}
	}
	next := 0
	for _, v := range slices.Sorted(slices.Values(values)) {
		if _, done := labels[v]; done {
			continue
		}
		for taken[next] {
			next++
		}
		labels[v], taken[next] = int32(next), true
	}
	return labels
}

// encodeLabels makes the table and the payload, a label for each value as
// gzipped float32, of values that are few different ones.
func encodeLabels(values []float32) (table map[int32]float32, data []byte, err error) {
	distinct := []float32{}
	seen := map[float32]bool{}
	for _, v := range values {
		if !seen[v] {
			seen[v] = true
			distinct = append(distinct, v)
		}
	}
	labels := label(distinct)
	table = make(map[int32]float32, len(labels))
	for v, k := range labels {
		table[k] = v + 0 // no negative zero
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	block := make([]float32, 0, mappedBlock)
	var raw []byte
	for chunk := range slices.Chunk(values, mappedBlock) {
		block = block[:0]
		for _, v := range chunk {
			block = append(block, float32(labels[v]))
		}
		raw = tensor.AppendFloat32s(raw[:0], block)
		if _, err := w.Write(raw); err != nil {
			return nil, nil, fmt.Errorf("cannot compress: %v", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, nil, fmt.Errorf("cannot compress: %v", err)
	}
	return table, out.Bytes(), nil
}

// labelInfo describes a tensor of a pipeline that ends in labels: steps metadata
// entries, the table in entry at, the last one empty.
func labelInfo(n tensor.Named, steps, at int) (tensor.Info, error) {
	info, err := shape(n, steps)
	if err != nil {
		return tensor.Info{}, err
	}
	for i, m := range n.Metadata {
		if i != at && len(m.IntToFloat) > 0 || i > 0 && len(m.IntList) > 0 || len(m.BoolList) > 0 {
			return tensor.Info{}, invalidf(n, "its metadata is that of another compression pipeline")
		}
	}
	for k, v := range n.Metadata[at].IntToFloat {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return tensor.Info{}, invalidf(n, "the value of label %d is %v", k, f)
		}
	}
	return info, nil
}

// decodeLabels reads the payload of such a tensor: each label is looked up once,
// which is what OpenFL's decoder means to do. What the payload unpacks to is
// read only as far as the shape goes, and must end there.
func decodeLabels(n tensor.Named, r io.ReaderAt, steps, at int) (tensor.Info, io.Reader, error) {
	info, err := labelInfo(n, steps, at)
	if err != nil {
		return tensor.Info{}, nil, err
	}
	table := n.Metadata[at].IntToFloat
	unpacked, err := gzip.NewReader(io.NewSectionReader(r, n.DataOffset, n.DataSize))
	if err != nil {
		return tensor.Info{}, nil, invalidf(n, "its data is not gzip: %v", err)
	}
	return info, &mapped{n: n, r: gzipError{n, unpacked}, left: info.Elements(),
		value: func(element int, label float32) (float32, error) {
			key := int32(label) // of a number out of range it is some other number
			v, ok := table[key]
			if !ok || float32(key) != label {
				return 0, invalidf(n, "element %d has the label %v, which is not in its table", element, label)
			}
			return v, nil
		},
		end: func() error {
			var more [1]byte
			switch _, err := io.ReadFull(unpacked, more[:]); err {
			case io.EOF:
				return nil
			case nil:
				return invalidf(n, "its data goes on after the %d values of shape %v", info.Elements(), info.Shape)
			default:
				return invalidf(n, "its data is not gzip: %v", err)
			}
		},
	}, nil
}

// gzipError says of which tensor the data is damaged.
type gzipError struct {
	n tensor.Named
	r io.Reader
}

func (g gzipError) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = invalidf(g.n, "its data is not gzip: %v", err)
	}
	return n, err
}
