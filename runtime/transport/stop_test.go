package transport_test

import (
	"context"
	"net"
	"testing"
	"time"

	"fx/runtime/transport"
)

func TestStopLetsRequestsFinish(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	svc := newService("one")
	begun, finish := make(chan struct{}), make(chan struct{})
	svc.tasks = func(context.Context) error {
		close(begun)
		<-finish
		return nil
	}
	srv := serve(t, p, svc, serverSetup{})
	c := dial(t, p, srv.port, clientSetup{})
	answer := make(chan error, 1)
	go func() { _, err := c.Tasks(context.Background()); answer <- err }()
	<-begun
	stopped := make(chan struct{})
	go func() { srv.stop(); close(stopped) }()
	// Once new connections are refused the server is stopping.
	for {
		raw, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", portString(srv.port)))
		if err != nil {
			break
		}
		_ = raw.Close()
	}
	close(finish)
	if err := <-answer; err != nil {
		t.Errorf("the request in flight was lost: %v", err)
	}
	<-stopped
}

func TestStopIsBounded(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	svc := newService("one")
	begun := make(chan struct{})
	svc.tasks = func(ctx context.Context) error {
		close(begun)
		<-ctx.Done() // holds on until it is cut
		return ctx.Err()
	}
	srv := serve(t, p, svc, serverSetup{})
	dawdler, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", portString(srv.port))) // never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dawdler.Close() }()
	c := dial(t, p, srv.port, clientSetup{})
	answer := make(chan error, 1)
	go func() { _, err := c.Tasks(context.Background()); answer <- err }()
	<-begun
	began := time.Now()
	srv.stop()
	if took := time.Since(began); took < 4*time.Second || took > 10*time.Second {
		t.Errorf("the end took %v, want about five seconds", took)
	}
	err = <-answer
	var retry *transport.Failure
	if !asFailure(err, &retry) || !retry.Retry() {
		t.Errorf("got %v, want a failure that may be retried", err)
	}
}

func TestServeAfterTheEnd(t *testing.T) {
	noLeaks(t)
	p := newPKI(t, fedName)
	srv := serve(t, p, newService("one"), serverSetup{})
	srv.stop()
	c := dial(t, p, srv.port, clientSetup{})
	wantCause(t, c.Ping(context.Background()), transport.CauseRefused)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(context.Background()); err == nil {
		t.Error("a closed client made a request")
	}
}
