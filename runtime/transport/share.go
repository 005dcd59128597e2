package transport

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
)

// What one peer may have at a time. It needs one connection and one request; more
// are those whose end was not noticed yet. Without a bound whoever has a good
// certificate could have the server hold any number of messages that never end.
const (
	maxPeerRequests    = 16
	maxPeerConnections = 32
	shareNotice        = time.Minute // between two lines in the log about one peer
)

// shares counts what each peer has, by the name in its certificate.
type shares struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	peers map[string]*share
}

type share struct {
	requests int
	conns    []net.Conn // oldest first
	told     time.Time  // when the log was told last
}

func newShares(log *slog.Logger, now func() time.Time) *shares {
	return &shares{log: log, now: now, peers: map[string]*share{}}
}

// of is a peer's share. The caller holds mu.
func (s *shares) of(name string) *share {
	p := s.peers[name]
	if p == nil {
		p = &share{}
		s.peers[name] = p
	}
	return p
}

// drop forgets a peer that has nothing any more. The caller holds mu.
func (s *shares) drop(name string, p *share) {
	if p.requests == 0 && len(p.conns) == 0 {
		delete(s.peers, name)
	}
}

// note says in the log, now and then, that a peer wants too much. The caller
// holds mu.
func (s *shares) note(p *share, name string, addr net.Addr, what string, most int) {
	if now := s.now(); p.told.IsZero() || now.Sub(p.told) >= shareNotice {
		p.told = now
		s.log.Warn("a peer wants too much at once", "peer", name, "addr", addr.String(), "what", what, "most", most)
	}
}

// connected counts a connection until closed is called. A peer that has the most
// already loses its oldest.
func (s *shares) connected(name string, c net.Conn) (closed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.of(name)
	if len(p.conns) == maxPeerConnections {
		s.note(p, name, c.RemoteAddr(), "connections", maxPeerConnections)
		oldest := p.conns[0]
		p.conns = p.conns[1:]
		go func() { _ = oldest.Close() }() // which calls its closed, for which mu must be free
	}
	p.conns = append(p.conns, c)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(p.conns, c); i >= 0 {
			p.conns = slices.Delete(p.conns, i, i+1)
		}
		s.drop(name, p)
	}
}

// request counts a request from its headers on, before any of its message is
// taken in, until it has ended. It is a [tap.ServerInHandle].
func (s *shares) request(ctx context.Context, _ *tap.Info) (context.Context, error) {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return ctx, nil // admit refuses it
	}
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return ctx, nil // likewise
	}
	name := info.State.PeerCertificates[0].Subject.CommonName
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.of(name)
	if p.requests == maxPeerRequests {
		s.note(p, name, from.Addr, "requests", maxPeerRequests)
		return nil, Refusal(CauseUnavailable, "%d requests of %q are under way", maxPeerRequests, name)
	}
	p.requests++
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.requests--
		s.drop(name, p)
	})
	return ctx, nil
}
