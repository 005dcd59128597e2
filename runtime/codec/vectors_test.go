package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"os"
	"slices"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

// vector is a tensor and what the Python package openfl 1.9 makes of it; see
// testdata/vectors.py.
type vector struct {
	Pipeline string         `json:"pipeline"`
	Settings map[string]any `json:"settings"`
	Tensor   string         `json:"tensor"`
	Shape    []int          `json:"shape"`
	Values   string         `json:"values"`  // float32, hex
	Decoded  string         `json:"decoded"` // the same, of what OpenFL decodes, or means to
	Message  []byte         `json:"message"` // NamedTensor
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(b, &all); err != nil {
		tb.Fatal(err)
	}
	if len(all) == 0 {
		tb.Fatal("there are no vectors")
	}
	return all
}

func (v vector) pipeline(tb testing.TB) Pipeline {
	tb.Helper()
	settings := map[string]any{}
	for key, value := range v.Settings { // JSON knows no integers
		if f, ok := value.(float64); ok && f == math.Trunc(f) {
			value = int(f)
		}
		settings[key] = value
	}
	p, err := New(schema.Component{Template: openfl + v.Pipeline, Settings: settings})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func floats(tb testing.TB, text string) []float32 {
	tb.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return tensor.Float32s(b)
}

// decode takes a message apart as it arrives.
func decode(tb testing.TB, p Pipeline, message []byte) (tensor.Info, []float32) {
	tb.Helper()
	n, err := tensor.ScanNamed(bytes.NewReader(message), 0, int64(len(message)))
	if err != nil {
		tb.Fatal(err)
	}
	info, values, err := p.Decode(n, bytes.NewReader(message))
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := io.ReadAll(values)
	if err != nil {
		tb.Fatal(err)
	}
	return info, tensor.Float32s(raw)
}

func TestDecodesWhatOpenFLEncodes(t *testing.T) {
	for _, v := range vectors(t) {
		info, got := decode(t, v.pipeline(t), v.Message)
		if want := floats(t, v.Decoded); !slices.Equal(got, want) || !slices.Equal(info.Shape, v.Shape) {
			t.Errorf("%s %v, tensor %s: got %v %v, want %v %v", v.Pipeline, v.Settings, v.Tensor, info.Shape, got, v.Shape, want)
		}
	}
}

// Where nothing is random, both encoders come to the same values.
func TestEncodesAsOpenFLDoes(t *testing.T) {
	for _, v := range vectors(t) {
		p, values, want := v.pipeline(t), floats(t, v.Values), floats(t, v.Decoded)
		message := encode(t, p, v.Tensor, v.Shape, values)
		_, got := decode(t, p, message)
		for i := range want {
			far := math.Abs(float64(got[i]) - float64(want[i]))
			switch v.Pipeline {
			case "NoCompressionPipeline", "STCPipeline":
				if got[i] != want[i] && v.Tensor != "zeros" { // which of equals are kept is open
					t.Errorf("%s, tensor %s: element %d is %v, want %v", v.Pipeline, v.Tensor, i, got[i], want[i])
				}
			case "RandomShiftPipeline":
				if far > 4e-6 {
					t.Errorf("%s, tensor %s: element %d is %v, want %v", v.Pipeline, v.Tensor, i, got[i], want[i])
				}
			}
		}
		if ours, theirs := squaredError(values, got), squaredError(values, want); v.Pipeline == "KCPipeline" && ours > 1.0001*theirs+1e-12 {
			t.Errorf("%s %v, tensor %s: the squared error is %v, OpenFL's %v", v.Pipeline, v.Settings, v.Tensor, ours, theirs)
		}
	}
}

func squaredError(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return sum
}

// encode makes the message of a tensor.
func encode(tb testing.TB, p Pipeline, name string, shape []int, values []float32) []byte {
	tb.Helper()
	n := tensor.Named{Name: name, Round: 3, Tags: []string{Tag(p), "model"}}
	src, err := p.Encode(n, tensor.Info{Name: name, DType: tensor.F32, Shape: shape}, bytes.NewReader(tensor.AppendFloat32s(nil, values)), Seed("fed", "site", name, 3))
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(src.Data)
	if err != nil {
		tb.Fatal(err)
	}
	return append(src.AppendHeader(nil), data...)
}
