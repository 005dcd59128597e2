package codec

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

// decoders are what the fuzzed number chooses from.
func decoders(tb testing.TB) []Pipeline {
	var all []Pipeline
	for _, c := range []schema.Component{
		{Template: openfl + "NoCompressionPipeline"}, {Template: openfl + "RandomShiftPipeline"}, {Template: openfl + "KCPipeline"},
		{Template: openfl + "SKCPipeline"}, {Template: openfl + "STCPipeline"},
		{Template: openfl + "EdenPipeline", Settings: map[string]any{"n_bits": 1}}, {Template: openfl + "EdenPipeline", Settings: map[string]any{"n_bits": 8}},
	} {
		p, err := New(c)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// Whatever arrives, a decoder gives as many values as it said, or the error of
// an invalid tensor.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		for i := range decoders(f) {
			f.Add(byte(i), v.Message)
		}
	}
	pipelines := decoders(f)
	f.Fuzz(func(t *testing.T, which byte, message []byte) {
		p := pipelines[int(which)%len(pipelines)]
		n, err := tensor.ScanNamed(bytes.NewReader(message), 0, int64(len(message)))
		if err != nil {
			return
		}
		info, err := p.Info(n)
		if err == nil && info.Elements() > 1<<20 {
			return // the caller knows that it is not the shape of its tensor
		}
		decoded, values, err2 := p.Decode(n, bytes.NewReader(message))
		if err != nil && err2 == nil {
			t.Fatalf("it is decoded, but %v", err)
		}
		if err2 != nil {
			if !errors.Is(err2, tensor.ErrInvalid) {
				t.Fatalf("got %v, want an ErrInvalid", err2)
			}
			return
		}
		size, err := io.Copy(io.Discard, values)
		if err != nil {
			if !errors.Is(err, tensor.ErrInvalid) {
				t.Fatalf("got %v, want an ErrInvalid", err)
			}
			return
		}
		if size != decoded.Bytes() || decoded.Bytes() != info.Bytes() {
			t.Fatalf("%d bytes came out of a tensor of %d, which was announced with %d", size, decoded.Bytes(), info.Bytes())
		}
	})
}

// A small message does not unpack to more than its shape.
func TestABombIsNotUnpacked(t *testing.T) {
	zeros := make([]float32, 1<<20)
	table, packed, err := encodeLabels(zeros)
	if err != nil {
		t.Fatal(err)
	}
	for _, elements := range []int32{3, 1<<20 - 1, 1<<20 + 1, 1 << 30} {
		n := tensor.Named{Name: "w", DataSize: int64(len(packed)), Metadata: []tensor.Metadata{{IntList: []int32{elements}, IntToFloat: table}, {}}}
		_, values, err := KC{6}.Decode(n, bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		size, err := io.Copy(io.Discard, values)
		if !errors.Is(err, tensor.ErrInvalid) || size > 4<<20 {
			t.Errorf("shape [%d]: %d bytes and %v, want an ErrInvalid", elements, size, err)
		}
	}
}
