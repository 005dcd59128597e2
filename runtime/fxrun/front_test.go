package main

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// front is what answers at the address where collaborators look for the
// aggregator, which itself is behind it.
type front struct {
	addr   string
	behind string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
	handlers sync.WaitGroup
	accepted atomic.Int64
}

// newFront listens and relays until the test ends.
func newFront(t *testing.T, addr, behind string) *front {
	t.Helper()
	f := &front{addr: addr, behind: behind, open: map[net.Conn]struct{}{}}
	t.Cleanup(f.close)
	return f
}

// answer handles each connection from now on by h; those that are open end.
// Without h nobody listens.
func (f *front) answer(t *testing.T, h func(net.Conn)) {
	t.Helper()
	f.close()
	f.accepted.Store(0)
	if h == nil {
		return
	}
	config := net.ListenConfig{}
	l, err := config.Listen(context.Background(), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.listener = l
	f.mu.Unlock()
	f.handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
			f.hold(c)
			f.handlers.Go(func() {
				h(c)
				f.release(c)
			})
		}
	})
}

func (f *front) hold(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener == nil { // it was closed meanwhile
		_ = c.Close()
	}
	f.open[c] = struct{}{}
}

func (f *front) release(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, c)
	_ = c.Close()
}

func (f *front) close() {
	f.mu.Lock()
	if f.listener != nil {
		_ = f.listener.Close()
	}
	f.listener = nil
	for c := range f.open {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.handlers.Wait()
}

// relay hands a connection on to the aggregator.
func (f *front) relay(c net.Conn) { f.cut(-1, -1)(c) }

// cut relays, and resets both connections after so many bytes to the aggregator
// or from it, and says whether it came to that; a negative number is no limit.
func (f *front) cut(to, from int64) func(net.Conn) bool {
	return func(in net.Conn) (done bool) {
		out, err := net.Dial("tcp", f.behind)
		if err != nil {
			reset(in)
			return false
		}
		f.hold(out)
		defer f.release(out)
		var both sync.WaitGroup
		var reached atomic.Bool
		one := func(dst, src net.Conn, limit int64) {
			var n int64
			if limit < 0 {
				n, _ = io.Copy(dst, src)
				limit = n + 1
			} else {
				n, _ = io.CopyN(dst, src, limit)
			}
			if n == limit {
				reached.Store(true)
				reset(dst)
				reset(src)
			}
			_ = dst.Close()
			_ = src.Close()
		}
		both.Go(func() { one(out, in, to) })
		both.Go(func() { one(in, out, from) })
		both.Wait()
		return reached.Load()
	}
}

// reset ends a connection as a failing middlebox does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
