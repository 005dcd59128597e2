package codec

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"fx/runtime/tensor"
)

// pythonDecode is OpenFL's decoder of labels, with the keys in this order: in
// place, one key after the other.
func pythonDecode(t *testing.T, packed []byte, table map[int32]float32, order []int32) []float32 {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	data := slices.Clone(tensor.Float32s(raw))
	for _, key := range order {
		for i, v := range data {
			if v == float32(key) {
				data[i] = table[key]
			}
		}
	}
	return data
}

// In whatever order an OpenFL decoder goes through the table, it comes to the
// values that were meant, although it replaces what it has replaced already.
func TestEveryOrderOfKeysDecodesRight(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, distinct := range [][]float32{
		{-1, 0, 1}, {0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2}, {5, 1, -1, 0}, {0.5, 1, 0, 2.5, 4}, {-0.25, 0, 0.25}, {2}, {0}, {1e-7, 1}, {1, 3, 4, 2}, {},
	} {
		values := []float32{}
		for range 20 {
			if len(distinct) > 0 {
				values = append(values, distinct[rng.IntN(len(distinct))])
			}
		}
		table, packed, err := encodeLabels(values)
		if err != nil {
			t.Fatal(err)
		}
		keys := []int32{}
		for k := range table {
			keys = append(keys, k)
		}
		for range 200 {
			rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			if got := pythonDecode(t, packed, table, keys); !slices.Equal(got, values) {
				t.Fatalf("of %v with the table %v, keys in the order %v give %v", values, table, keys, got)
			}
		}
	}
}

func TestKMeansFindsWhatIsFarOut(t *testing.T) {
	values := []float32{1e6, -1e6}
	for i := range 1000 {
		values = append(values, 1+float32(i%2)*1e-3)
	}
	got := quantize(values, 4)
	if !slices.Equal(got, values) {
		t.Errorf("four distinct values are not four clusters: %v", slices.Compact(slices.Sorted(slices.Values(got))))
	}
	if got := quantize([]float32{3, 3, 3, 3, 3, 3, 3}, 6); !slices.Equal(got, []float32{3, 3, 3, 3, 3, 3, 3}) {
		t.Errorf("equal values became %v", got)
	}
}

// The example of the algorithm's description: mean magnitude of all ten values.
func TestTernaryExample(t *testing.T) {
	got := ternary(sparse([]float32{5, -4, 3, .1, .2, -.3, .05, .01, .02, .03}, 0.3))
	want := []float32{1.2, -1.2, 1.2, 0, 0, 0, 0, 0, 0, 0}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Errorf("element %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestSparseKeepsExactlyItsShare(t *testing.T) {
	for _, tt := range []struct {
		values []float32
		share  float64
		want   int
	}{
		{[]float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 0.3, 3}, {[]float32{0, 0, 0, 0}, 0.5, 2}, {[]float32{1, -2, 2, -1}, 0.6, 3}, {[]float32{7}, 0.01, 1}, {[]float32{4, 5}, 1, 2}, {nil, 1, 0},
	} {
		kept := 0
		for _, v := range sparse(tt.values, tt.share) {
			if v != 0 {
				kept++
			}
		}
		if kept != tt.want {
			t.Errorf("%v of %v keeps %d values, want %d", tt.share, tt.values, kept, tt.want)
		}
	}
}
