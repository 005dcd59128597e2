package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

// Every pipeline must give back name, shape and, unless lossy, the very bytes.
func TestContract(t *testing.T) {
	for template := range pipelines {
		t.Run(template, func(t *testing.T) {
			p, err := New(schema.Component{Template: template, Settings: map[string]any{}})
			if err != nil {
				t.Fatal(err)
			}
			for _, shape := range [][]int{nil, {1}, {7}, {2, 3}, {0, 4}, {1, 1, 200}} {
				info := tensor.Info{Name: "w", DType: tensor.F32, Shape: shape}
				values := []float32{}
				for i := range info.Elements() {
					values = append(values, float32(i)-2.5)
				}
				data := tensor.AppendFloat32s(nil, values)
				got, raw := through(t, p, info, data)
				if got.Name != "w" || got.DType != tensor.F32 || got.Elements() != info.Elements() || len(got.Shape) != len(shape) {
					t.Errorf("shape %v came back as %+v", shape, got)
				}
				if len(raw) != len(data) {
					t.Errorf("shape %v: %d bytes came back, want %d", shape, len(raw), len(data))
				}
				if _, shifts := p.(RandomShift); !p.Lossy() && !shifts && !bytes.Equal(raw, data) {
					t.Errorf("shape %v: payload changed", shape)
				}
				one, two := encode(t, p, "w", shape, values), encode(t, p, "w", shape, values)
				if !bytes.Equal(one, two) {
					t.Errorf("shape %v: encoded twice, it is not the same", shape)
				}
			}
			if Lossless(p).Lossy() {
				t.Error("the lossless form of the pipeline is lossy")
			}
			if want := map[bool]string{false: "compressed", true: "lossy_compressed"}[p.Lossy()]; Tag(p) != want {
				t.Errorf("tag is %q, want %q", Tag(p), want)
			}
		})
	}
	if len(pipelines) < 7 {
		t.Errorf("%d pipelines were tested, OpenFL has 6", len(pipelines)-1)
	}
}

func through(t *testing.T, p Pipeline, info tensor.Info, data []byte) (tensor.Info, []byte) {
	t.Helper()
	src, err := p.Encode(tensor.Named{Name: info.Name, Tags: []string{Tag(p)}}, info, bytes.NewReader(data), 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(src.Metadata) == 0 {
		t.Error("no metadata: OpenFL cannot decode that")
	}
	payload, err := io.ReadAll(src.Data)
	if err != nil {
		t.Fatal(err)
	}
	wire := append(src.AppendHeader(nil), payload...)
	n, err := tensor.ScanNamed(bytes.NewReader(wire), 0, int64(len(wire)))
	if err != nil {
		t.Fatal(err)
	}
	got, section, err := p.Decode(n, bytes.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(section)
	if err != nil {
		t.Fatal(err)
	}
	return got, raw
}

// A message recorded from OpenFL.
func TestNoCompressionRecorded(t *testing.T) {
	wire, err := hex.DecodeString("0a017718012a0a636f6d707265737365642a07747261696e65643204120202033a18000000000000803f0000004000004040000080400000a040")
	if err != nil {
		t.Fatal(err)
	}
	info := tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2, 3}}
	data := tensor.AppendFloat32s(nil, []float32{0, 1, 2, 3, 4, 5})
	n := tensor.Named{Name: "w", Lossless: true, Tags: []string{TagLossless, "trained"}}
	src, err := NoCompression{}.Encode(n, info, bytes.NewReader(data), 5)
	if err != nil {
		t.Fatal(err)
	}
	if got := append(src.AppendHeader(nil), data...); !bytes.Equal(got, wire) {
		t.Errorf("got %x, want %x", got, wire)
	}
	scanned, err := tensor.ScanNamed(bytes.NewReader(wire), 0, int64(len(wire)))
	if err != nil {
		t.Fatal(err)
	}
	got, section, err := NoCompression{}.Decode(scanned, bytes.NewReader(wire))
	if err != nil || !reflect.DeepEqual(got, info) {
		t.Fatalf("got %+v, %v, want %+v", got, err, info)
	}
	if raw, err := io.ReadAll(section); err != nil || !bytes.Equal(raw, data) {
		t.Errorf("got %x, %v, want %x", raw, err, data)
	}
}

func TestNoCompressionRefuses(t *testing.T) {
	for _, info := range []tensor.Info{
		{Name: "w", DType: tensor.F64, Shape: []int{1}},
		{Name: "w", DType: tensor.F32, Shape: []int{-1}},
		{Name: "w", DType: tensor.F32, Shape: []int{1 << 32}},
		{Name: "w", DType: tensor.F32, Shape: []int{1 << 30, 1 << 30, 1 << 30}},
	} {
		if _, err := (NoCompression{}).Encode(tensor.Named{Name: "w"}, info, nil, 0); err == nil {
			t.Errorf("%v is encoded", info)
		}
	}
	if _, _, err := (NoCompression{}).Decode(tensor.Named{Name: "w", DataSize: 4}, nil); !errors.Is(err, tensor.ErrInvalid) {
		t.Errorf("without metadata: got %v, want an ErrInvalid", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		c    schema.Component
		want string
	}{
		{schema.Component{Template: "src.pipe.Mine"}, "is no compression pipeline"},
		{schema.Component{Template: openfl + "EdenPipeline", Settings: map[string]any{"n_bits": 9}}, "n_bits is 9; allowed is an integer from 1 to 8"},
		{schema.Component{Template: openfl + "EdenPipeline", Settings: map[string]any{"device": 3}}, "device is 3; allowed is text"},
		{schema.Component{Template: openfl + "KCPipeline", Settings: map[string]any{"n_clusters": 33}}, "n_clusters is 33; allowed is an integer from 2 to 32"},
		{schema.Component{Template: openfl + "STCPipeline", Settings: map[string]any{"p_sparsity": 0.0}}, "p_sparsity is 0; allowed is a number above 0, up to 1"},
		{schema.Component{Template: openfl + "SKCPipeline", Settings: map[string]any{"clusters": 6}}, `did you mean "n_clusters"`},
		{schema.Component{Template: openfl + "NoCompressionPipeline", Settings: map[string]any{"n_bits": 8}}, "takes no settings, found n_bits"},
	} {
		_, err := New(tt.c)
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want an ErrInvalid with %q", tt.c, err, tt.want)
		}
	}
}
