package transport

import (
	"context"
	"crypto/x509"

	"fx/ca/identity"
)

// Peer is whom a request comes from: proven by the handshake, and verified
// again (revocation, validity) at the time of the request.
type Peer struct {
	Identity    identity.Identity
	Certificate *x509.Certificate
	Addr        string // remote "address:port"
}

type peerKey struct{}

// PeerOf is the peer of the request that ctx belongs to. It is false outside a
// request that Server admitted.
func PeerOf(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}

func withPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}
