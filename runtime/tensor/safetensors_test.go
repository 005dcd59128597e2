package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// file frames a header and a payload as safetensors does.
func file(header string, payload int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range payload {
		b = append(b, byte(i))
	}
	return b
}

func f32(name string, shape []int, v ...float32) Source {
	return Source{Info{name, F32, shape}, bytes.NewReader(AppendFloat32s(nil, v))}
}

// The bytes are those that the Python package safetensors 0.8.0 writes for the
// same two arrays and metadata.
func TestWriteSafetensorsBytes(t *testing.T) {
	var b bytes.Buffer
	err := WriteSafetensors(&b, map[string]string{"k": "v"}, []Source{
		f32("w", []int{2, 3}, 0, 1, 2, 3, 4, 5),
		f32("b", []int{2}, 0, 1),
		f32("s", nil, 4.375),
	})
	if err != nil {
		t.Fatal(err)
	}
	head := `{"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"s":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[12,36]}}`
	head += strings.Repeat(" ", (8-len(head)%8)%8)
	want := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	want = append(want, head...)
	want = AppendFloat32s(want, []float32{0, 1, 4.375, 0, 1, 2, 3, 4, 5})
	if got := b.Bytes(); !bytes.Equal(got, want) {
		t.Errorf("wrote\n%q, want\n%q", got, want)
	}
}

func TestSafetensorsRoundTrip(t *testing.T) {
	meta := map[string]string{"b<&>": "ü\n\"", "a": ""}
	sources := func() []Source {
		return []Source{
			f32("layer.0/weight", []int{2, 2}, 1, -2, 3, -4),
			f32("empty", []int{0, 7}),
			{Info{"i", I64, []int{1}}, strings.NewReader("12345678")},
			f32(`quo"te <&> é`, nil, 0.5),
		}
	}
	var b bytes.Buffer
	if err := WriteSafetensors(&b, meta, sources()); err != nil {
		t.Fatal(err)
	}
	var reversed bytes.Buffer
	back := sources()
	back[0], back[3] = back[3], back[0]
	if err := WriteSafetensors(&reversed, meta, back); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), reversed.Bytes()) {
		t.Error("the order of the sources shows in the file")
	}
	f, err := OpenSafetensors(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Metadata(); !reflect.DeepEqual(got, meta) {
		t.Errorf("metadata is %q, want %q", got, meta)
	}
	var names []string
	for _, info := range f.Infos() {
		names = append(names, info.Name)
	}
	if want := []string{"empty", "i", "layer.0/weight", `quo"te <&> é`}; !reflect.DeepEqual(names, want) {
		t.Errorf("names are %q, want %q", names, want)
	}
	section, err := f.Section("layer.0/weight")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(section)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{1, -2, 3, -4}; !reflect.DeepEqual(Float32s(got), want) {
		t.Errorf("payload is %v, want %v", Float32s(got), want)
	}
	if _, err := f.Section("absent"); err == nil {
		t.Error("an absent tensor has a section")
	}
}

func TestOpenSafetensorsRefuses(t *testing.T) {
	const ok = `"dtype":"F32","shape":[1],"data_offsets":[0,4]`
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty file", nil, "at least 8 bytes"},
		{"header over limit", binary.LittleEndian.AppendUint64(nil, 100_000_001), "at most 100000000"},
		{"header beyond file", binary.LittleEndian.AppendUint64(nil, 100), "only 0 follow"},
		{"empty header", file("", 0), "begin with '{'"},
		{"leading space", file(" {}", 0), "begin with '{'"},
		{"not utf-8", file("{\"\xff\":1}", 0), "not UTF-8"},
		{"not json", file("{\"a\"", 0), "not JSON"},
		{"list", file("{[", 0), "not JSON"},
		{"trailing", file("{}x", 0), "after its closing"},
		{"trailing newline", file("{}\n", 0), "after its closing"},
		{"duplicate tensor", file(`{"a":{`+ok+`},"a":{`+ok+`}}`, 4), `"a" twice`},
		{"duplicate key", file(`{"a":{"dtype":"F32",`+ok+`}}`, 4), `"dtype" twice`},
		{"duplicate metadata", file(`{"__metadata__":{"x":"1","x":"2"}}`, 0), `"x" twice`},
		{"metadata number", file(`{"__metadata__":{"x":1}}`, 0), "text was expected"},
		{"metadata text", file(`{"__metadata__":"x"}`, 0), "'{' was expected"},
		{"unknown key", file(`{"a":{`+ok+`,"strides":[1]}}`, 4), `"strides"`},
		{"missing key", file(`{"a":{"dtype":"F32","shape":[1]}}`, 4), "lacks one of"},
		{"unknown dtype", file(`{"a":{"dtype":"F128","shape":[1],"data_offsets":[0,16]}}`, 16), `"F128"`},
		{"dtype number", file(`{"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}}`, 4), "text was expected"},
		{"negative shape", file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "not negative"},
		{"fractional shape", file(`{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}`, 4), "whole number"},
		{"huge number", file(`{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}`, 4), "whole number"},
		{"shape overflow", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "too large to count"},
		{"bytes overflow", file(`{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}}`, 0), "too large to count"},
		{"rank", file(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("1,", 32)+`1],"data_offsets":[0,4]}}`, 4), "more than 32"},
		{"one offset", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4), "1 data_offsets"},
		{"three offsets", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}`, 4), "more than 2"},
		{"wrong span", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "needs 8 bytes"},
		{"reversed span", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), "begins at byte 4"},
		{"hole at start", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "0 was expected"},
		{"hole", file(`{"a":{`+ok+`},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12), "4 was expected"},
		{"overlap", file(`{"a":{`+ok+`},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "4 was expected"},
		{"payload too long", file(`{"a":{`+ok+`}}`, 5), "the file has 5"},
		{"payload too short", file(`{"a":{`+ok+`}}`, 3), "the file has 3"},
		{"no name", file(`{"":{`+ok+`}}`, 4), "no name"},
		{"long name", file(`{"`+strings.Repeat("n", MaxName+1)+`":{`+ok+`}}`, 4), "at most 4096"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := OpenSafetensors(bytes.NewReader(tt.data), int64(len(tt.data)))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

// What task code makes has a shorter header than what else there is.
func TestOpenOutput(t *testing.T) {
	for n, want := range map[int]bool{MaxOutputHeader: true, MaxOutputHeader + 8: false} {
		b := file("{}"+strings.Repeat(" ", n-2), 0)
		if _, err := OpenSafetensors(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("a header of %d bytes: %v", n, err)
		}
		if _, err := OpenOutput(bytes.NewReader(b), int64(len(b))); (err == nil) != want {
			t.Errorf("an output with a header of %d bytes: %v", n, err)
		}
	}
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		sources []Source
		want    string
	}{
		{"two of a name", []Source{f32("a", nil, 1), f32("a", nil, 1)}, "two tensors"},
		{"metadata as name", []Source{f32("__metadata__", nil, 1)}, "may not be named"},
		{"short data", []Source{f32("a", []int{2}, 1)}, "ended after 4 of 8"},
		{"long data", []Source{f32("a", []int{1}, 1, 2)}, "goes on after 4"},
		{"no data", []Source{{Info: Info{"a", F32, nil}}}, "no data"},
		{"unknown dtype", []Source{{Info: Info{"a", "X", nil}}}, `"X"`},
		{"negative shape", []Source{{Info: Info{"a", F32, []int{-1}}}}, "negative"},
		{"read error", []Source{{Info{"a", F32, nil}, iotest.ErrReader(errors.New("disk on fire"))}}, "disk on fire"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := WriteSafetensors(io.Discard, nil, tt.sources)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A file whose medium fails is not an invalid file.
func TestOpenSafetensorsReadError(t *testing.T) {
	cause := errors.New("medium failed")
	_, err := OpenSafetensors(failingReaderAt{cause}, 100)
	if !errors.Is(err, cause) || errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want %v alone", err, cause)
	}
}

type failingReaderAt struct{ error }

func (f failingReaderAt) ReadAt([]byte, int64) (int, error) { return 0, f.error }

func FuzzSafetensors(f *testing.F) {
	f.Add(file(`{}`, 0))
	f.Add(file(`{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Add(file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := OpenSafetensors(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		var total int64
		var sources []Source
		for _, info := range file.Infos() {
			s, err := file.Section(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			total += info.Bytes()
			sources = append(sources, Source{info, s})
		}
		if total > int64(len(data)) {
			t.Fatalf("tensors of %d bytes in a file of %d", total, len(data))
		}
		var once, twice bytes.Buffer
		if err := WriteSafetensors(&once, file.Metadata(), sources); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := OpenSafetensors(bytes.NewReader(once.Bytes()), int64(once.Len()))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		sources = sources[:0]
		for _, info := range again.Infos() {
			s, err := again.Section(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, Source{info, s})
		}
		if err := WriteSafetensors(&twice, again.Metadata(), sources); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatal("the canonical form is not stable")
		}
	})
}

func TestFloat32s(t *testing.T) {
	want := []float32{0, 1, -2.5, 1e-45, 3e38}
	b := AppendFloat32s([]byte{9}, want)
	if got := appendFloat32s([]byte{9}, want); !bytes.Equal(got, b) {
		t.Errorf("the portable loop writes %x, the fast path %x", got, b)
	}
	// Offset 1 is not aligned, so this takes the copying path on any machine.
	if got := Float32s(b[1:]); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	aligned := append([]byte(nil), b[1:]...)
	if got := Float32s(append(aligned, 1, 2)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestElements(t *testing.T) {
	for _, tt := range []struct {
		shape []int
		want  int
	}{
		{nil, 1}, {[]int{}, 1}, {[]int{2, 3}, 6}, {[]int{0}, 0}, {[]int{1 << 40, 1 << 40}, -1},
		{[]int{-1}, -1}, {[]int{0, -1}, -1}, {[]int{1 << 40, 0}, 0},
	} {
		if got := (Info{Shape: tt.shape}).Elements(); got != tt.want {
			t.Errorf("shape %v has %d elements, want %d", tt.shape, got, tt.want)
		}
	}
}

func TestSummarize(t *testing.T) {
	nan := AppendFloat32s(nil, []float32{3, -4})
	nan = append(nan, 0, 0, 0xc0, 0x7f)
	s, err := Summarize(bytes.NewReader(nan), 3)
	if err != nil {
		t.Fatal(err)
	}
	if s.Norm != 5 || s.MaxAbs != 4 || s.NonFinite != 1 || len(s.SHA256) != 64 {
		t.Errorf("got %+v", s)
	}
	if _, err := Summarize(bytes.NewReader(nan), 4); err == nil {
		t.Error("three elements pass for four")
	}
}
