package codec

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

func eden(t *testing.T, bits, threshold int) Pipeline {
	t.Helper()
	p, err := New(schema.Component{Template: openfl + "EdenPipeline", Settings: map[string]any{"n_bits": bits, "dim_threshold": threshold}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEdenExample(t *testing.T) {
	v := make([]float32, 16)
	for i := range v {
		v[i] = 1
	}
	signs(v, 5)
	if want := "-+--+++--+-+-+++"; spell(v) != want {
		t.Errorf("signs of seed 5 are %s, want %s", spell(v), want)
	}
	values := make([]float32, 16)
	for i := range values {
		values[i] = float32(i + 1)
	}
	p := eden(t, 2, 4).(Eden)
	packed := make([]byte, 4)
	scale := p.compress(values, 7, func(i, bin int) { p.setBin(packed, i, bin) })
	if want := []byte{233, 185, 102, 87}; !bytes.Equal(packed, want) || math.Abs(float64(scale)-11.132994651794434) > 1e-5 {
		t.Errorf("got %v, scale %v, want %v, 11.132994651794434", packed, scale, want)
	}
}

func spell(v []float32) string {
	var b strings.Builder
	for _, x := range v {
		b.WriteByte("-+"[int(x+1)/2])
	}
	return b.String()
}

// OpenFL's decoder expects a tensor of dim_threshold values to be compressed;
// its own encoder sends it as it is.
func TestEdenAtTheThreshold(t *testing.T) {
	p := eden(t, 4, 10)
	for n, compressed := range map[int]bool{9: false, 10: true, 11: true} {
		values := make([]float32, n)
		values[0] = 1
		message := encode(t, p, "w", []int{n}, values)
		named, err := tensor.ScanNamed(bytes.NewReader(message), 0, int64(len(message)))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(named.Metadata[0].IntToFloat) > 0; got != compressed {
			t.Errorf("%d values: compressed is %v, want %v", n, got, compressed)
		}
	}
}

// More bits come closer, whatever the length.
func TestEdenError(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 7, 8, 9, 100, 127, 129, 1000, 1500, 5000} {
		values := make([]float32, n)
		norm := 0.0
		for i := range values {
			values[i] = float32(rng.NormFloat64())
			norm += float64(values[i]) * float64(values[i])
		}
		last := math.Inf(1)
		for _, bits := range []int{1, 4, 8} {
			p := eden(t, bits, 0)
			_, got := decode(t, p, encode(t, p, "w", []int{n}, values))
			off := squaredError(values, got) / norm
			if off > last && n > 8 {
				t.Errorf("%d values with %d bits are off by %v, with fewer bits by %v", n, bits, off, last)
			}
			if bits == 8 && off > 1e-3 {
				t.Errorf("%d values with 8 bits are off by %v of their norm", n, off)
			}
			last = off
		}
	}
}

func TestEdenRefuses(t *testing.T) {
	p := eden(t, 4, 10)
	if err := p.Check(tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{1<<24 + 1}}); err == nil || !strings.Contains(err.Error(), "cannot hold") {
		t.Errorf("2^24 + 1 values: got %v, want an error", err)
	}
	good := func() tensor.Named {
		return tensor.Named{Name: "w", DataSize: 8, Metadata: []tensor.Metadata{{IntList: []int32{12}, IntToFloat: map[int32]float32{0: 1, 1: 12, 2: 1, 3: 16}}}}
	}
	if _, err := p.Info(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(n *tensor.Named, m map[int32]float32){
		"size":              func(n *tensor.Named, _ map[int32]float32) { n.DataSize = 7 },
		"count":             func(_ *tensor.Named, m map[int32]float32) { m[1] = 13 },
		"no count":          func(_ *tensor.Named, m map[int32]float32) { delete(m, 1) },
		"seed":              func(_ *tensor.Named, m map[int32]float32) { m[0] = 0.5 },
		"negative seed":     func(_ *tensor.Named, m map[int32]float32) { m[0] = -1 },
		"scale":             func(_ *tensor.Named, m map[int32]float32) { m[2] = float32(math.Inf(1)) },
		"no scale":          func(_ *tensor.Named, m map[int32]float32) { delete(m, 2); m[4] = 3 },
		"length":            func(_ *tensor.Named, m map[int32]float32) { m[3] = 12 },
		"long slice":        func(n *tensor.Named, m map[int32]float32) { m[3], n.DataSize = 1<<20, 1<<19 },
		"short slice":       func(n *tensor.Named, m map[int32]float32) { m[3], n.DataSize = 8, 4 },
		"slice for nothing": func(n *tensor.Named, m map[int32]float32) { m[4], m[5], n.DataSize = 1, 8, 12 },
		"shape":             func(n *tensor.Named, _ map[int32]float32) { n.Metadata[0].IntList = []int32{3, 5} },
		"two steps":         func(n *tensor.Named, _ map[int32]float32) { n.Metadata = append(n.Metadata, tensor.Metadata{}) },
	} {
		n := good()
		spoil(&n, n.Metadata[0].IntToFloat)
		if _, err := p.Info(n); !errors.Is(err, tensor.ErrInvalid) {
			t.Errorf("%s: got %v, want an ErrInvalid", name, err)
		}
	}
}

// 13 values are slices of 8, 4 and 1 with OpenFL, the latter two padded to 8:
// its own decoder takes the padding of the second for values.
func TestEdenSlicesWithPaddingInTheMiddle(t *testing.T) {
	p := eden(t, 8, 0).(Eden)
	values := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	n := tensor.Named{Name: "w", DataSize: 24, Metadata: []tensor.Metadata{{IntList: []int32{13}, IntToFloat: map[int32]float32{0: 9, 1: 13}}}}
	packed := make([]byte, 24)
	at := 0
	for j, l := range []int{8, 4, 1} {
		slice := make([]float32, 8)
		copy(slice, values[at:at+l])
		n.Metadata[0].IntToFloat[int32(2+2*j)] = p.compress(slice, 9, func(i, bin int) { p.setBin(packed, 8*j+i, bin) })
		n.Metadata[0].IntToFloat[int32(3+2*j)] = 8
		at += l
	}
	_, decoded, err := p.Decode(n, bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(decoded)
	if err != nil {
		t.Fatal(err)
	}
	if got := tensor.Float32s(raw); len(got) != 13 || squaredError(values, got) > 0.1 {
		t.Errorf("got %v, want about %v", got, values)
	}
}
