package transport

import (
	"net"
	"sync"
)

// tracker is a listener that can cut every connection it accepted. gRPC cuts
// only those that are past the handshake, and would let a peer that dawdles in
// it hold up the end.
type tracker struct {
	net.Listener
	mu    sync.Mutex
	over  bool
	conns map[*trackedConn]struct{}
}

func track(l net.Listener) *tracker {
	return &tracker{Listener: l, conns: make(map[*trackedConn]struct{})}
}

// Accept waits for the next connection.
func (t *tracker) Accept() (net.Conn, error) {
	raw, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: raw, owner: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	t.conns[c] = struct{}{}
	return c, nil
}

// cut closes all connections, and those that are still accepted later.
func (t *tracker) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	for c := range t.conns {
		_ = c.Conn.Close()
	}
	clear(t.conns)
}

// trackedConn leaves its tracker when it is closed.
type trackedConn struct {
	net.Conn
	owner *tracker
	ended func() // nil, or to be called once it is closed; under the owner's mu
	over  bool
}

// onClose has f called when the connection is closed, or now if it is.
func (c *trackedConn) onClose(f func()) {
	c.owner.mu.Lock()
	over := c.over
	c.ended = f
	c.owner.mu.Unlock()
	if over {
		f()
	}
}

// Close ends the connection.
func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	ended := c.ended
	c.ended, c.over = nil, true
	c.owner.mu.Unlock()
	if ended != nil {
		ended()
	}
	return c.Conn.Close()
}
