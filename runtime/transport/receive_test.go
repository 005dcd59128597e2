package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/runtime/transport"
)

// chunks is an upload that arrives as given, each message in wire form.
type chunks struct {
	openflpb.Aggregator_SendLocalTaskResultsServer
	wire [][]byte
}

func (c *chunks) Context() context.Context { return context.Background() }

func (c *chunks) RecvMsg(m any) error {
	if len(c.wire) == 0 {
		return io.EOF
	}
	err := transport.Wire().Unmarshal(mem.BufferSlice{mem.SliceBuffer(c.wire[0])}, m)
	c.wire = c.wire[1:]
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

func upload(t testing.TB, parts ...*openflpb.DataStream) *chunks {
	t.Helper()
	c := &chunks{}
	for _, p := range parts {
		b, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		c.wire = append(c.wire, b)
	}
	return c
}

func TestReceive(t *testing.T) {
	part := func(size uint32, s string) *openflpb.DataStream {
		return &openflpb.DataStream{Size: size, Npbytes: []byte(s)}
	}
	tests := []struct {
		name  string
		parts []*openflpb.DataStream
		limit int64
		want  string
		code  codes.Code
	}{
		{"one chunk", []*openflpb.DataStream{part(3, "abc")}, 10, "abc", codes.OK},
		{"sizes that lie", []*openflpb.DataStream{part(1, "abc"), part(1<<31, "de"), part(0, "f")}, 10, "abcdef", codes.OK},
		{"empty chunks between", []*openflpb.DataStream{part(0, ""), part(1, "a"), part(0, "")}, 10, "a", codes.OK},
		{"exactly the limit", []*openflpb.DataStream{part(2, "ab"), part(1, "c")}, 3, "abc", codes.OK},
		{"one byte too many", []*openflpb.DataStream{part(2, "ab"), part(2, "cd")}, 3, "", codes.ResourceExhausted},
		{"no chunk", nil, 10, "", codes.Unknown},
		{"no byte", []*openflpb.DataStream{part(7, "")}, 10, "", codes.Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got bytes.Buffer
			n, err := transport.Receive(upload(t, tt.parts...), &got, tt.limit)
			if status.Code(err) != tt.code {
				t.Fatalf("got %v, want code %v", err, tt.code)
			}
			if tt.code == codes.Unknown && !strings.HasPrefix(status.Convert(err).Message(), "Exception calling application: Empty stream message") {
				t.Errorf("%v is not OpenFL's wording", err)
			}
			if tt.code == codes.OK && (got.String() != tt.want || n != int64(len(tt.want))) {
				t.Errorf("got %q (%d), want %q", got.String(), n, tt.want)
			}
		})
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errDisk }

func TestReceiveReportsTheWriter(t *testing.T) {
	_, err := transport.Receive(upload(t, &openflpb.DataStream{Npbytes: []byte("a")}), fullDisk{}, 10)
	if !errors.Is(err, errDisk) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

// FuzzReceive feeds arbitrary wire bytes as up to three messages: what comes
// out is what a protobuf decoder sees in them, within the limit, or an error.
func FuzzReceive(f *testing.F) {
	result, err := proto.Marshal(&openflpb.TaskResults{
		Header: &openflpb.MessageHeader{Sender: "one"}, TaskName: "train", DataSize: -1,
		Tensors: []*openflpb.NamedTensor{{Name: "w", TransformerMetadata: []*openflpb.MetadataProto{{}}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	whole := upload(f, &openflpb.DataStream{Size: uint32(len(result)), Npbytes: result}).wire[0]
	f.Add(whole, []byte{}, []byte{}, int64(1<<20))
	f.Add(whole, whole, whole[:len(whole)-1], int64(100))
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, whole, []byte{0x08}, int64(64))
	f.Add([]byte{0x12, 0x01, 'a', 0x12, 0x02, 'b', 'c'}, []byte{}, []byte{}, int64(2)) // field twice: the last counts
	f.Fuzz(func(t *testing.T, a, b, c []byte, limit int64) {
		var want []byte
		valid := true
		for _, w := range [][]byte{a, b, c} {
			m := &openflpb.DataStream{}
			if proto.Unmarshal(w, m) != nil {
				valid = false
				break
			}
			want = append(want, m.GetNpbytes()...)
		}
		var got bytes.Buffer
		n, err := transport.Receive(&chunks{wire: [][]byte{a, b, c}}, &got, limit)
		if n != int64(got.Len()) || !bytes.HasPrefix(want, got.Bytes()) {
			t.Fatalf("wrote %d bytes, reported %d", got.Len(), n)
		}
		if int64(got.Len()) > max(limit, 0) {
			t.Fatalf("wrote %d bytes beyond the limit %d", got.Len(), limit)
		}
		ok := valid && len(want) > 0 && int64(len(want)) <= limit
		if (err == nil) != ok {
			t.Fatalf("got error %v; messages valid %v, %d bytes, limit %d", err, valid, len(want), limit)
		}
		if ok && !bytes.Equal(got.Bytes(), want) {
			t.Fatal("bytes differ")
		}
	})
}
