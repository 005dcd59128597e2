package transport

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// A message is in memory from its first byte until it is stored, and a client
// chooses its size, up to maxRequest. The gate lets few uploads at a time receive
// one, so that memory does not grow with the number of clients: more would not
// be faster, since those that are let in keep the processors busy.
//
// A slow client must not keep others out. So whoever waits for the network longer
// than gatePatience makes room for the next, and is not counted any more: its
// message, which has begun to arrive, is then one more in memory.
const (
	gateWidth    = 4
	gatePatience = 50 * time.Millisecond
)

type gate chan struct{}

type gateKey struct{} // of the server's gate, in a stream's context

// enter waits for a place, and leave gives it back. Through no gate everybody
// may pass.
func (g gate) enter(ctx context.Context) (leave func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	free := sync.OnceFunc(func() { <-g })
	impatient := time.AfterFunc(gatePatience, free)
	return func() {
		impatient.Stop()
		free()
	}, nil
}
