package transport_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"fx/runtime/transport"
)

// One peer that begins requests and never ends them gets no more than its share,
// and others do not notice.
func TestOnePeerDoesNotTakeAllRequests(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	svc := newService("one", "two")
	held, begun := make(chan struct{}), make(chan struct{}, 64)
	svc.tasks = func(ctx context.Context) error {
		begun <- struct{}{}
		select {
		case <-held:
		case <-ctx.Done():
		}
		return nil
	}
	srv := serve(t, p, svc, serverSetup{})
	one, two := dial(t, p, srv.port, clientSetup{}), dial(t, p, srv.port, clientSetup{name: "two"})
	done := make(chan error, 16)
	for range 16 {
		go func() { _, err := one.Tasks(t.Context()); done <- err }()
	}
	for range 16 {
		<-begun
	}
	var f *transport.Failure
	for range 3 {
		if err := one.Ping(t.Context()); !asFailure(err, &f) || f.Cause != transport.CauseUnavailable || !f.Retry() || !strings.Contains(f.Detail, `16 requests of "one"`) {
			t.Errorf("one request more: %v, want cause %s", err, transport.CauseUnavailable)
		}
	}
	if n := strings.Count(srv.log.String(), "a peer wants too much at once"); n != 1 {
		t.Errorf("the log says so %d times, want once:\n%s", n, srv.log.String())
	}
	if err := two.Ping(t.Context()); err != nil {
		t.Errorf("another peer: %v", err)
	}
	close(held)
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "a request after the others have ended", func() bool { return one.Ping(t.Context()) == nil })
}

// counted is a listener that knows how many of its connections are open.
type counted struct {
	net.Listener
	open atomic.Int64
}

type countedConn struct {
	net.Conn
	l    *counted
	over atomic.Bool
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedConn{Conn: c, l: l}, nil
}

func (c *countedConn) Close() error {
	if !c.over.Swap(true) {
		c.l.open.Add(-1)
	}
	return c.Conn.Close()
}

// Of the connections of one peer the latest stay.
func TestOnePeerDoesNotTakeAllConnections(t *testing.T) {
	p := newPKI(t, fedName)
	l := &counted{Listener: listen(t)}
	port := portOf(l.Listener)
	srv := serve(t, p, newService("one"), serverSetup{listen: l})
	lasting := clientSetup{options: func(o *transport.ClientOptions) { o.NewConnectionPerRequest = false }}
	for range 40 {
		if err := dial(t, p, port, lasting).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "32 connections", func() bool { return l.open.Load() == 32 })
	if !strings.Contains(srv.log.String(), "what=connections") {
		t.Errorf("the log does not say so:\n%s", srv.log.String())
	}
}

// Headers are held as long as their request lasts, so a peer cannot send many.
func TestLargeHeadersAreRefused(t *testing.T) {
	p := newPKI(t, fedName)
	srv := serve(t, p, newService("one"), serverSetup{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 100<<10))
	if err := dial(t, p, srv.port, clientSetup{}).Ping(ctx); err == nil {
		t.Error("100 KiB of headers were taken")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

// Whatever is asked is short, and is repeated in answers and logs.
func TestALongQuestionIsRefused(t *testing.T) {
	p := newPKI(t, fedName)
	srv := serve(t, p, newService("one"), serverSetup{})
	_, err := dial(t, p, srv.port, clientSetup{}).Tensor(t.Context(), transport.TensorRequest{Name: strings.Repeat("x", 100<<10), Limit: 1 << 20})
	var f *transport.Failure
	if !asFailure(err, &f) || f.Retry() || !strings.Contains(f.Detail, "at most 65536 are allowed") {
		t.Errorf("%v, want a refusal that is final", err)
	}
}
