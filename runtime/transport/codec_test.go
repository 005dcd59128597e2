package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/runtime/transport"
)

// cut divides b into buffers of these sizes, over and over.
func cut(b []byte, sizes ...int) mem.BufferSlice {
	var out mem.BufferSlice
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), max(1, sizes[i%len(sizes)]))
		out = append(out, mem.SliceBuffer(b[:n:n]))
		b = b[n:]
	}
	return out
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDownloadInPieces takes an answer apart wherever it may be cut: also inside
// a number and inside a float.
func TestDownloadInPieces(t *testing.T) {
	reply := &openflpb.GetAggregatedTensorResponse{
		Header: &openflpb.MessageHeader{Sender: "agg", Receiver: "one"}, RoundNumber: -1,
		Tensor: &openflpb.NamedTensor{
			Name: "w", RoundNumber: 300, Tags: []string{"compressed", "model"}, Lossless: true,
			TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{2, 3}}}, DataBytes: []byte("0123456789abcdefghijklmn"),
		},
	}
	wire := marshal(t, reply)
	for size := 1; size <= len(wire); size++ {
		var d transport.Download
		if err := transport.Wire().Unmarshal(cut(wire, size), &d); err != nil {
			t.Fatalf("pieces of %d bytes: %v", size, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(&d, 0, d.Size()))
		if err != nil || !bytes.Equal(got, reply.Tensor.DataBytes) {
			t.Fatalf("pieces of %d bytes: got %q, %v", size, got, err)
		}
		if n := d.Named(); n.DataSize != 24 || n.Round != 300 || len(n.Tags) != 2 || n.Metadata[0].IntList[1] != 3 {
			t.Fatalf("pieces of %d bytes: got %+v", size, n)
		}
		var straddling [8]byte
		if _, err := d.ReadAt(straddling[:], 6); err != nil || string(straddling[:]) != "6789abcd" {
			t.Fatalf("pieces of %d bytes: got %q, %v", size, straddling, err)
		}
		if n, err := d.ReadAt(straddling[:], 20); n != 4 || !errors.Is(err, io.EOF) {
			t.Fatalf("pieces of %d bytes: read %d bytes at the end, %v", size, n, err)
		}
		d.Free()
		d.Free()
	}
}

// FuzzDownload compares what is read of any bytes, cut anywhere, with what the
// protobuf package reads of them.
func FuzzDownload(f *testing.F) {
	whole := marshal(f, &openflpb.GetAggregatedTensorResponse{
		Header: &openflpb.MessageHeader{Sender: "agg"}, RoundNumber: 7,
		Tensor: &openflpb.NamedTensor{Name: "w", TransformerMetadata: []*openflpb.MetadataProto{{}}, DataBytes: []byte("payload")},
	})
	f.Add(whole, 3, 5)
	f.Add(append(bytes.Clone(whole), whole...), 1, 2)          // everything twice: the last counts
	f.Add(append(bytes.Clone(whole), 0x1a, 0), 4, 4)           // and a tensor without payload, which leaves it
	f.Add(append(bytes.Clone(whole), 0x78, 1), 16, 1)          // an unknown field
	f.Add(append([]byte{0x1a, 2, 0x38, 1}, whole...), 2, 2)    // the payload's number with another type
	f.Add([]byte{0x1a, 0x82, 0x80, 0x00, 0x3a, 0x00}, 1, 1)    // a length that is longer than it need be
	f.Add([]byte{0x1a, 3, 0x3b, 0x3c, 0x0a}, 1, 3)             // a group
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, 2, 1)    // a field longer than the message
	f.Add([]byte{0x1a, 4, 0x0a, 2, 0xff, 0xfe}, 2, 1)          // a name that is not text
	f.Add([]byte{0x0a, 4, 0x0a, 2, 0xff, 0xfe, 0x1a, 0}, 2, 1) // a sender that is not text
	f.Fuzz(func(t *testing.T, b []byte, first, second int) {
		var want openflpb.GetAggregatedTensorResponse
		wantErr := proto.Unmarshal(b, &want)
		var d transport.Download
		err := transport.Wire().Unmarshal(cut(b, first, second), &d)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got error %v, protobuf's is %v", err, wantErr)
		}
		if err != nil {
			return
		}
		data := make([]byte, d.Size())
		if _, err := io.ReadFull(io.NewSectionReader(&d, 0, d.Size()), data); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want.GetTensor().GetDataBytes()) {
			t.Fatalf("payload %q, want %q", data, want.GetTensor().GetDataBytes())
		}
		if want.Tensor != nil {
			want.Tensor.DataBytes = nil
		}
		if !proto.Equal(d.Tensor, want.Tensor) {
			t.Fatalf("got %v, want %v", d.Tensor, want.Tensor)
		}
	})
}

// lender serves one tensor from memory that it lends.
type lender struct {
	*service
	data func() []byte
	done chan struct{}
}

func (l *lender) GetAggregatedTensor(ctx context.Context, r *openflpb.GetAggregatedTensorRequest) (*openflpb.GetAggregatedTensorResponse, error) {
	data := l.data()
	transport.Lend(ctx, func() {
		for i := range data { // whoever still reads this sees it
			data[i] = 0xee
		}
		l.done <- struct{}{}
	})
	return &openflpb.GetAggregatedTensorResponse{
		Header: l.fed.ReplyHeader(r.GetHeader()), RoundNumber: r.GetRoundNumber(),
		Tensor: &openflpb.NamedTensor{Name: r.GetTensorName(), Tags: r.GetTags(), DataBytes: data},
	}, nil
}

func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i) ^ seed
	}
	return b
}

// TestLendUntilSent lends memory that is poisoned once it is given back: what
// arrives must be what was lent, and every loan must end.
func TestLendUntilSent(t *testing.T) {
	const size = 3<<20 + 13
	p := newPKI(t, fedName)
	for _, tt := range []struct {
		name  string
		fresh bool
	}{{"new connections", true}, {"a lasting connection", false}} {
		t.Run(tt.name, func(t *testing.T) {
			l := &lender{service: newService("one"), data: func() []byte { return pattern(size, 7) }, done: make(chan struct{}, 64)}
			srv := serve(t, p, l, serverSetup{})
			c := dial(t, p, srv.port, clientSetup{options: func(o *transport.ClientOptions) { o.NewConnectionPerRequest = tt.fresh }})
			var requests sync.WaitGroup
			for range 8 {
				requests.Go(func() {
					d, err := c.Download(t.Context(), transport.TensorRequest{Name: "w", Tags: []string{"model"}, Limit: size})
					if err != nil {
						t.Error(err)
						return
					}
					defer d.Free()
					got, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
					if err != nil || !bytes.Equal(got, pattern(size, 7)) {
						t.Errorf("%d bytes arrived, changed (%v)", len(got), err)
					}
				})
			}
			requests.Wait()
			for i := range 8 {
				select {
				case <-l.done:
				case <-time.After(5 * time.Second):
					t.Fatalf("%d of 8 loans ended", i)
				}
			}
		})
	}
}

// TestLoanOfACutDownload breaks off a download: the loan ends all the same.
func TestLoanOfACutDownload(t *testing.T) {
	l := &lender{service: newService("one"), data: func() []byte { return pattern(64<<20, 1) }, done: make(chan struct{}, 1)}
	p := newPKI(t, fedName)
	srv := serve(t, p, l, serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	_, err := c.Download(t.Context(), transport.TensorRequest{Name: "w", Tags: []string{"model"}, Limit: 1 << 20}) // the answer is larger
	if err == nil {
		t.Fatal("an answer beyond the limit was taken")
	}
	awaitCollected(t, l.done)
}

// awaitCollected waits for what the collector may have to bring about.
func awaitCollected(t *testing.T, done <-chan struct{}) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-deadline:
			t.Fatal("the loan does not end")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
