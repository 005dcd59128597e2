package aggregator

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"fx/ca/identity"
	openflpb "fx/proto"
	"fx/runtime/journal"
	"fx/runtime/transport"
)

// wire sends bytes as they are where gRPC would have a message.
type wire struct{}

func (wire) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (wire) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (wire) Name() string                       { return "proto" }

// syncBuffer collects a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// take gives what was logged since the last time.
func (s *syncBuffer) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// onTheWire is an aggregator for a fuzzer, and a connection of "one" to it.
func onTheWire(f *testing.F) (*grpc.ClientConn, *openflpb.MessageHeader, *syncBuffer) {
	f.Helper()
	fed, log := federation(f), &syncBuffer{}
	store, err := journal.OpenDir(filepath.Join(f.TempDir(), "journal"))
	if err != nil {
		f.Fatal(err)
	}
	j, err := journal.Open(store, journal.Federation{Bundle: "b1", FederationID: fed.Plan.FederationID, Participant: fed.Plan.AggregatorID})
	if err != nil {
		f.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(log, nil))
	agg, err := start(fed, Options{Journal: j, Output: f.TempDir(), Log: logger})
	if err != nil {
		f.Fatal(err)
	}
	pki := newPKI(f)
	server := transport.NewServer(transport.ServerOptions{
		TLS: pki.config("localhost"), Log: logger,
		Verify: func(chain []*x509.Certificate, _ time.Time) (identity.Identity, error) {
			return identity.Identity{Role: identity.Collaborator, Name: chain[0].Subject.CommonName}, nil
		},
	}, agg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	cc, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(credentials.NewTLS(pki.config("one"))), grpc.WithDefaultCallOptions(grpc.ForceCodec(wire{})))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = cc.Close()
		cancel()
		if err := errors.Join(<-served, store.Close()); err != nil {
			f.Error(err)
		}
	})
	return cc, &openflpb.MessageHeader{Sender: "one", Receiver: fed.Plan.AggregatorID, FederationUuid: fed.Plan.FederationID}, log
}

var unaryMethods = []string{"Ping", "GetTasks", "GetAggregatedTensor", "InteropRelay"}

// FuzzRequests sends arbitrary bytes in the place of every message that a
// collaborator sends: as they are, and with a header that is right. No handler
// may panic, and every answer is a status that is meant for such a request.
func FuzzRequests(f *testing.F) {
	cc, header, log := onTheWire(f)
	right, err := proto.Marshal(&openflpb.PingRequest{Header: header}) // field 1 of every request
	if err != nil {
		f.Fatal(err)
	}
	for which, m := range []proto.Message{
		&openflpb.PingRequest{Header: header},
		&openflpb.GetTasksRequest{Header: &openflpb.MessageHeader{Sender: "two"}},
		&openflpb.GetAggregatedTensorRequest{Header: header, TensorName: "w", RoundNumber: -1, Tags: []string{"model"}, RequireLossless: true},
		&openflpb.InteropMessage{Header: header, Message: &openflpb.DataStream{Size: 1, Npbytes: []byte("a")}, Metadata: map[string]string{"k": "v"}},
		&openflpb.TaskResults{Header: header, TaskName: "train", DataSize: 1, Tensors: []*openflpb.NamedTensor{
			named("w", 0, false, []int32{2, 3}, make([]float32, 6), "compressed", "trained"),
		}},
		&openflpb.DataStream{Size: 3, Npbytes: []byte("abc")},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(which), b)
	}
	f.Add(byte(2), []byte("\x12\x01w\x18\x00\x2a\x05model\x2a\xff"))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		for _, message := range [][]byte{data, append(bytes.Clone(data), right...)} {
			// A request for a tensor of a later round waits for it.
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			var err error
			switch n := int(which) % (len(unaryMethods) + 2); n {
			case len(unaryMethods): // the message in chunks
				half := len(message) / 2
				err = upload(ctx, cc, chunkOf(t, message[:half]), chunkOf(t, message[half:]))
			case len(unaryMethods) + 1: // the message as a chunk
				err = upload(ctx, cc, message, chunkOf(t, []byte("x")), message)
			default:
				var reply []byte
				err = cc.Invoke(ctx, "/openfl.aggregator.Aggregator/"+unaryMethods[n], message, &reply)
			}
			cancel()
			switch st := status.Convert(err); st.Code() {
			case codes.OK, codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition, codes.Unimplemented,
				codes.Unknown, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.Unavailable:
			case codes.Internal: // what protobuf cannot read does not reach a handler
				if !strings.Contains(st.Message(), "unmarshal") {
					t.Fatalf("method %d: %v\n%s", which, err, log.take())
				}
			default:
				t.Fatalf("method %d: %v", which, err)
			}
		}
		if l := log.take(); strings.Contains(l, "panic") {
			t.Fatal(l)
		}
	})
}

func chunkOf(t *testing.T, data []byte) []byte {
	t.Helper()
	b, err := proto.Marshal(&openflpb.DataStream{Size: uint32(len(data)), Npbytes: data})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func upload(ctx context.Context, cc *grpc.ClientConn, chunks ...[]byte) error {
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/openfl.aggregator.Aggregator/SendLocalTaskResults")
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if err := stream.SendMsg(c); err != nil {
			if errors.Is(err, io.EOF) {
				break // the answer says why
			}
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var reply []byte
	return stream.RecvMsg(&reply)
}
