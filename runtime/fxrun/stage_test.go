package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"fx/ca/identity"
	"fx/ca/trust"
	openflpb "fx/proto"
	"fx/runtime/transport"
)

// stage is a federation as scripts/e2e/faults.sh has made it, whose
// collaborators look for the aggregator at 127.0.0.1, where a test decides what
// they meet. The aggregator is at 127.0.0.2.
type stage struct {
	t     *testing.T
	dir   string
	fxrun string
	port  string
	ca    *authority
	front *front
	log   string // of the aggregator
}

func newStage(t *testing.T) *stage {
	dir := os.Getenv("FX_FAULTS")
	if dir == "" {
		t.Skip("skipped: scripts/e2e/faults.sh makes what it needs")
	}
	plan, err := os.ReadFile(filepath.Join(dir, "fed1", "plan", "plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(plan), "agg_port: ")
	port, _, _ := strings.Cut(after, "\n")
	if _, err := strconv.Atoi(port); err != nil {
		t.Fatalf("the plan's port: %v", err)
	}
	return &stage{
		t: t, dir: dir, fxrun: filepath.Join(dir, "bin", "fxrun"), port: port, ca: openAuthority(t, filepath.Join(dir, "ca")),
		front: newFront(t, "127.0.0.1:"+port, "127.0.0.2:"+port),
	}
}

// on is the stage for a subtest, with everything as usual.
func (s *stage) on(t *testing.T) *stage {
	t.Helper()
	sub := *s
	authority := *s.ca
	authority.t = t
	sub.t, sub.ca = t, &authority
	s.front.behind = "127.0.0.2:" + s.port
	s.front.answer(t, s.front.relay)
	return &sub
}

// folder is a new certificate folder with the federation's chains.
func (s *stage) folder() string {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, file := range []string{identity.ChainFile, identity.SigningChainFile} {
		replace(s.t, filepath.Join(dir, file), []byte(read(s.t, filepath.Join(s.dir, "cert", file))))
	}
	return dir
}

// certs is a certificate folder in which a collaborator has that certificate.
func (s *stage) certs(name string, c tls.Certificate) string {
	dir := s.folder()
	s.ca.install(dir, identity.Collaborator, name, c)
	return dir
}

// server is the same for an aggregator.
func (s *stage) server(host string, c tls.Certificate) string {
	dir := s.folder()
	s.ca.install(dir, identity.Aggregator, host, c)
	return dir
}

// aggregator starts another one for the test, puts it behind the front, and
// gives the name of its log.
func (s *stage) aggregator(address, bundle, certs string) (log string) {
	s.t.Helper()
	dir := s.t.TempDir()
	log = filepath.Join(dir, "log")
	start(s.t, s.dir, log, s.fxrun, "aggregator", "--bundle", bundle, "--cert-dir", certs, "--state", dir, "--bind", address, "--log-format", "json")
	until(s.t, soon, "an aggregator that listens: "+log, func() bool { return strings.Contains(read(s.t, log), `"listening"`) })
	s.front.behind = address + ":" + s.port
	return log
}

// refuses requires that an aggregator does not even start.
func (s *stage) refuses(code int, cause transport.Cause, bundle, certs string) {
	s.t.Helper()
	dir := s.t.TempDir()
	p := start(s.t, s.dir, filepath.Join(dir, "log"), s.fxrun, "aggregator", "--bundle", bundle, "--cert-dir", certs, "--state", dir, "--bind", "127.0.0.3", "--json")
	if got := p.wait(soon); got != code {
		s.t.Errorf("the aggregator: exit code %d, want %d:\n%s", got, code, read(s.t, p.log))
	}
	if got := causeOf(s.t, p.out.Bytes()); got != cause {
		s.t.Errorf("the aggregator names the cause %q, want %q", got, cause)
	}
}

// occupy has a collaborator upload until the aggregator takes no more of it.
func (s *stage) occupy(t *testing.T, name string) (release func()) {
	conf, _, err := trust.ClientTLS(trust.Config{CertDir: filepath.Join(s.dir, "cert"), Role: identity.Collaborator, Name: name}, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 { // the first bytes of a result: a header of 100 bytes follows, some day
		cc, err := grpc.NewClient("passthrough:///127.0.0.2:"+s.port, grpc.WithTransportCredentials(credentials.NewTLS(conf)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cc.Close() })
		stream, err := openflpb.NewAggregatorClient(cc).SendLocalTaskResults(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&openflpb.DataStream{Npbytes: []byte{1<<3 | 2, 100}}); err != nil {
			t.Fatal(err)
		}
	}
	return cancel
}

// notReady is an aggregator that refuses for the time being.
type notReady struct {
	openflpb.UnimplementedAggregatorServer
}

func (notReady) Ping(context.Context, *openflpb.PingRequest) (*openflpb.PingResponse, error) {
	return nil, transport.Refusal(transport.CauseUnavailable, "reading the journal")
}

func (notReady) GetTasks(context.Context, *openflpb.GetTasksRequest) (*openflpb.GetTasksResponse, error) {
	return nil, transport.Refusal(transport.CauseUnavailable, "reading the journal")
}

func unready(t *testing.T, s *stage) attempt {
	conf, anchors, err := trust.ServerTLS(trust.Config{CertDir: filepath.Join(s.dir, "hub"), Role: identity.Aggregator, Name: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	server := transport.NewServer(transport.ServerOptions{
		TLS: conf, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Verify: func(chain []*x509.Certificate, at time.Time) (identity.Identity, error) {
			return anchors.Verify(chain, identity.Collaborator, at)
		},
	}, notReady{})
	l, err := net.Listen("tcp", "127.0.0.3:"+s.port)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	s.front.behind = "127.0.0.3:" + s.port
	return attempt{log: file}
}
