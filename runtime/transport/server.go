package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"fx/ca/identity"
	openflpb "fx/proto"
)

// ServerOptions says how a Server proves itself and whom it admits.
type ServerOptions struct {
	TLS    *tls.Config                                                              // certificate and client CAs; required; GetConfigForClient may renew them
	Verify func(chain []*x509.Certificate, at time.Time) (identity.Identity, error) // the verdict on a peer, asked for every request; required
	Now    func() time.Time                                                         // nil: time.Now
	Log    *slog.Logger                                                             // nil: nowhere
	Sent   func(n int)                                                              // nil, or called after n bytes were written to a connection, by who wrote them
}

// Server serves the OpenFL service, and nothing else, to proven peers.
type Server struct {
	grpc        *grpc.Server
	verify      func([]*x509.Certificate, time.Time) (identity.Identity, error)
	now         func() time.Time
	log         *slog.Logger
	gate        *gate // for messages of uploads
	sent        func(int)
	connections atomic.Int64
	requests    atomic.Int64
}

// NewServer makes a server of svc. Whatever o.TLS says, the server asks for
// TLS 1.3 and a client certificate.
func NewServer(o ServerOptions, svc openflpb.AggregatorServer) *Server {
	s := &Server{verify: o.Verify, now: orNow(o.Now), log: orSilent(o.Log), gate: newGate(), sent: o.Sent}
	shared := newShares(s.log, s.now)
	creds := &accepting{tls: serverTLS(o.TLS), now: s.now, log: s.log, connections: &s.connections, shares: shared}
	s.grpc = grpc.NewServer(
		grpc.Creds(creds),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.ForceServerCodecV2(newWire()),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.InTapHandle(shared.request),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: probeIdle, Timeout: probeTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: probeTimeout, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	)
	openflpb.RegisterAggregatorServer(s.grpc, svc)
	return s
}

// serverTLS is c with what this package insists on.
func serverTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{"h2"}
	if c.ClientAuth != tls.RequireAnyClientCert {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.VerifyConnection = judgedLater(c.VerifyConnection)
	if c.GetConfigForClient != nil {
		c.GetConfigForClient = hardened(c.GetConfigForClient)
	}
	return c
}

// Serve answers on l until ctx ends, then lets requests in flight finish for
// five seconds, then cuts them. It closes l, and
// returns when every handler has returned: nil if ctx was the reason.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	tracked := track(l, s.sent)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		hard := time.AfterFunc(stopGrace, func() {
			tracked.cut()
			s.grpc.Stop()
		})
		defer hard.Stop()
		s.grpc.GracefulStop()
	})
	err := s.grpc.Serve(tracked)
	if !stop() {
		<-stopped
		return nil
	}
	tracked.cut()
	s.grpc.Stop()
	if err != nil {
		return fmt.Errorf("cannot serve on %q: %v", l.Addr(), err)
	}
	return nil
}

// Counts says how many TLS handshakes were completed and how many requests
// begun since the server was made.
func (s *Server) Counts() (connections, requests int64) {
	return s.connections.Load(), s.requests.Load()
}

func orNow(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

func orSilent(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
