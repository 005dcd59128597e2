package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// conn is an established connection whose first bytes were already read, and
// that remembers how it ended.
type conn struct {
	*tls.Conn
	first  []byte // not yet handed on; only Read touches it, and gRPC reads from one goroutine
	end    atomic.Pointer[error]
	closed atomic.Bool
	as     Credentials // that it was made with
}

// Read gives the bytes read ahead, then the connection's.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	c.note(err)
	return n, err
}

// Write passes on, noting an error.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.note(err)
	return n, err
}

// Close ends the connection; errors that follow from it are not its end.
func (c *conn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func (c *conn) note(err error) {
	if err == nil || c.closed.Load() || errors.Is(err, net.ErrClosed) {
		return
	}
	c.end.CompareAndSwap(nil, &err)
}

// err is the first error that the connection itself had, or nil.
func (c *conn) err() error {
	if e := c.end.Load(); e != nil {
		return *e
	}
	return nil
}

// usable says whether a further request may be tried on the connection.
func (c *conn) usable() bool { return !c.closed.Load() && c.err() == nil }
