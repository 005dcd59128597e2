package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// established is the client's credentials.TransportCredentials for a
// connection that connect has already secured: it only describes it.
type established struct{}

func (established) ClientHandshake(_ context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*conn)
	if !ok {
		return nil, nil, errors.New("connection was not made by connect")
	}
	return c, tlsInfo(c.Conn), nil
}

func (established) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("client credentials cannot serve")
}

func (established) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (e established) Clone() credentials.TransportCredentials { return e }
func (established) OverrideServerName(string) error           { return nil }

// accepting is the server's credentials.TransportCredentials: it counts and
// explains handshakes.
type accepting struct {
	tls         *tls.Config
	now         func() time.Time
	log         *slog.Logger
	connections *atomic.Int64
	shares      *shares
}

// ServerHandshake completes one handshake; gRPC has set a deadline on raw and
// closes it after an error.
func (a *accepting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure := tls.Server(raw, a.tls)
	if err := secure.Handshake(); err != nil {
		a.explain(err, secure)
		return nil, nil, err
	}
	a.connections.Add(1)
	if c, ok := raw.(*trackedConn); ok {
		c.onClose(a.shares.connected(secure.ConnectionState().PeerCertificates[0].Subject.CommonName, c))
	}
	return secure, tlsInfo(secure), nil
}

// explain writes the one log line of a handshake that failed.
func (a *accepting) explain(err error, secure *tls.Conn) {
	leaf := presented(err, secure)
	cause, detail, ok := rejection(err, leaf, nil, a.now())
	if !ok {
		cause, detail = peerGone(err, ownLeaf(a.tls), secure.ConnectionState().ServerName, a.now())
	}
	attrs := []any{"cause", string(cause), "addr", secure.RemoteAddr().String(), "detail", detail}
	if leaf != nil {
		attrs = append(attrs, "subject", leaf.Subject.String())
	}
	a.log.Warn("connection refused in the handshake", attrs...)
}

func (a *accepting) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("server credentials cannot dial")
}

func (a *accepting) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (a *accepting) Clone() credentials.TransportCredentials { return a }
func (a *accepting) OverrideServerName(string) error         { return nil }

// tlsInfo hands a connection's state to gRPC.
func tlsInfo(c *tls.Conn) credentials.TLSInfo {
	return credentials.TLSInfo{
		State:          c.ConnectionState(),
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}
}
