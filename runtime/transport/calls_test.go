package transport_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
	openflpb "fx/proto"
	"fx/runtime/transport"
)

func TestEveryRequestHasItsOwnConnection(t *testing.T) {
	tests := []struct {
		name      string
		perReq    bool
		wantConns int64
	}{
		{"new connection per request", true, 5},
		{"one lasting connection", false, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			p := newPKI(t, fedName)
			svc := newService("one")
			srv := serve(t, p, svc, serverSetup{})
			c := dial(t, p, srv.port, clientSetup{options: func(o *transport.ClientOptions) { o.NewConnectionPerRequest = tt.perReq }})
			ctx := context.Background()

			if err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
			tasks, err := c.Tasks(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if tasks.GetRoundNumber() != 3 || len(tasks.GetTasks()) != 1 || tasks.GetTasks()[0].GetName() != "train" {
				t.Errorf("tasks %v", tasks)
			}
			tensor, err := c.Tensor(ctx, transport.TensorRequest{Name: "w", Round: 3, Tags: []string{"model"}, RequireLossless: true, Limit: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if tensor.GetName() != "w" || tensor.GetRoundNumber() != 3 || tensor.GetTags()[0] != "model" {
				t.Errorf("tensor %v", tensor)
			}
			for _, n := range []int{1, 5<<20 + 17} { // three chunks, the last one short
				data := randomBytes(n)
				if err := c.Send(ctx, bytes.NewReader(data), int64(n)); err != nil {
					t.Fatal(err)
				}
				if got := svc.received[len(svc.received)-1]; !bytes.Equal(got, data) {
					t.Errorf("received %d bytes, not the %d that were sent", len(got), n)
				}
			}

			cc, cr := c.Counts()
			sc, sr := srv.Counts()
			if cc != tt.wantConns || sc != tt.wantConns || cr != 5 || sr != 5 {
				t.Errorf("client counts %d connections and %d requests, server %d and %d; want %d and 5", cc, cr, sc, sr, tt.wantConns)
			}
			for _, peer := range svc.peers {
				want := identity.Identity{Federation: fedName, Role: identity.Collaborator, Name: "one"}
				if peer.Identity != want || peer.Certificate == nil || !strings.HasPrefix(peer.Addr, "127.0.0.1:") {
					t.Errorf("peer %+v, want identity %v", peer, want)
				}
			}
			if srv.log.String() != "" {
				t.Errorf("log is not empty:\n%s", srv.log)
			}
		})
	}
}

func TestConcurrentRequests(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	srv := serve(t, p, newService("one"), serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := c.Ping(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if conns, reqs := srv.Counts(); conns != 16 || reqs != 16 {
		t.Errorf("%d connections, %d requests, want 16 and 16", conns, reqs)
	}
}

func TestRevokedOnALastingConnection(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	cas := []*x509.Certificate{p.root.cert, p.network.cert}
	var anchors atomic.Pointer[trust.Anchors]
	load := func(crls ...*x509.RevocationList) {
		a, err := trust.New(cas, crls)
		if err != nil {
			t.Fatal(err)
		}
		anchors.Store(a)
	}
	load()
	svc := newService("one")
	srv := serve(t, p, svc, serverSetup{verify: func(chain []*x509.Certificate, at time.Time) (identity.Identity, error) {
		return anchors.Load().Verify(chain, identity.Collaborator, at)
	}})
	c := dial(t, p, srv.port, clientSetup{options: func(o *transport.ClientOptions) { o.NewConnectionPerRequest = false }})
	if err := c.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}

	load(p.crl(svc.peers[0].Certificate))
	err := c.Ping(context.Background())
	wantCause(t, err, transport.CauseRevoked)
	if conns, reqs := srv.Counts(); conns != 1 || reqs != 2 {
		t.Errorf("%d connections, %d requests, want 1 and 2", conns, reqs)
	}
	if got := srv.log.String(); !strings.Contains(got, "cause=revoked") || !strings.Contains(got, "peer=one") {
		t.Errorf("log does not say who was refused and why:\n%s", got)
	}
}

func TestLastingConnectionSurvivesARestart(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	first := serve(t, p, newService("one"), serverSetup{})
	c := dial(t, p, first.port, clientSetup{options: func(o *transport.ClientOptions) { o.NewConnectionPerRequest = false }})
	if err := c.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	first.stop()
	var f *transport.Failure
	if err := c.Ping(context.Background()); !errors.As(err, &f) || !f.Retry() {
		t.Fatalf("got %v, want a failure that may be retried", err)
	}
	l, err := listenOn(first.port)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, p, newService("one"), serverSetup{listen: l})
	// The first request may find out that the old connection is gone.
	err = transport.Retry(context.Background(), transport.RetryPolicy{Interval: time.Millisecond}, nil, c.Ping)
	if err != nil {
		t.Fatal(err)
	}
}

// brokenReader gives some bytes and then an error.
type brokenReader struct{ good int64 }

var errDisk = errors.New("disk is gone")

func (b brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.good {
		return 0, errDisk
	}
	return len(p), nil
}

func TestUploadFailsAtTheSource(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	svc := newService("one")
	srv := serve(t, p, svc, serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	if err := c.Send(context.Background(), brokenReader{2 << 20}, 8<<20); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if err := c.Send(context.Background(), bytes.NewReader(nil), 0); err == nil {
		t.Error("an empty upload was sent")
	}
	srv.stop()
	if len(svc.received) != 0 {
		t.Errorf("%d results were taken, want none", len(svc.received))
	}
}

func TestUploadDroppedMidwayCanBeSentAgain(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	svc := newService("one")
	srv := serve(t, p, svc, serverSetup{})
	proxy := newCutter(t, srv.port, 3<<20)
	c := dial(t, p, proxy.port, clientSetup{})
	data := randomBytes(9 << 20)

	err := c.Send(context.Background(), bytes.NewReader(data), int64(len(data)))
	var f *transport.Failure
	if !errors.As(err, &f) || f.Cause != transport.CauseReset || !f.Retry() {
		t.Fatalf("got %v, want cause reset and a retry", err)
	}
	proxy.limit.Store(1 << 40)
	if err := c.Send(context.Background(), bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	srv.stop()
	if len(svc.received) != 1 || !bytes.Equal(svc.received[0], data) {
		t.Errorf("%d results were taken, want the second upload alone", len(svc.received))
	}
}

func TestUploadBeyondTheLimit(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	svc := newService("one")
	srv := serve(t, p, svc, serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	var f *transport.Failure
	err := c.Send(context.Background(), zeros{}, 65<<20)
	if !errors.As(err, &f) || f.Retry() || !strings.Contains(f.Detail, "larger than") {
		t.Errorf("got %v, want a final failure that says so", err)
	}
}

func TestPanicAndPlainErrorBecomeInternal(t *testing.T) {
	tests := []struct {
		name  string
		tasks func(context.Context) error
		log   string
	}{
		{"panic", func(context.Context) error { panic("index out of range") }, "request ended in a panic"},
		{"plain error", func(context.Context) error { return errors.New("cannot write \"/secret/path\"") }, "request failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			p := newPKI(t, fedName)
			svc := newService("one")
			svc.tasks = tt.tasks
			srv := serve(t, p, svc, serverSetup{})
			c := dial(t, p, srv.port, clientSetup{})
			_, err := c.Tasks(context.Background())
			wantCause(t, err, transport.CauseInternal)
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "index") {
				t.Errorf("the peer learns the reason: %v", err)
			}
			if !strings.Contains(srv.log.String(), tt.log) {
				t.Errorf("log does not say %q:\n%s", tt.log, srv.log)
			}
			if err := c.Ping(context.Background()); err != nil {
				t.Errorf("the server does not go on: %v", err)
			}
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	svc := newService("one")
	ctx, cancel := context.WithCancel(context.Background())
	svc.tasks = func(handler context.Context) error {
		cancel()
		<-handler.Done() // the server notices
		return handler.Err()
	}
	srv := serve(t, p, svc, serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	if _, err := c.Tasks(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestADeadlineIsATimeout whether it passes before or after the connection is
// made: who set it wants to know the cause.
func TestADeadlineIsATimeout(t *testing.T) {
	p := newPKI(t, fedName)
	svc := newService("one")
	svc.tasks = func(handler context.Context) error {
		<-handler.Done()
		return handler.Err()
	}
	srv := serve(t, p, svc, serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	for _, d := range []time.Duration{0, 300 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		_, err := c.Tasks(ctx)
		cancel()
		wantCause(t, err, transport.CauseTimeout)
	}
}

// liar answers with headers of its own choice.
type liar struct {
	openflpb.UnimplementedAggregatorServer
	header *openflpb.MessageHeader
}

func (l liar) Ping(context.Context, *openflpb.PingRequest) (*openflpb.PingResponse, error) {
	return &openflpb.PingResponse{Header: l.header}, nil
}

func TestAnswersFromElsewhereAreRefused(t *testing.T) {
	good := func() *openflpb.MessageHeader {
		return &openflpb.MessageHeader{Sender: aggID, Receiver: "one", FederationUuid: fedID}
	}
	tests := []struct {
		name   string
		change func(*openflpb.MessageHeader) *openflpb.MessageHeader
		field  string // "" if it is accepted
	}{
		{"right", func(h *openflpb.MessageHeader) *openflpb.MessageHeader { return h }, ""},
		{"no header", func(*openflpb.MessageHeader) *openflpb.MessageHeader { return nil }, "receiver"},
		{"receiver", func(h *openflpb.MessageHeader) *openflpb.MessageHeader { h.Receiver = "two"; return h }, "receiver"},
		{"sender", func(h *openflpb.MessageHeader) *openflpb.MessageHeader { h.Sender = "x"; return h }, "sender"},
		{"federation", func(h *openflpb.MessageHeader) *openflpb.MessageHeader { h.FederationUuid = "x"; return h }, "federation_uuid"},
		{"shared name", func(h *openflpb.MessageHeader) *openflpb.MessageHeader { h.SingleColCertCommonName = "x"; return h }, "single_col"},
	}
	p := newPKI(t, fedName)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, p, liar{header: tt.change(good())}, serverSetup{})
			err := dial(t, p, srv.port, clientSetup{}).Ping(context.Background())
			if tt.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCause(t, err, transport.CauseWrongFederation)
			if !strings.Contains(err.Error(), tt.field) {
				t.Errorf("%v does not name %s", err, tt.field)
			}
		})
	}
}

// chatterbox answers with more than anybody asked for.
type chatterbox struct{ *service }

func (c chatterbox) GetTasks(_ context.Context, r *openflpb.GetTasksRequest) (*openflpb.GetTasksResponse, error) {
	return &openflpb.GetTasksResponse{Header: c.fed.ReplyHeader(r.GetHeader()), Tasks: make([]*openflpb.Task, 1<<20)}, nil
}

func (c chatterbox) GetAggregatedTensor(_ context.Context, r *openflpb.GetAggregatedTensorRequest) (*openflpb.GetAggregatedTensorResponse, error) {
	return &openflpb.GetAggregatedTensorResponse{
		Header: c.fed.ReplyHeader(r.GetHeader()), Tensor: &openflpb.NamedTensor{DataBytes: make([]byte, 3<<20)},
	}, nil
}

func TestAnswersLargerThanNeededAreRefused(t *testing.T) {
	p := newPKI(t, fedName)
	srv := serve(t, p, chatterbox{newService("one")}, serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	_, tasks := c.Tasks(context.Background())
	_, tensor := c.Tensor(context.Background(), transport.TensorRequest{Name: "w", Round: 0, Tags: []string{"model"}, RequireLossless: true, Limit: 1 << 20})
	for _, err := range []error{tasks, tensor} {
		f, ok := errors.AsType[*transport.Failure](err)
		if !ok || f.Retry() || !strings.Contains(f.Detail, "larger than max") {
			t.Errorf("got %v, want a final failure about the size", err)
		}
	}
	if _, err := c.Tensor(context.Background(), transport.TensorRequest{Name: "w", Round: 0, Tags: []string{"model"}, RequireLossless: true, Limit: 3 << 20}); err != nil {
		t.Errorf("a tensor of the size that was asked for: %v", err)
	}
}

func wantCause(t *testing.T, err error, want transport.Cause) {
	t.Helper()
	var f *transport.Failure
	if !errors.As(err, &f) || f.Cause != want {
		t.Errorf("got %v, want cause %s", err, want)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// zeros is an endless ReaderAt.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

var _ io.ReaderAt = zeros{}
