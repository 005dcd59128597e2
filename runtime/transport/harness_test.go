package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
	openflpb "fx/proto"
	"fx/runtime/transport"
)

const (
	fedName = "fed.example"
	fedID   = "plan.yaml_12345678"
	aggID   = "aggregator_plan.yaml_12345678"
)

// service is the aggregator behind the wire: it checks the header as the real
// one does and remembers what it received.
type service struct {
	openflpb.UnimplementedAggregatorServer
	fed transport.Federation

	mu       sync.Mutex
	peers    []transport.Peer
	received [][]byte
	tasks    func(context.Context) error // what GetTasks does after the header check
}

func newService(members ...string) *service {
	return &service{fed: transport.Federation{
		ID:           fedID,
		AggregatorID: aggID,
		Member: func(name string) bool {
			for _, m := range members {
				if m == name {
					return true
				}
			}
			return false
		},
	}}
}

func (s *service) check(ctx context.Context, h *openflpb.MessageHeader) error {
	p, err := s.fed.CheckRequest(ctx, h)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = append(s.peers, p)
	return nil
}

func (s *service) Ping(ctx context.Context, r *openflpb.PingRequest) (*openflpb.PingResponse, error) {
	if err := s.check(ctx, r.GetHeader()); err != nil {
		return nil, err
	}
	return &openflpb.PingResponse{Header: s.fed.ReplyHeader(r.GetHeader())}, nil
}

func (s *service) GetTasks(ctx context.Context, r *openflpb.GetTasksRequest) (*openflpb.GetTasksResponse, error) {
	if err := s.check(ctx, r.GetHeader()); err != nil {
		return nil, err
	}
	if s.tasks != nil {
		if err := s.tasks(ctx); err != nil {
			return nil, err
		}
	}
	return &openflpb.GetTasksResponse{
		Header:      s.fed.ReplyHeader(r.GetHeader()),
		RoundNumber: 3,
		Tasks:       []*openflpb.Task{{Name: "train"}},
	}, nil
}

func (s *service) GetAggregatedTensor(ctx context.Context, r *openflpb.GetAggregatedTensorRequest) (*openflpb.GetAggregatedTensorResponse, error) {
	if err := s.check(ctx, r.GetHeader()); err != nil {
		return nil, err
	}
	return &openflpb.GetAggregatedTensorResponse{
		Header:      s.fed.ReplyHeader(r.GetHeader()),
		RoundNumber: r.GetRoundNumber(),
		Tensor:      &openflpb.NamedTensor{Name: r.GetTensorName(), RoundNumber: r.GetRoundNumber(), Tags: r.GetTags()},
	}, nil
}

// SendLocalTaskResults takes any bytes: what they mean is not transport's.
func (s *service) SendLocalTaskResults(stream openflpb.Aggregator_SendLocalTaskResultsServer) error {
	p, ok := transport.PeerOf(stream.Context())
	if !ok {
		return transport.Refusal(transport.CauseInternal, "no peer before the first chunk")
	}
	var b bytes.Buffer
	if _, err := transport.Receive(stream, &b, 64<<20); err != nil {
		return err
	}
	h := &openflpb.MessageHeader{Sender: p.Identity.Name, Receiver: aggID, FederationUuid: fedID}
	if err := s.check(stream.Context(), h); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, b.Bytes())
	return stream.SendAndClose(&openflpb.SendLocalTaskResultsResponse{Header: s.fed.ReplyHeader(h)})
}

// running is a server on loopback.
type running struct {
	*transport.Server
	port int
	log  *logBuffer
	stop func() // ends it and waits; idempotent
}

// serverSetup says what is special about a server.
type serverSetup struct {
	change func(*x509.Certificate) // of its certificate
	name   string                  // of its certificate; "localhost" if empty
	now    func() time.Time
	verify func([]*x509.Certificate, time.Time) (identity.Identity, error)
	crl    *x509.RevocationList // in its folder
	listen net.Listener
}

func serve(t testing.TB, p *pki, svc openflpb.AggregatorServer, o serverSetup) *running {
	t.Helper()
	name := o.name
	if name == "" {
		name = "localhost"
	}
	cert, key := p.issue(identity.Aggregator, name, o.change)
	dir := certDir(t, p, identity.Aggregator, name, cert, key)
	if o.crl != nil {
		write(t, dir+"/"+identity.CRLFile, pemOf("X509 CRL", o.crl.Raw))
	}
	conf, anchors, err := trust.ServerTLS(trust.Config{CertDir: dir, Role: identity.Aggregator, Name: name, Now: o.now})
	if err != nil {
		t.Fatal(err)
	}
	if o.verify == nil {
		o.verify = func(chain []*x509.Certificate, at time.Time) (identity.Identity, error) {
			return anchors.Verify(chain, identity.Collaborator, at)
		}
	}
	l := o.listen
	if l == nil {
		l = listen(t)
	}
	return serveOn(t, l, transport.ServerOptions{TLS: conf, Verify: o.verify, Now: o.now}, svc)
}

// serveConf serves with a configuration of the test's own.
func serveConf(t testing.TB, conf *tls.Config, svc openflpb.AggregatorServer) *running {
	t.Helper()
	return serveOn(t, listen(t), transport.ServerOptions{TLS: conf, Verify: func(chain []*x509.Certificate, _ time.Time) (identity.Identity, error) {
		return identity.Identity{Role: identity.Collaborator, Name: chain[0].Subject.CommonName}, nil
	}}, svc)
}

func serveOn(t testing.TB, l net.Listener, o transport.ServerOptions, svc openflpb.AggregatorServer) *running {
	t.Helper()
	log := &logBuffer{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	s := transport.NewServer(o, svc)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return &running{Server: s, port: portOf(l), log: log, stop: stop}
}

// clientSetup says what is special about a client.
type clientSetup struct {
	issuer  *pki                    // of its certificate; the trusted one if nil
	role    identity.Role           // of its certificate; collaborator if empty
	name    string                  // in its certificate; "one" if empty
	change  func(*x509.Certificate) // of its certificate
	host    string                  // "localhost" if empty
	now     func() time.Time
	options func(*transport.ClientOptions)
}

func dial(t testing.TB, trusted *pki, port int, o clientSetup) *transport.Client {
	t.Helper()
	if o.issuer == nil {
		o.issuer = trusted
	}
	if o.role == "" {
		o.role = identity.Collaborator
	}
	if o.name == "" {
		o.name = "one"
	}
	if o.host == "" {
		o.host = "localhost"
	}
	cert, key := o.issuer.issue(o.role, o.name, o.change)
	dir := certDir(t, trusted, o.role, o.name, cert, key)
	conf, _, err := trust.ClientTLS(trust.Config{CertDir: dir, Role: o.role, Name: o.name, Now: o.now}, o.host)
	if err != nil {
		t.Fatal(err)
	}
	opts := transport.ClientOptions{
		Host: o.host, Port: port, TLS: conf,
		Sender: o.name, FederationID: fedID, AggregatorID: aggID,
		NewConnectionPerRequest: true,
		Own:                     cert, Now: o.now, DialTimeout: 5 * time.Second,
	}
	if o.options != nil {
		o.options(&opts)
	}
	c := transport.NewClient(opts)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func portString(port int) string { return strconv.Itoa(port) }

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// noLeaks fails the test if it ends with more goroutines than it began with.
// It must be called first, so that its check runs after all other cleanup.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines, %d before the test:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
				return
			}
			runtime.Gosched()
		}
	})
}

// logBuffer collects a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
