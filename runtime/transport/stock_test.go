package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"fx/ca/identity"
	"fx/ca/trust"
	openflpb "fx/proto"
	"fx/runtime/transport"
)

// sample is what the peers below exchange.
func sample() *openflpb.NamedTensor {
	return &openflpb.NamedTensor{
		Name: "w", Tags: []string{"model"}, TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{5}}}, DataBytes: pattern(1<<20+3, 9),
	}
}

func header(sender, receiver string) *openflpb.MessageHeader {
	return &openflpb.MessageHeader{Sender: sender, Receiver: receiver, FederationUuid: fedID}
}

// ourService is served by this package's server: it lends and receives as the
// aggregator does.
type ourService struct {
	openflpb.UnimplementedAggregatorServer
	received bytes.Buffer
}

func (s *ourService) GetAggregatedTensor(ctx context.Context, _ *openflpb.GetAggregatedTensorRequest) (*openflpb.GetAggregatedTensorResponse, error) {
	transport.Lend(ctx, func() {})
	return &openflpb.GetAggregatedTensorResponse{Header: header(aggID, "one"), RoundNumber: 4, Tensor: sample()}, nil
}

func (s *ourService) SendLocalTaskResults(stream openflpb.Aggregator_SendLocalTaskResultsServer) error {
	if _, err := transport.Receive(stream, &s.received, 1<<30); err != nil {
		return err
	}
	return stream.SendAndClose(&openflpb.SendLocalTaskResultsResponse{Header: header(aggID, "one")})
}

// stockService is written with the generated code alone.
type stockService struct {
	openflpb.UnimplementedAggregatorServer
	received []byte
}

func (s *stockService) GetAggregatedTensor(context.Context, *openflpb.GetAggregatedTensorRequest) (*openflpb.GetAggregatedTensorResponse, error) {
	return &openflpb.GetAggregatedTensorResponse{Header: header(aggID, "one"), RoundNumber: 4, Tensor: sample()}, nil
}

func (s *stockService) SendLocalTaskResults(stream openflpb.Aggregator_SendLocalTaskResultsServer) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&openflpb.SendLocalTaskResultsResponse{Header: header(aggID, "one")})
		}
		if err != nil {
			return err
		}
		s.received = append(s.received, m.GetNpbytes()...)
	}
}

// stockServer serves with gRPC's own codec and defaults, and says what came.
func stockServer(t *testing.T, p *pki) (port int, received func() []byte) {
	t.Helper()
	cert, key := p.issue(identity.Aggregator, "localhost", nil)
	conf, _, err := trust.ServerTLS(trust.Config{CertDir: certDir(t, p, identity.Aggregator, "localhost", cert, key), Role: identity.Aggregator, Name: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	svc := &stockService{}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(conf)), grpc.MaxRecvMsgSize(8<<20))
	openflpb.RegisterAggregatorServer(s, svc)
	l := listen(t)
	go func() { _ = s.Serve(l) }() // until it is stopped
	t.Cleanup(s.Stop)
	return portOf(l), func() []byte { return svc.received }
}

// stockCalls downloads and uploads with gRPC's own codec and the generated code.
func stockCalls(t *testing.T, p *pki, port int, upload []byte) *openflpb.NamedTensor {
	t.Helper()
	cert, key := p.issue(identity.Collaborator, "one", nil)
	conf, _, err := trust.ClientTLS(trust.Config{CertDir: certDir(t, p, identity.Collaborator, "one", cert, key), Role: identity.Collaborator, Name: "one"}, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient("localhost:"+portString(port), grpc.WithTransportCredentials(credentials.NewTLS(conf)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cc.Close() }()
	stub := openflpb.NewAggregatorClient(cc)
	resp, err := stub.GetAggregatedTensor(t.Context(), &openflpb.GetAggregatedTensorRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetRoundNumber() != 4 || resp.GetHeader().GetReceiver() != "one" {
		t.Errorf("got round %d and header %v", resp.GetRoundNumber(), resp.GetHeader())
	}
	stream, err := stub.SendLocalTaskResults(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for len(upload) > 0 {
		n := min(len(upload), 2<<20)
		if err := stream.Send(&openflpb.DataStream{Size: uint32(n), Npbytes: upload[:n]}); err != nil {
			t.Fatal(err)
		}
		upload = upload[n:]
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	return resp.GetTensor()
}

// TestStockPeers has each side talk to one that uses gRPC's own codec, and to
// its like.
func TestStockPeers(t *testing.T) {
	p := newPKI(t, fedName)
	upload := pattern(5<<20+1, 3)
	for _, ourServer := range []bool{true, false} {
		for _, ourClient := range []bool{true, false} {
			name := map[bool]string{true: "our", false: "stock"}
			t.Run(name[ourClient]+" client, "+name[ourServer]+" server", func(t *testing.T) {
				ours := &ourService{}
				received := ours.received.Bytes
				var port int
				if ourServer {
					port = serve(t, p, ours, serverSetup{}).port
				} else {
					port, received = stockServer(t, p)
				}
				var got *openflpb.NamedTensor
				if ourClient {
					c := dial(t, p, port, clientSetup{})
					var err error
					if got, err = c.Tensor(t.Context(), transport.TensorRequest{Name: "w", Limit: 2 << 20}); err != nil {
						t.Fatal(err)
					}
					if err := c.Send(t.Context(), bytes.NewReader(upload), int64(len(upload))); err != nil {
						t.Fatal(err)
					}
				} else {
					got = stockCalls(t, p, port, upload)
				}
				if !proto.Equal(got, sample()) {
					t.Error("the tensor changed on its way")
				}
				if !bytes.Equal(received(), upload) {
					t.Errorf("%d bytes were sent, %d arrived, or others", len(upload), len(received()))
				}
			})
		}
	}
}
