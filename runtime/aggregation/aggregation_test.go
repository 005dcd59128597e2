package aggregation

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

// values is a Source in memory.
type values []float32

func (v values) ReadBlock(dst []float32, off int) error {
	copy(dst, v[off:off+len(dst)])
	return nil
}

func run(a Algorithm, n int, base Source, updates []Update) ([]float64, error) {
	var out []float64
	err := a.Aggregate("w", n, base, updates, func(b []float64) error {
		out = append(out, b...)
		return nil
	})
	return out, err
}

// Every algorithm must give one value per element, in blocks of bounded size;
// must give back what all collaborators agree on; must give the same bits again;
// and must pass on the errors of its sources and its sink.
func TestContract(t *testing.T) {
	made := 0
	for template, build := range algorithms {
		if build == nil {
			continue
		}
		made++
		t.Run(template, func(t *testing.T) {
			a, err := New(schema.Component{Template: template})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{0, 1, 3, BlockElements - 1, BlockElements, BlockElements + 1, 3*BlockElements + 5} {
				contract(t, a, n)
			}
			one := []Update{{Collaborator: "a", Weight: 1, Data: failing{}}}
			if err := a.Aggregate("w", 5, nil, one, func([]float64) error { return nil }); err == nil || !strings.Contains(err.Error(), "source failed") {
				t.Errorf("a failing source gives %v", err)
			}
			one[0].Data = values{1}
			if err := a.Aggregate("w", 1, nil, one, func([]float64) error { return errors.New("sink failed") }); err == nil || !strings.Contains(err.Error(), "sink failed") {
				t.Errorf("a failing sink gives %v", err)
			}
			if _, err := run(a, 1, nil, nil); err == nil {
				t.Error("no updates give no error")
			}
			swapped := []Update{{Collaborator: "b", Weight: 1, Data: values{1}}, {Collaborator: "a", Weight: 1, Data: values{1}}}
			if _, err := run(a, 1, nil, swapped); err == nil {
				t.Error("updates out of name order give no error")
			}
			same := []Update{{Collaborator: "a", Weight: 1, Data: values{1}}, {Collaborator: "a", Weight: 1, Data: values{1}}}
			if _, err := run(a, 1, nil, same); err == nil {
				t.Error("one collaborator twice gives no error")
			}
		})
	}
	if made == 0 {
		t.Error("no algorithm was tested")
	}
}

func contract(t *testing.T, a Algorithm, n int) {
	t.Helper()
	v := make(values, n)
	for i := range v {
		v[i] = float32(i%977)/8 - 50
	}
	base := make(values, n)
	updates := []Update{{"a", 10, v}, {"b", 30, v}, {"c", 24, v}}
	var got []float64
	err := a.Aggregate("w", n, base, updates, func(b []float64) error {
		if len(b) == 0 || len(b) > BlockElements {
			t.Errorf("a block has %d elements", len(b))
		}
		got = append(got, b...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("got %d elements, want %d", len(got), n)
	}
	for i, x := range got {
		if float32(x) != v[i] {
			t.Fatalf("element %d: all collaborators say %v, the algorithm %v", i, v[i], x)
		}
	}
	if again, err := run(a, n, base, updates); err != nil || !slices.Equal(again, got) {
		t.Error("a second run gives other bits")
	}
}

type failing struct{}

func (failing) ReadBlock([]float32, int) error { return errors.New("source failed") }

// The first round of OpenFL's worked trace: 100 samples against 300.
func TestWeightedAverage(t *testing.T) {
	got, err := run(WeightedAverage{}, 6, nil, []Update{
		{"one", 100, values{0, 1, 2, 3, 4, 5}},
		{"two", 300, values{0, 2, 4, 6, 8, 10}},
	})
	if want := []float64{0, 1.75, 3.5, 5.25, 7, 8.75}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// Blocks must not show in the result: it equals the sum written out plainly.
func TestWeightedAverageAgainstPlainLoop(t *testing.T) {
	const n, k = 2*BlockElements + 77, 7
	r := rand.New(rand.NewPCG(1, 2))
	updates := make([]Update, k)
	sizes := make([]float64, k)
	for i := range updates {
		v := make(values, n)
		for j := range v {
			v[j] = float32(r.NormFloat64())
		}
		sizes[i] = float64(r.IntN(1000) + 1)
		updates[i] = Update{string(rune('a' + i)), sizes[i], v}
	}
	got, err := run(WeightedAverage{}, n, nil, updates)
	if err != nil {
		t.Fatal(err)
	}
	shares, err := Weights(sizes)
	if err != nil {
		t.Fatal(err)
	}
	total := sum(shares)
	for j := range n {
		var want float64
		for i, u := range updates {
			want += float64(shares[i] * float64(u.Data.(values)[j]))
		}
		if want /= total; got[j] != want {
			t.Fatalf("element %d is %v, want %v", j, got[j], want)
		}
	}
}

func TestWeights(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []float64
		want  []float64
		err   string
	}{
		{"sizes", []float64{100, 300}, []float64{0.25, 0.75}, ""},
		{"one has none", []float64{0, 5}, []float64{0, 1}, ""},
		{"all unknown", []float64{-1, -1, -1, -1}, []float64{0.25, 0.25, 0.25, 0.25}, ""},
		{"some unknown", []float64{-1, 5}, nil, "data size is -1"},
		{"negative", []float64{-3, 5}, nil, "data size is -3"},
		{"all zero", []float64{0, 0}, nil, "add up to 0"},
		{"not a number", []float64{math.NaN()}, nil, "NaN"},
		{"infinite", []float64{math.Inf(1), 1}, nil, "+Inf"},
		{"overflow", []float64{math.MaxFloat64, math.MaxFloat64}, nil, "+Inf"},
		{"none", nil, nil, "there are none"},
	} {
		got, err := Weights(tt.sizes)
		if tt.err == "" && (err != nil || !slices.Equal(got, tt.want)) {
			t.Errorf("%s: got %v, %v, want %v", tt.name, got, err, tt.want)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.err)
		}
	}
}

func TestScalar(t *testing.T) {
	got, err := Scalar([]Reported{{"one", 10, 2.5}, {"two", 30, 5}})
	if err != nil || got != 4.375 {
		t.Errorf("got %v, %v, want 4.375", got, err)
	}
	if _, err := Scalar([]Reported{{"two", 1, 1}, {"one", 1, 1}}); err == nil {
		t.Error("metrics out of name order give no error")
	}
	if _, err := Scalar(nil); err == nil {
		t.Error("no metrics give no error")
	}
}

// Stepping from the base is a float32 addition, whose result may differ from
// the rounded average in the last bit.
func TestNext(t *testing.T) {
	base := []float32{1, 0.1, 16777216}
	avg := []float64{1.75, 0.30000000000000004, 3}
	want := []float32{1.75, base[1] + float32(avg[1]-float64(base[1])), base[2] + float32(-16777213)}
	out := make([]float32, 3)
	Next(base, avg, true, out)
	if !slices.Equal(out, want) {
		t.Errorf("with deltas: got %v, want %v", out, want)
	}
	plain := []float32{1.75, 0.3, 3}
	for _, b := range [][]float32{nil, base} {
		Next(b, avg, b == nil, out)
		if !slices.Equal(out, plain) {
			t.Errorf("base %v: got %v, want %v", b, out, plain)
		}
	}
	tiny, huge := []float32{1e-8}, []float64{3.14159265}
	Next(tiny, huge, true, out[:1])
	if out[0] != tiny[0]+float32(huge[0]-float64(tiny[0])) {
		t.Errorf("got %v", out[0])
	}
	// One pair where the two roundings differ, so that the switch matters.
	r := rand.New(rand.NewPCG(3, 4))
	differ := false
	for range 10000 {
		b, a := []float32{float32(r.NormFloat64())}, []float64{r.NormFloat64()}
		var stepped, rounded [1]float32
		Next(b, a, true, stepped[:])
		Next(b, a, false, rounded[:])
		differ = differ || stepped != rounded
	}
	if !differ {
		t.Error("the delta switch never changes a bit")
	}
}

func TestFromReader(t *testing.T) {
	src := FromReader(bytes.NewReader(tensor.AppendFloat32s(nil, []float32{1, 2, 3, 4})))
	got := make([]float32, 2)
	if err := src.ReadBlock(got, 1); err != nil || !slices.Equal(got, []float32{2, 3}) {
		t.Errorf("got %v, %v, want [2 3]", got, err)
	}
	if err := src.ReadBlock(got, 3); err == nil {
		t.Error("reading past the end gives no error")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		c    schema.Component
		want string
	}{
		{schema.Component{Template: "src.agg.Mine"}, "is no aggregation type"},
		{schema.Component{Template: "WeightedAverage"}, `did you mean "openfl.interface.aggregation_functions.WeightedAverage"`},
		{schema.Component{Template: openfl + "Median"}, "is not supported; allowed: " + openfl + "WeightedAverage"},
		{schema.Component{Template: openfl + "WeightedAverage", Settings: map[string]any{"x": 1}}, "takes no settings, found x"},
	} {
		_, err := New(tt.c)
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want an ErrInvalid with %q", tt.c, err, tt.want)
		}
	}
}

// BenchmarkFold folds 8 updates of 64 MiB each, and copies the same bytes for
// comparison: bytes per second are those read.
func BenchmarkFold(b *testing.B) {
	const n, k = 16 << 20, 8
	updates := make([]Update, k)
	for i := range updates {
		raw := make([]byte, 4*n)
		for j := range raw {
			raw[j] = byte(i * j)
		}
		updates[i] = Update{string(rune('a' + i)), float64(i + 1), FromReader(bytes.NewReader(raw))}
	}
	b.Run("weighted-average", func(b *testing.B) {
		b.SetBytes(4 * n * k)
		b.ReportAllocs()
		for b.Loop() {
			if err := (WeightedAverage{}).Aggregate("w", n, nil, updates, func([]float64) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(4 * n * k)
		b.ReportAllocs()
		dst := make([]float32, BlockElements)
		for b.Loop() {
			for off := 0; off < n; off += len(dst) {
				for _, u := range updates {
					if err := u.Data.ReadBlock(dst, off); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	})
}
