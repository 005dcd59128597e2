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
	sent  func(n int) // nil: nobody wants to know
	mu    sync.Mutex
	over  bool
	conns map[*trackedConn]struct{}
}

func track(l net.Listener, sent func(n int)) *tracker {
	return &tracker{Listener: l, sent: sent, conns: make(map[*trackedConn]struct{})}
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

// Write passes on, and tells the tracker's owner how much.
func (c *trackedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.owner.sent != nil {
		c.owner.sent(n)
	}
	return n, err
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
