package transport

import (
	"context"
	"runtime"
	"sync"

	"google.golang.org/grpc/mem"

	openflpb "fx/proto"
)

// MinLoan is the least number of bytes that may be lent: gRPC does not say when
// it is done with few.
const MinLoan = 64 << 10

// Lend says that the data_bytes of the tensor in the answer to this request, at
// least MinLoan of them, are memory that the answer may be sent from, such as a
// mapped file. It must not change before release is called, which happens once:
// when the last byte was handed to the connection, or when that has become
// impossible.
func Lend(ctx context.Context, release func()) {
	l, ok := ctx.Value(loanKey{}).(*loan)
	if !ok || l.release != nil {
		panic("transport: Lend outside of a request, or twice")
	}
	l.release = release
}

type loanKey struct{}

// loan is memory that gRPC has been given to send from.
type loan struct {
	release func()
	once    sync.Once
}

func (l *loan) end() { l.once.Do(l.release) }

// withLoan gives a handler the possibility to lend. done is to be called with
// its answer, and returns what gRPC is to send.
func withLoan(ctx context.Context) (_ context.Context, done func(resp any, err error) any) {
	l := &loan{}
	return context.WithValue(ctx, loanKey{}, l), func(resp any, err error) any {
		if l.release == nil {
			return resp
		}
		reply, ok := resp.(*openflpb.GetAggregatedTensorResponse)
		if err != nil || !ok {
			l.end()
			return resp
		}
		// Nobody gives back what was not sent when a connection broke: the
		// collector finds that.
		k := &keeper{l}
		runtime.AddCleanup(k, (*loan).end, l)
		return &lentReply{message: reply, keeper: k}
	}
}

// keeper is the pool that a lent buffer goes back to.
type keeper struct{ loan *loan }

var _ mem.BufferPool = (*keeper)(nil)

// Get implements [mem.BufferPool]; nobody takes anything from here.
func (*keeper) Get(n int) *[]byte { b := make([]byte, n); return &b }

// Put implements [mem.BufferPool].
func (k *keeper) Put(*[]byte) { k.loan.end() }
