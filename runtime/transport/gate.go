package transport

import (
	"context"
	"io"
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
	gateWidth    = 8
	gatePatience = 100 * time.Millisecond
)

type gate struct {
	places  chan struct{}
	scratch sync.Pool // *[gathered]byte, to store messages with
}

// gathered is how many bytes are stored at a time: a file takes a few large
// writes in half the time of many small ones.
const gathered = 256 << 10

func newGate() *gate { return &gate{places: make(chan struct{}, gateWidth)} }

type gateKey struct{} // of the server's gate, in a stream's context

// enter waits for a place, and leave gives it back.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	free := sync.OnceFunc(func() { <-g.places })
	impatient := time.AfterFunc(gatePatience, free)
	return func() {
		impatient.Stop()
		free()
	}, nil
}

// store writes p to w.
func (g *gate) store(w io.Writer, p *pieces) (int64, error) {
	if len(p.bufs) == 1 {
		n, err := w.Write(p.bufs[0].ReadOnlyData())
		return int64(n), err
	}
	buf, ok := g.scratch.Get().(*[gathered]byte)
	if !ok {
		buf = new([gathered]byte)
	}
	defer g.scratch.Put(buf)
	var total int64
	for total < p.size() {
		b := buf[:min(gathered, p.size()-total)]
		if _, err := p.ReadAt(b, total); err != nil {
			return total, err
		}
		n, err := w.Write(b)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
