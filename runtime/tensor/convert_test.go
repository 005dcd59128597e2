package tensor

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestConvertBothWays(t *testing.T) {
	var pbuf bytes.Buffer
	err := WriteModel(&pbuf, []NamedSource{
		{Named{Name: "b", Round: 3, Lossless: true, Tags: ModelTags(), Metadata: ShapeMetadata([]int{2}), DataSize: 8}, bytes.NewReader(AppendFloat32s(nil, []float32{0, 1}))},
		{Named{Name: "s", Round: 3, Lossless: true, Tags: ModelTags(), Metadata: ShapeMetadata(nil), DataSize: 4}, bytes.NewReader(AppendFloat32s(nil, []float32{7}))},
	})
	if err != nil {
		t.Fatal(err)
	}
	model, err := ScanModel(bytes.NewReader(pbuf.Bytes()), int64(pbuf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var st bytes.Buffer
	if err := ModelToSafetensors(&st, bytes.NewReader(pbuf.Bytes()), model); err != nil {
		t.Fatal(err)
	}
	f, err := OpenSafetensors(bytes.NewReader(st.Bytes()), int64(st.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Metadata()[RoundKey]; got != "3" {
		t.Errorf("round is %q, want 3", got)
	}
	var back bytes.Buffer
	if err := SafetensorsToModel(&back, f); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Bytes(), pbuf.Bytes()) {
		t.Errorf("there and back gives %x, want %x", back.Bytes(), pbuf.Bytes())
	}
}

func TestConvertRefuses(t *testing.T) {
	open := func(b []byte) *File {
		f, err := OpenSafetensors(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"float64", "dtype F64", file(`{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 8)},
		{"foreign metadata", `metadata "who"`, file(`{"__metadata__":{"who":"me"}}`, 0)},
		{"round is text", "whole number", file(`{"__metadata__":{"fx.round":"one"}}`, 0)},
		{"dimension", "dimension of", file(`{"a":{"dtype":"F32","shape":[4294967296,0],"data_offsets":[0,0]}}`, 0)},
	} {
		err := SafetensorsToModel(&bytes.Buffer{}, open(tt.data))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an ErrInvalid with %q", tt.name, err, tt.want)
		}
	}
	mixed := []Named{{Name: "a", Metadata: ShapeMetadata([]int{0})}, {Name: "b", Round: 1, Metadata: ShapeMetadata([]int{0})}}
	if err := ModelToSafetensors(&bytes.Buffer{}, bytes.NewReader(nil), mixed); err == nil || !strings.Contains(err.Error(), "one round") {
		t.Errorf("two rounds: got %v", err)
	}
}
