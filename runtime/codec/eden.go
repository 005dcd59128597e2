package codec

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sort"

	"fx/runtime/tensor"
	"fx/schema"
)

// Eden rotates a tensor at random, after which its values are distributed almost
// normally, and gives each to the nearest of 2^bits levels (Vargaftik et al.,
// ICML 2022; OpenFL: EdenPipeline). Tensors with fewer values than the threshold
// travel as they are.
type Eden struct {
	bits      int
	threshold int
	centroids []float32 // ascending
	limits    []float32 // between neighbours
}

func newEden(s *schema.Settings) Pipeline {
	p := Eden{bits: s.Integer("n_bits", 8, 1, 8), threshold: s.Integer("dim_threshold", 100, 0, math.MaxInt32)}
	s.Text("device", "cpu") // of the Python peers
	half := edenHalves[p.bits-1]
	p.centroids = make([]float32, 2*len(half))
	for i, v := range half {
		p.centroids[len(half)+i], p.centroids[len(half)-1-i] = float32(v), float32(-v)
	}
	for i, v := range p.centroids[1:] {
		p.limits = append(p.limits, (p.centroids[i]+v)/2)
	}
	return p
}

// Keys of int_to_float: the seed of the rotation, the number of values, and for
// every slice its scale and its length with padding.
const (
	edenSeed   = 0
	edenCount  = 1
	edenSlices = 2
)

// Lossy implements Pipeline.
func (Eden) Lossy() bool { return true }

// compresses says whether a tensor of n values is compressed. OpenFL's encoder
// leaves a tensor of exactly dim_threshold values as it is, and its decoder
// takes just that one for compressed; so here it is.
func (p Eden) compresses(n int) bool { return n >= p.threshold }

// Check implements Pipeline. The number of values travels as a float32.
func (p Eden) Check(info tensor.Info) error {
	if err := checkF32(info); err != nil {
		return err
	}
	if n := info.Elements(); p.compresses(n) && int(float32(n)) != n {
		return fmt.Errorf("cannot encode tensor %q: it has %d values, a number that EdenPipeline's float32 cannot hold", info.Name, n)
	}
	return nil
}

// Encode implements Pipeline.
func (p Eden) Encode(n tensor.Named, info tensor.Info, data io.Reader, seed uint64) (tensor.NamedSource, error) {
	if err := p.Check(info); err != nil {
		return tensor.NamedSource{}, err
	}
	if !p.compresses(info.Elements()) {
		return NoCompression{}.Encode(n, info, data, seed)
	}
	values, err := read(info, data)
	if err != nil {
		return tensor.NamedSource{}, err
	}
	rotation := uint16(seed)
	table := map[int32]float32{edenSeed: float32(rotation), edenCount: float32(len(values))}
	lengths := edenLengths(len(values), 8)
	total := 0
	for _, l := range lengths {
		total += padded(l)
	}
	packed := make([]byte, total/8*p.bits)
	at := 0 // entries so far
	for j, l := range lengths {
		slice := make([]float32, padded(l))
		copy(slice, values[:l])
		values = values[l:]
		scale := p.compress(slice, uint64(rotation), func(i, bin int) { p.setBin(packed, at+i, bin) })
		table[int32(edenSlices+2*j)], table[int32(edenSlices+2*j+1)] = scale, float32(len(slice))
		at += len(slice)
	}
	n.Metadata = []tensor.Metadata{{IntList: intList(info), IntToFloat: table}}
	return payload(n, packed), nil
}

// edenLengths cuts n values into slices: powers of two from least on, until
// padding the rest to the next one adds at most a tenth of n.
//
// OpenFL's least is 1. But it pads slices to 8, and its decoder then takes the
// padding for values, unless it is at the very end; with 8 that cannot happen.
func edenLengths(n, least int) []int {
	var lengths []int
	left := n
	for float64(powerFrom(left)-left)/float64(n) > 0.1 && left >= least {
		low := 1 << (bits.Len(uint(left)) - 1)
		lengths = append(lengths, low)
		left -= low
	}
	return append(lengths, left)
}

// powerFrom is the least power of two that is at least n; 0 for 0.
func powerFrom(n int) int {
	if n == 0 {
		return 0
	}
	return 1 << bits.Len(uint(n-1))
}

// padded is the length of a slice of n values after padding.
func padded(n int) int { return max(powerFrom(n), 8) }

// compress quantizes one slice, which it overwrites, and returns its scale.
func (p Eden) compress(v []float32, seed uint64, set func(i, bin int)) float32 {
	for i := range uint64(2) {
		signs(v, seed+i)
		hadamard(v)
	}
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if squares == 0 {
		return 0 // all bins stay 0
	}
	factor := math.Sqrt(float64(len(v)) / squares)
	product := 0.0
	for i, x := range v {
		u := float32(float64(x) * factor)
		bin := sort.Search(len(p.limits), func(b int) bool { return p.limits[b] >= u })
		set(i, bin)
		product += float64(p.centroids[bin]) * float64(x)
	}
	scale := float32(squares / product)
	if f := float64(scale); math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return scale
}

// setBin writes one entry into the bit planes, the lowest first.
func (p Eden) setBin(packed []byte, entry, bin int) {
	plane := len(packed) / p.bits
	for b := range p.bits {
		packed[b*plane+entry/8] |= byte(bin>>b&1) << (entry % 8)
	}
}

// Info implements Pipeline.
func (p Eden) Info(n tensor.Named) (tensor.Info, error) {
	info, err := shape(n, 1)
	if err != nil {
		return tensor.Info{}, err
	}
	if len(n.Metadata[0].IntToFloat) == 0 {
		return n.Info()
	}
	_, _, err = p.slices(n, info)
	return info, err
}

// edenSlice is one slice of a compressed tensor.
type edenSlice struct {
	scale  float32
	length int // with padding
	values int // without
}

// slices reads the metadata of a compressed tensor. The lengths are those that
// the data has bytes for, and that the shape needs.
func (p Eden) slices(n tensor.Named, info tensor.Info) (slices []edenSlice, seed uint64, err error) {
	table := n.Metadata[0].IntToFloat
	start, okSeed := whole(table[edenSeed])
	count, okCount := whole(table[edenCount])
	if len(table) < 4 || len(table)%2 != 0 || !okSeed || !okCount || count != info.Elements() {
		return nil, 0, invalidf(n, "its metadata says %v values with the seed %v in %d entries, for shape %v", table[edenCount], table[edenSeed], len(table), info.Shape)
	}
	// Where the slices are those that OpenFL makes, padding is told from values.
	meant := edenLengths(count, 1)
	for j, values := range meant {
		if len(meant) != len(table)/2-1 || table[int32(edenSlices+2*j+1)] != float32(padded(values)) {
			meant = nil
			break
		}
	}
	left, total := count, 0
	for key := int32(edenSlices); int(key) < len(table); key += 2 {
		scale, ok := table[key]
		length, whole := whole(table[key+1])
		switch f := float64(scale); {
		case !ok || math.IsNaN(f) || math.IsInf(f, 0):
			return nil, 0, invalidf(n, "slice %d has the scale %v", len(slices), scale)
		case !whole || length < 8 || length&(length-1) != 0 || length > max(8, 2*left) || len(slices) > 0 && left <= 0:
			return nil, 0, invalidf(n, "slice %d has the length %v, with %d of %d values left", len(slices), table[key+1], max(left, 0), count)
		}
		slice := edenSlice{scale, length, min(length, left)}
		if meant != nil {
			slice.values = meant[len(slices)]
		}
		slices = append(slices, slice)
		left -= slice.values
		total += length
	}
	if left > 0 || int64(total/8)*int64(p.bits) != n.DataSize {
		return nil, 0, invalidf(n, "it has %d bytes, and slices of %d entries of %d bits for %d values", n.DataSize, total, p.bits, count)
	}
	return slices, uint64(start), nil
}

// whole reads a number that travels as float32.
func whole(f float32) (int, bool) {
	if !(f >= 0 && f <= math.MaxInt32) {
		return 0, false
	}
	return int(f), float32(int(f)) == f
}

// Decode implements Pipeline.
func (p Eden) Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	info, err := shape(n, 1)
	if err != nil {
		return tensor.Info{}, nil, err
	}
	if len(n.Metadata[0].IntToFloat) == 0 {
		return NoCompression{}.Decode(n, r)
	}
	slices, seed, err := p.slices(n, info)
	if err != nil {
		return tensor.Info{}, nil, err
	}
	return info, &edenReader{p: p, n: n, r: r, seed: seed, slices: slices}, nil
}

// edenReader decodes slice by slice.
type edenReader struct {
	p      Eden
	n      tensor.Named
	r      io.ReaderAt
	seed   uint64
	slices []edenSlice
	at     int // entries before the next slice
	out    bytes.Reader
}

// Read implements [io.Reader].
func (d *edenReader) Read(b []byte) (int, error) {
	for d.out.Len() == 0 {
		if len(d.slices) == 0 {
			return 0, io.EOF
		}
		if err := d.next(); err != nil {
			return 0, err
		}
	}
	return d.out.Read(b)
}

func (d *edenReader) next() error {
	s := d.slices[0]
	d.slices = d.slices[1:]
	v := make([]float32, s.length)
	bins := make([]uint8, s.length)
	plane := d.n.DataSize / int64(d.p.bits)
	raw := make([]byte, s.length/8)
	for b := range d.p.bits {
		n, err := d.r.ReadAt(raw, d.n.DataOffset+int64(b)*plane+int64(d.at/8))
		if n < len(raw) {
			return decodeError(d.n, err)
		}
		for i := range bins {
			bins[i] |= raw[i/8] >> (i % 8) & 1 << b
		}
	}
	for i, bin := range bins {
		v[i] = d.p.centroids[bin]
	}
	for _, i := range []uint64{1, 0} {
		hadamard(v)
		signs(v, d.seed+i)
	}
	for i := range v {
		v[i] *= s.scale
	}
	d.at += s.length
	d.out.Reset(tensor.AppendFloat32s(nil, v[:s.values]))
	return nil
}

// hadamard is the Walsh-Hadamard transform of a power of two of values, divided
// by the root of their number. It is its own inverse. Additions are in the order
// and the precision of OpenFL's, so that both sides decode the same bits.
func hadamard(v []float32) {
	for half := 1; half < len(v); half *= 2 {
		for at := 0; at < len(v); at += 2 * half {
			a, b := v[at:at+half], v[at+half:at+2*half]
			for i, y := range b {
				sum := a[i] + y
				a[i], b[i] = sum, sum-2*y
			}
		}
	}
	root := float32(math.Sqrt(float64(len(v))))
	for i := range v {
		v[i] /= root
	}
}

// signs flips the values that the seed's random signs say: the numbers are those
// of OpenFL's generator (two linear congruential steps and a mix).
func signs(v []float32, seed uint64) {
	const mask = math.MaxUint32
	s := (seed*1664525 + 1013904223) & mask
	s = (s*8121 + 28411) & mask
	eighth := len(v) / 8
	for t := range eighth {
		r := uint64(t) + s
		r = (1103515245*r + 12345 + s) & mask
		r = (1140671485*r + 12820163 + s) & mask
		r += 0x9E3779B9 // 33 bits now, as in OpenFL
		r = (r ^ r>>16) * 0x85EBCA6B & mask
		r = (r ^ r>>13) * 0xC2B2AE35 & mask
		r ^= r >> 16
		for q := range 8 {
			if r>>(4*q)&8 == 0 { // the high bit of nibble q
				v[q*eighth+t] = -v[q*eighth+t]
			}
		}
	}
}
