package egress

import (
	"bytes"
	"io"
	"math"
	"slices"
	"testing"

	"fx/runtime/tensor"
)

func quantised(t *testing.T, f Filter, values []float32) []float32 {
	t.Helper()
	data := tensor.AppendFloat32s(nil, values)
	least, most, err := Span(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f.Quantised(bytes.NewReader(data), least, most))
	if err != nil {
		t.Fatal(err)
	}
	return tensor.Float32s(b)
}

func TestQuantised(t *testing.T) {
	tests := map[string]struct {
		filter       Filter
		values, want []float32
	}{
		"2 bits":                 {Filter{Bits: 2}, []float32{0, 3, 1.4, 1.6, 2.51}, []float32{0, 3, 1, 2, 3}},
		"ties to even":           {Filter{Bits: 2}, []float32{0, 3, 0.5, 1.5}, []float32{0, 3, 0, 2}},
		"negative":               {Filter{Bits: 2}, []float32{-3, 3, -0.9, 0.9}, []float32{-3, 3, -1, 1}},
		"all the same":           {Filter{Bits: 8}, []float32{7, 7}, []float32{7, 7}},
		"one value":              {Filter{Bits: 8}, []float32{7}, []float32{7}},
		"none":                   {Filter{Bits: 8}, nil, nil},
		"the whole range":        {Filter{Bits: 2}, []float32{-math.MaxFloat32, math.MaxFloat32}, []float32{-math.MaxFloat32, math.MaxFloat32}},
		"float16":                {Filter{To: "float16"}, []float32{1, 1 + 1.0/1024, 1 + 1.0/2048, 1 + 3.0/2048, 0}, []float32{1, 1 + 1.0/1024, 1, 1 + 2.0/1024, 0}},
		"float16, too large":     {Filter{To: "float16"}, []float32{1e6, -1e6, 65504, 65519}, []float32{65504, -65504, 65504, 65504}},
		"float16, subnormal":     {Filter{To: "float16"}, []float32{0x1p-24, 0x1p-25, 0x1.8p-24}, []float32{0x1p-24, 0, 0x1p-23}},
		"bfloat16":               {Filter{To: "bfloat16"}, []float32{1, 1 + 1.0/128, 1 + 1.0/256, -3.14159}, []float32{1, 1 + 1.0/128, 1, -3.140625}},
		"bfloat16, the largest":  {Filter{To: "bfloat16"}, []float32{math.MaxFloat32}, []float32{0x1.fep127}},
		"bfloat16, the smallest": {Filter{To: "bfloat16"}, []float32{0x1p-133, 0x1p-135}, []float32{0x1p-133, 0}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := quantised(t, tt.filter, tt.values); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestQuantisedHasFewValues, in every block, and none further away than half a
// step.
func TestQuantisedHasFewValues(t *testing.T) {
	values := make([]float32, 3*block+7)
	for i := range values {
		values[i] = float32(math.Sin(float64(i)))
	}
	different := map[float32]bool{}
	for i, v := range quantised(t, Filter{Bits: 4}, values) {
		different[v] = true
		if d := math.Abs(float64(v - values[i])); d > 1.0/15+1e-6 {
			t.Fatalf("element %d moved by %v", i, d)
		}
	}
	if len(different) != 16 {
		t.Errorf("%d different values, want 16", len(different))
	}
}

// FuzzQuantised: what comes out of numbers is numbers, no further out, and the
// same again when it is quantised again.
func FuzzQuantised(f *testing.F) {
	f.Add(float32(1), float32(-2), float32(1e30))
	f.Add(float32(0), float32(1e-45), float32(65520))
	f.Fuzz(func(t *testing.T, a, b, c float32) {
		values := []float32{a, b, c}
		for _, v := range values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return
			}
		}
		for _, filter := range []Filter{{Bits: 2}, {Bits: 16}, {To: "float16"}, {To: "bfloat16"}} {
			once := quantised(t, filter, values)
			for i, v := range once {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) || filter.Bits > 0 && (v < slices.Min(values) || v > slices.Max(values)) {
					t.Errorf("%+v made %v of %v", filter, v, values[i])
				}
			}
			if again := quantised(t, filter, once); filter.To != "" && !slices.Equal(again, once) {
				t.Errorf("%+v made %v of %v, and then %v", filter, once, values, again)
			}
		}
	})
}
