package tensor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Messages recorded from OpenFL: a trained weight, a metric (a scalar, whose
// metadata is one empty entry: 32 00), and the empty answer.
var recorded = []struct {
	name, wire string
	want       Named
	data       []float32
}{
	{
		"weight", "0a017718012a0a636f6d707265737365642a07747261696e65643204120202033a18000000000000803f0000004000004040000080400000a040",
		Named{Name: "w", Lossless: true, Tags: []string{"compressed", "trained"}, Metadata: []Metadata{{IntList: []int32{2, 3}}}, DataOffset: 34, DataSize: 24},
		[]float32{0, 1, 2, 3, 4, 5},
	},
	{
		"metric", "0a036163631001180120012a0a636f6d707265737365642a066d65747269632a0c76616c69646174655f61676732003a0400008c40",
		Named{Name: "acc", Round: 1, Lossless: true, Report: true, Tags: []string{"compressed", "metric", "validate_agg"}, Metadata: []Metadata{{}}, DataOffset: 49, DataSize: 4},
		[]float32{4.375},
	},
	{"empty", "", Named{}, nil},
}

func TestScanNamedRecorded(t *testing.T) {
	for _, tt := range recorded {
		t.Run(tt.name, func(t *testing.T) {
			wire := unhex(t, tt.wire)
			// Surround the message, as it is inside a TaskResults.
			whole := append(append([]byte("before"), wire...), "after"...)
			got, err := ScanNamed(bytes.NewReader(whole), 6, int64(len(wire)))
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			want.DataOffset += 6
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v, want\n%+v", got, want)
			}
			payload := whole[got.DataOffset : got.DataOffset+got.DataSize]
			if v := Float32s(payload); !reflect.DeepEqual(v, tt.data) {
				t.Errorf("payload is %v, want %v", v, tt.data)
			}
			if again := append(got.AppendHeader(nil), payload...); !bytes.Equal(again, wire) {
				t.Errorf("written again: %x, want %x", again, wire)
			}
		})
	}
}

func TestModelRoundTrip(t *testing.T) {
	tensors := []Named{
		{Name: "w", Round: 7, Lossless: true, Tags: []string{"model"}, Metadata: ShapeMetadata([]int{2, 3}), DataSize: 24},
		{Name: "b", Round: 7, Tags: []string{"model"}, Metadata: ShapeMetadata([]int{2}), DataSize: 8},
		{Name: "scalar", Round: 7, Metadata: ShapeMetadata(nil), DataSize: 4},
		{Name: "zero", Round: 7, Metadata: ShapeMetadata([]int{0, 4})},
		{Name: "odd", Round: -1, Report: true, Metadata: []Metadata{
			{IntToFloat: map[int32]float32{0: -1.5, -1: 0, 300: 2}, IntList: []int32{-1, 1 << 30}, BoolList: []bool{true, false}}, {},
		}, DataSize: 9000},
	}
	payload := func(n Named) []byte { return bytes.Repeat([]byte(n.Name[:1]), int(n.DataSize)) }
	var sources []NamedSource
	for _, n := range tensors {
		sources = append(sources, NamedSource{n, bytes.NewReader(payload(n))})
	}
	var b bytes.Buffer
	if err := WriteModel(&b, sources); err != nil {
		t.Fatal(err)
	}
	counted := &countingReaderAt{r: bytes.NewReader(b.Bytes())}
	got, err := ScanModel(counted, int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(tensors) {
		t.Fatalf("got %d tensors, want %d", len(got), len(tensors))
	}
	for i, n := range got {
		if p := b.Bytes()[n.DataOffset : n.DataOffset+n.DataSize]; !bytes.Equal(p, payload(n)) {
			t.Errorf("payload of %q differs", n.Name)
		}
		n.DataOffset = 0
		if !reflect.DeepEqual(n, tensors[i]) {
			t.Errorf("got\n%+v, want\n%+v", n, tensors[i])
		}
	}
	if counted.n > 6000 {
		t.Errorf("scanning read %d bytes of a file of %d", counted.n, b.Len())
	}
}

// Scanning must not touch payloads: a model of 8 GiB is scanned from a reader
// that has only its header.
func TestScanModelSkipsPayload(t *testing.T) {
	const size = 8 << 30
	n := Named{Name: "w", Metadata: ShapeMetadata([]int{1 << 30, 2}), DataSize: size}
	head := n.AppendHeader(nil)
	frame := protowire.AppendTag(nil, modelTensors, protowire.BytesType)
	frame = protowire.AppendVarint(frame, uint64(len(head))+size)
	frame = append(frame, head...)
	got, err := ScanModel(zeroTail(frame), int64(len(frame))+size)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := got[0].Info(); err != nil || info.Bytes() != size {
		t.Errorf("got %+v, %v", info, err)
	}
}

func TestScanRefuses(t *testing.T) {
	wrap := func(named ...byte) []byte { return append([]byte{0x0a, byte(len(named))}, named...) }
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"other field of a model", []byte{0x12, 0x00}, "not part of a model"},
		{"field zero", []byte{0x00}, "not a field tag"},
		{"cut off tag", []byte{0x80}, "cut off"},
		{"tensor longer than file", []byte{0x0a, 0x05, 0x00}, "only 1 follow"},
		{"length over int64", append([]byte{0x0a}, bytes.Repeat([]byte{0xff}, 9)...), "cut off or too long"},
		{"no name", wrap(), "no name"},
		{"same name twice", append(wrap(0x0a, 1, 'a'), wrap(0x0a, 1, 'a')...), "two tensors"},
		{"name is not text", wrap(0x0a, 1, 0xff), "not UTF-8"},
		{"tag is not text", wrap(0x2a, 1, 0xff), "not UTF-8"},
		{"name twice", wrap(0x0a, 1, 'a', 0x0a, 1, 'a'), "there twice"},
		{"data twice", wrap(0x0a, 1, 'a', 0x3a, 0, 0x3a, 0), "there twice"},
		{"unknown field", wrap(0x42, 0), "no field 8"},
		{"wrong wire type", wrap(0x08, 1), "wire type 0"},
		{"bool of 2", wrap(0x18, 2), "0 or 1"},
		{"round over int32", wrap(0x10, 0x80, 0x80, 0x80, 0x80, 0x08), "no int32"},
		{"data beyond tensor", wrap(0x3a, 5, 0), "only 1 follow"},
		{"metadata unknown field", wrap(0x32, 2, 0x20, 1), "no field 4"},
		{"metadata cut off", wrap(0x32, 2, 0x12, 5), "cut off"},
		{"metadata number over int32", wrap(0x32, 7, 0x12, 5, 0x80, 0x80, 0x80, 0x80, 0x08), "out of range"},
		{"metadata bool of 2", wrap(0x32, 3, 0x1a, 1, 2), "out of range"},
		{"int_to_float key twice", wrap(0x32, 8, 0x0a, 2, 8, 1, 0x0a, 2, 8, 1), "twice"},
		{"int_to_float cut off", wrap(0x32, 4, 0x0a, 2, 0x15, 1), "cut off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ScanModel(bytes.NewReader(tt.data), int64(len(tt.data)))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func TestNamedInfoRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    Named
	}{
		{"no metadata", Named{Name: "a", DataSize: 4}},
		{"two steps", Named{Name: "a", DataSize: 4, Metadata: []Metadata{{}, {}}}},
		{"a code book", Named{Name: "a", DataSize: 4, Metadata: []Metadata{{IntToFloat: map[int32]float32{0: 1}}}}},
		{"negative shape", Named{Name: "a", DataSize: 4, Metadata: []Metadata{{IntList: []int32{-1}}}}},
		{"wrong size", Named{Name: "a", DataSize: 4, Metadata: []Metadata{{IntList: []int32{2}}}}},
		{"no data", Named{Name: "a", Metadata: []Metadata{{}}}},
	} {
		if _, err := tt.n.Info(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want an ErrInvalid", tt.name, err)
		}
	}
}

// An unpacked list means the same as a packed one.
func TestUnpackedList(t *testing.T) {
	m, err := parseMetadata([]byte{0x10, 2, 0x10, 3, 0x18, 1})
	if err != nil || !reflect.DeepEqual(m, Metadata{IntList: []int32{2, 3}, BoolList: []bool{true}}) {
		t.Errorf("got %+v, %v", m, err)
	}
}

type countingReaderAt struct {
	r io.ReaderAt
	n int
}

func (c *countingReaderAt) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(b, off)
	c.n += n
	return n, err
}

// zeroTail reads as its bytes followed by zeros without end.
type zeroTail []byte

func (z zeroTail) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(z)) {
		copy(b, z[off:])
	}
	return len(b), nil
}

func FuzzModel(f *testing.F) {
	for _, r := range recorded {
		wire := unhex(f, r.wire)
		f.Add(append(protowire.AppendVarint([]byte{0x0a}, uint64(len(wire))), wire...))
	}
	f.Add([]byte{0x0a, 0x09, 0x0a, 1, 'a', 0x32, 4, 0x0a, 2, 8, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := ScanModel(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		write := func(data []byte, tensors []Named) []byte {
			var sources []NamedSource
			for _, n := range tensors {
				if n.DataOffset < 0 || n.DataSize < 0 || n.DataOffset+n.DataSize > int64(len(data)) {
					t.Fatalf("payload of %q is outside the file", n.Name)
				}
				sources = append(sources, NamedSource{n, bytes.NewReader(data[n.DataOffset : n.DataOffset+n.DataSize])})
			}
			var b bytes.Buffer
			if err := WriteModel(&b, sources); err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
			return b.Bytes()
		}
		once := write(data, tensors)
		again, err := ScanModel(bytes.NewReader(once), int64(len(once)))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice := write(once, again); !bytes.Equal(once, twice) {
			t.Fatal("the canonical form is not stable")
		}
	})
}
