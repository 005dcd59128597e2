package transport_test

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// cutter is a TCP relay that resets a connection after limit bytes towards the
// server, as a failing middlebox does.
type cutter struct {
	port  int
	limit atomic.Int64
}

func newCutter(t *testing.T, target int, limit int64) *cutter {
	t.Helper()
	l := listen(t)
	c := &cutter{port: portOf(l)}
	c.limit.Store(limit)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.relay(t, in.(*net.TCPConn), target) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return c
}

func (c *cutter) relay(t *testing.T, in *net.TCPConn, target int) {
	raw, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(target)))
	if err != nil {
		t.Error(err)
		return
	}
	out := raw.(*net.TCPConn)
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(in, out)
	}()
	n, _ := io.CopyN(out, in, c.limit.Load())
	if n == c.limit.Load() {
		_ = in.SetLinger(0)
		_ = out.SetLinger(0)
	}
	_ = in.Close()
	_ = out.Close()
	<-back
}

func listenOn(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
