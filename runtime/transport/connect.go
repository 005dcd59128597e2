package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// connector makes one connection at a time to the aggregator and explains why
// it could not.
type connector struct {
	addr    string             // host:port
	current func() Credentials // asked before each connection
	flaws   flawLog
	now     func() time.Time
	timeout time.Duration // for TCP, TLS and the first bytes together
}

// connect dials, completes the handshake and waits for the aggregator's first
// bytes. The wait is what makes the answer certain: in TLS 1.3 the server's
// verdict on the client's certificate comes after the client's handshake is
// done, as an alert, and otherwise the first thing it sends is its HTTP/2
// preface. Nothing was sent by then, so no close can outrun the alert.
func (c *connector) connect(ctx context.Context) (*conn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cr := c.current()
	cause, detail, _ := cr.ownFlaw(c.now())
	c.flaws.note(cause, c.addr, detail)

	dialer := net.Dialer{
		Control:         socketOptions,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3},
	}
	raw, err := dialer.DialContext(dialCtx, "tcp", c.addr)
	if err != nil {
		return nil, c.explain(ctx, err, nil, cr)
	}
	secure := tls.Client(raw, cr.TLS)
	first := make([]byte, 1024)
	n, err := c.shake(dialCtx, secure, first)
	if err != nil {
		_ = raw.Close() // already failed; the first error is the one to report
		return nil, c.explain(ctx, err, secure, cr)
	}
	return &conn{Conn: secure, first: first[:n], as: cr}, nil
}

// shake completes the handshake and reads the server's first bytes into buf.
func (c *connector) shake(ctx context.Context, secure *tls.Conn, buf []byte) (int, error) {
	if err := secure.HandshakeContext(ctx); err != nil {
		return 0, err
	}
	if p := secure.ConnectionState().NegotiatedProtocol; p != "h2" {
		return 0, errNotHTTP2
	}
	stop := context.AfterFunc(ctx, func() { _ = secure.SetReadDeadline(time.Unix(1, 0)) })
	n, err := secure.Read(buf)
	if !stop() {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, &hungUpError{err}
	}
	return n, nil
}

// hungUpError is the end of a connection after a complete handshake and before
// any byte of HTTP/2.
type hungUpError struct{ err error }

func (e *hungUpError) Error() string { return e.err.Error() }
func (e *hungUpError) Unwrap() error { return e.err }

var errNotHTTP2 = errors.New("no HTTP/2 on this port")

// explain turns what went wrong into a *Failure, or into ctx's error if the
// caller gave up.
func (c *connector) explain(ctx context.Context, err error, secure *tls.Conn, cr Credentials) error {
	if ctx.Err() != nil {
		return c.gaveUp(ctx)
	}
	cause, detail := c.diagnose(err, secure, cr)
	f := newFailure(cause, c.addr, detail, err)
	if isStale(err) {
		f.Hint = "put the CA custodian's latest revocation list into the certificate folder: crl.pem"
	}
	return cr.instead(f, c.now())
}

// gaveUp is the error of a request whose context has ended. A caller's deadline
// is a time-out like any other, with its cause and hint.
func (c *connector) gaveUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return newFailure(CauseTimeout, c.addr, "no answer in time", ctx.Err())
	}
	return ctx.Err()
}

func (c *connector) diagnose(err error, secure *tls.Conn, cr Credentials) (Cause, string) {
	if alert, ok := remoteAlert(err); ok {
		if cause, detail, found := cr.ownFlaw(c.now()); found && slices.Contains(certificateAlerts, alert) {
			return cause, detail
		}
		return refusedByAlert(alert, cr.Own, c.now())
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		if strings.HasPrefix(string(record.RecordHeader[:]), "HTTP") {
			return CauseNotTLS, "the port answers in plain HTTP"
		}
		return CauseNotTLS, "the port does not answer in TLS"
	}
	if errors.Is(err, errNotHTTP2) {
		return CauseNotTLS, notAggregator
	}
	if secure != nil {
		leaf := presented(err, secure)
		cause, detail, ok := rejection(err, leaf, cr.Own, c.now())
		switch {
		case ok && cause == CauseWrongCA && leaf != nil && foreign(leaf, cr.Own):
			return CauseIntercepted, fmt.Sprintf("a certificate %s issued by %s answers in the aggregator's place", subject(leaf), issuer(leaf))
		case ok:
			return cause, "the aggregator's " + detail
		case strings.Contains(err.Error(), "unsupported protocol version"): // crypto/tls has no type for it
			return CauseNotTLS, notAggregator
		}
	}
	cause, detail := networkCause(err)
	var hungUp *hungUpError
	if cause == CauseReset && errors.As(err, &hungUp) {
		return refusedInSilence(cr.Own, c.now())
	}
	return cause, detail
}

// networkCause is the cause of an error of the operating system's, from dialing
// or from a connection that was open.
func networkCause(err error) (Cause, string) {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return CauseDNS, fmt.Sprintf("host name %q does not resolve: %s", dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused, "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return CauseUnreachable, "no route to the host"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return CauseUnreachable, "this machine's firewall forbids the connection"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return CauseTimeout, "no answer in time"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return CauseReset, "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return CauseReset, "connection closed before an answer"
	}
	return CauseInternal, clean(err.Error())
}
