package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
)

// Ping proves the connection, the certificates and the header.
func (c *Client) Ping(ctx context.Context) error {
	return c.request(ctx, func(ctx context.Context, a stub) (*openflpb.MessageHeader, error) {
		r, err := a.Ping(ctx, &openflpb.PingRequest{Header: c.header})
		return r.GetHeader(), err
	})
}

// Tasks asks what to do: tasks for a round, seconds to wait, or quit.
func (c *Client) Tasks(ctx context.Context) (*openflpb.GetTasksResponse, error) {
	var reply *openflpb.GetTasksResponse
	err := c.request(ctx, func(ctx context.Context, a stub) (_ *openflpb.MessageHeader, err error) {
		reply, err = a.GetTasks(ctx, &openflpb.GetTasksRequest{Header: c.header})
		return reply.GetHeader(), err
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// TensorRequest says which tensor is wanted, and how.
type TensorRequest struct {
	Name            string
	Round           int32
	Tags            []string // in OpenFL's order, which its aggregator insists on
	RequireLossless bool
	Limit           int64 // bytes that the answer's data and metadata may have
}

// Download fetches one tensor. The aggregator may hold the answer back for about
// a minute while the model does not exist yet. The caller frees the answer.
func (c *Client) Download(ctx context.Context, r TensorRequest) (*Download, error) {
	limit := grpc.MaxCallRecvMsgSize(int(min(r.Limit, maxMessage) + maxAnswer))
	d := &Download{}
	err := c.request(ctx, func(ctx context.Context, a stub) (*openflpb.MessageHeader, error) {
		err := a.conn.Invoke(ctx, openflpb.Aggregator_GetAggregatedTensor_FullMethodName, &openflpb.GetAggregatedTensorRequest{
			Header:          c.header,
			TensorName:      r.Name,
			RoundNumber:     r.Round,
			Tags:            r.Tags,
			RequireLossless: r.RequireLossless,
		}, d, limit)
		return d.header, err
	})
	if err == nil && d.Tensor == nil {
		err = newFailure(CauseInternal, c.connector.addr, fmt.Sprintf("the aggregator answers without tensor %q", r.Name), nil)
	}
	if err != nil {
		d.Free()
		return nil, err
	}
	return d, nil
}

// Tensor is Download for a tensor that is small enough to be in memory twice.
func (c *Client) Tensor(ctx context.Context, r TensorRequest) (*openflpb.NamedTensor, error) {
	d, err := c.Download(ctx, r)
	if err != nil {
		return nil, err
	}
	defer d.Free()
	if d.Size() > 0 {
		d.Tensor.DataBytes = d.bufs.Materialize()
	}
	return d.Tensor, nil
}

// Send uploads size bytes of r, one serialized TaskResults, in chunks of
// 1 MiB. It reads r from its beginning each time, so after a failure it can be
// called again. An error of r is returned as it is.
func (c *Client) Send(ctx context.Context, r io.ReaderAt, size int64) error {
	if size <= 0 {
		return fmt.Errorf("cannot send task results: size is %d bytes, want at least 1", size)
	}
	return c.request(ctx, func(ctx context.Context, a stub) (*openflpb.MessageHeader, error) {
		ctx, cancel := context.WithCancel(ctx) // ends the stream if r fails
		defer cancel()
		stream, err := a.SendLocalTaskResults(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.pool.sendChunks(stream, io.NewSectionReader(r, 0, size), min(size, chunkSize)); err != nil {
			return nil, err
		}
		reply, err := stream.CloseAndRecv()
		return reply.GetHeader(), err
	})
}

// sendChunks cuts r into messages. gRPC keeps a message until it is written, so
// each has a buffer of its own, which comes back to the pool then.
func (p *chunkPool) sendChunks(stream openflpb.Aggregator_SendLocalTaskResultsClient, r *io.SectionReader, chunkSize int64) error {
	for sent := int64(0); sent < r.Size(); {
		n := min(chunkSize, r.Size()-sent)
		buf := p.Get(int(n))
		if _, err := io.ReadFull(r, *buf); err != nil {
			p.Put(buf)
			return fmt.Errorf("cannot read task results: %w", err)
		}
		err := stream.SendMsg(&chunk{hold(mem.BufferSlice{mem.NewBuffer(buf, p)})})
		if errors.Is(err, io.EOF) {
			return nil // the server has answered already; CloseAndRecv says what
		}
		if err != nil {
			return err
		}
		sent += n
	}
	return nil
}

// chunkPool keeps buffers of chunkSize bytes for the next upload's chunks.
type chunkPool struct{ pool sync.Pool }

// Get implements [mem.BufferPool].
func (p *chunkPool) Get(n int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= n {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n)
	return &b
}

// Put implements [mem.BufferPool].
func (p *chunkPool) Put(b *[]byte) { p.pool.Put(b) }

// checkReply refuses an answer that is not from our aggregator to us.
func (c *Client) checkReply(h *openflpb.MessageHeader) error {
	for _, f := range []struct{ field, got, want string }{
		{"receiver", h.GetReceiver(), c.header.Sender},
		{"sender", h.GetSender(), c.header.Receiver},
		{"federation_uuid", h.GetFederationUuid(), c.header.FederationUuid},
		{"single_col_cert_common_name", h.GetSingleColCertCommonName(), c.header.SingleColCertCommonName},
	} {
		if f.got != f.want {
			detail := fmt.Sprintf("the answer's %s is %q, want %q", f.field, clean(f.got), f.want)
			return newFailure(CauseWrongFederation, c.connector.addr, detail, nil)
		}
	}
	return nil
}

// transportBroke says whether gRPC itself may have made the status because the
// connection went away.
func transportBroke(st *status.Status) bool {
	switch st.Code() {
	case codes.Unavailable, codes.Internal, codes.Unknown, codes.Canceled:
		return true
	}
	return false
}
