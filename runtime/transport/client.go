package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
)

// ClientOptions says whom a Client talks to, and as whom.
type ClientOptions struct {
	Host string // name or address of the aggregator, as in the plan
	Port int

	TLS *tls.Config // own certificate, CAs, server name; required without Renew

	Sender       string // own collaborator name
	FederationID string
	AggregatorID string

	NewConnectionPerRequest bool // false: one lasting connection, remade when it breaks

	Own *x509.Certificate // own leaf, to explain refusals with; may be nil

	// Renew is asked before each connection for what is in force now, in place
	// of TLS and Own. A lasting connection is remade once Own is another.
	Renew func() Credentials

	Now         func() time.Time // nil: time.Now
	Log         *slog.Logger     // nil: nowhere
	DialTimeout time.Duration    // for a connection to be ready; 0: 20 s, as in gRPC
}

// Client calls one aggregator. Its methods return a *Failure, the context's
// error, or an error about the arguments. They may be used concurrently.
type Client struct {
	connector connector
	header    *openflpb.MessageHeader
	fresh     bool
	log       *slog.Logger
	pool      chunkPool

	connections atomic.Int64
	requests    atomic.Int64

	mu      sync.Mutex
	lasting *session // nil when there is none, or fresh is set
	closed  bool
}

// session is one connection and the gRPC client on it.
type session struct {
	conn *conn
	cc   *grpc.ClientConn
	stub stub
}

// stub is the generated client, and the connection under it.
type stub struct {
	openflpb.AggregatorClient
	conn grpc.ClientConnInterface
}

// NewClient makes a client; nothing is dialed before the first request.
func NewClient(o ClientOptions) *Client {
	timeout := o.DialTimeout
	if timeout <= 0 {
		timeout = handshakeTimeout
	}
	return &Client{
		connector: connector{
			addr:    net.JoinHostPort(o.Host, strconv.Itoa(o.Port)),
			current: currentOf(o),
			flaws:   flawLog{log: orSilent(o.Log)},
			now:     orNow(o.Now),
			timeout: timeout,
		},
		header: &openflpb.MessageHeader{
			Sender:         o.Sender,
			Receiver:       o.AggregatorID,
			FederationUuid: o.FederationID,
		},
		fresh: o.NewConnectionPerRequest,
		log:   orSilent(o.Log),
	}
}

// currentOf gives what the options say, as strict as this package wants it.
func currentOf(o ClientOptions) func() Credentials {
	if o.Renew == nil {
		fixed := Credentials{TLS: clientTLS(o.TLS, o.Host), Own: o.Own}
		return func() Credentials { return fixed }
	}
	return func() Credentials {
		cr := o.Renew()
		cr.TLS = clientTLS(cr.TLS, o.Host)
		return cr
	}
}

// clientTLS is c with what this package insists on. The certificate is always
// presented: crypto/tls would withhold one whose issuer the server does not
// list, and neither side could say then which certificate was wrong.
func clientTLS(c *tls.Config, host string) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{"h2"}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if c.GetClientCertificate == nil && len(c.Certificates) == 1 {
		own := &c.Certificates[0]
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	return c
}

// Close ends the lasting connection, if there is one. Requests after it fail.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.lasting == nil {
		return nil
	}
	s := c.lasting
	c.lasting = nil
	return s.cc.Close()
}

// Counts says how many connections were made and how many requests begun on
// them. With NewConnectionPerRequest the two are equal.
func (c *Client) Counts() (connections, requests int64) {
	return c.connections.Load(), c.requests.Load()
}

var errClosed = errors.New("cannot talk to the aggregator: client is closed")

// acquire gives a session to make one request on, and what to call after it.
func (c *Client) acquire(ctx context.Context) (*session, func(), error) {
	if c.fresh {
		c.mu.Lock()
		closed := c.closed
		c.mu.Unlock()
		if closed {
			return nil, nil, errClosed
		}
		s, err := c.open(ctx)
		if err != nil {
			return nil, nil, err
		}
		return s, func() { _ = s.cc.Close() }, nil // reports only that it was closed before
	}
	// The lock is held while dialing: others that want the same connection wait.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClosed
	}
	if c.lasting != nil && (!c.lasting.conn.usable() || c.connector.current().Own != c.lasting.conn.as.Own) {
		_ = c.lasting.cc.Close()
		c.lasting = nil
	}
	if c.lasting == nil {
		s, err := c.open(ctx)
		if err != nil {
			return nil, nil, err
		}
		c.lasting = s
	}
	return c.lasting, func() {}, nil
}

// open makes a connection and a gRPC client that has it and can make no other.
func (c *Client) open(ctx context.Context) (*session, error) {
	ready, err := c.connector.connect(ctx)
	if err != nil {
		return nil, err
	}
	var taken atomic.Bool
	cc, err := grpc.NewClient("passthrough:///"+c.connector.addr,
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if taken.Swap(true) {
				return nil, errors.New("connection has ended")
			}
			return ready, nil
		}),
		grpc.WithTransportCredentials(established{}),
		grpc.WithAuthority(c.connector.addr),
		grpc.WithUserAgent("fx"),
		grpc.WithNoProxy(),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableHealthCheck(),
		grpc.WithIdleTimeout(0),
		grpc.WithMaxHeaderListSize(maxMetadata),
		grpc.WithDefaultCallOptions(
			grpc.WaitForReady(false),
			grpc.ForceCodecV2(newWire()),
			grpc.MaxCallRecvMsgSize(maxAnswer),
			grpc.MaxCallSendMsgSize(maxMessage),
		),
	)
	if err != nil {
		_ = ready.Close()
		return nil, newFailure(CauseInternal, c.connector.addr, "gRPC does not accept the connection", err)
	}
	c.connections.Add(1)
	c.log.Debug("connected to the aggregator", "addr", ready.RemoteAddr().String(),
		"subject", ready.ConnectionState().PeerCertificates[0].Subject.String())
	return &session{conn: ready, cc: cc, stub: stub{openflpb.NewAggregatorClient(cc), cc}}, nil
}

// request makes one request: call sends it and returns the answer's header.
func (c *Client) request(ctx context.Context, call func(context.Context, stub) (*openflpb.MessageHeader, error)) error {
	s, release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	c.requests.Add(1)
	header, err := call(ctx, s.stub)
	if err != nil {
		return c.explain(ctx, s, err)
	}
	return c.checkReply(header)
}

// explain says why a request on an established connection failed.
func (c *Client) explain(ctx context.Context, s *session, err error) error {
	if ctx.Err() != nil {
		return c.connector.gaveUp(ctx)
	}
	if !hasStatus(err) {
		return err
	}
	st := status.Convert(err)
	if broken := s.conn.err(); broken != nil && transportBroke(st) {
		cause, detail := c.connector.diagnose(broken, nil, s.conn.as)
		return newFailure(cause, c.connector.addr, detail, broken)
	}
	cause, detail, final := readRefusal(st)
	f := newFailure(cause, c.connector.addr, detail, err)
	f.final = final
	return f
}
