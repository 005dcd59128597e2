package transport

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
)

// Ping proves the connection, the certificates and the header.
func (c *Client) Ping(ctx context.Context) error {
	return c.request(ctx, func(ctx context.Context, a openflpb.AggregatorClient) (*openflpb.MessageHeader, error) {
		r, err := a.Ping(ctx, &openflpb.PingRequest{Header: c.header})
		return r.GetHeader(), err
	})
}

// Tasks asks what to do: tasks for a round, seconds to wait, or quit.
func (c *Client) Tasks(ctx context.Context) (*openflpb.GetTasksResponse, error) {
	var reply *openflpb.GetTasksResponse
	err := c.request(ctx, func(ctx context.Context, a openflpb.AggregatorClient) (_ *openflpb.MessageHeader, err error) {
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

// Tensor fetches one tensor. The aggregator may hold the answer back for about a
// minute while the model does not exist yet.
func (c *Client) Tensor(ctx context.Context, r TensorRequest) (*openflpb.NamedTensor, error) {
	limit := grpc.MaxCallRecvMsgSize(int(min(r.Limit, maxMessage) + maxAnswer))
	var tensor *openflpb.NamedTensor
	err := c.request(ctx, func(ctx context.Context, a openflpb.AggregatorClient) (*openflpb.MessageHeader, error) {
		resp, err := a.GetAggregatedTensor(ctx, &openflpb.GetAggregatedTensorRequest{
			Header:          c.header,
			TensorName:      r.Name,
			RoundNumber:     r.Round,
			Tags:            r.Tags,
			RequireLossless: r.RequireLossless,
		}, limit)
		tensor = resp.GetTensor()
		return resp.GetHeader(), err
	})
	if err != nil {
		return nil, err
	}
	if tensor == nil {
		return nil, newFailure(CauseInternal, c.connector.addr, fmt.Sprintf("the aggregator answers without tensor %q", r.Name), nil)
	}
	return tensor, nil
}

// Send uploads size bytes of r, one serialized TaskResults, in chunks of
// 2 MiB. It reads r from its beginning each time, so after a failure it can be
// called again. An error of r is returned as it is.
func (c *Client) Send(ctx context.Context, r io.ReaderAt, size int64) error {
	if size <= 0 {
		return fmt.Errorf("cannot send task results: size is %d bytes, want at least 1", size)
	}
	return c.request(ctx, func(ctx context.Context, a openflpb.AggregatorClient) (*openflpb.MessageHeader, error) {
		ctx, cancel := context.WithCancel(ctx) // ends the stream if r fails
		defer cancel()
		stream, err := a.SendLocalTaskResults(ctx)
		if err != nil {
			return nil, err
		}
		if err := sendChunks(stream, io.NewSectionReader(r, 0, size), min(size, chunkSize)); err != nil {
			return nil, err
		}
		reply, err := stream.CloseAndRecv()
		return reply.GetHeader(), err
	})
}

// sendChunks cuts r into messages. gRPC has serialized a message when Send
// returns, so one buffer serves all.
func sendChunks(stream openflpb.Aggregator_SendLocalTaskResultsClient, r *io.SectionReader, chunk int64) error {
	buf := make([]byte, chunk)
	for sent := int64(0); sent < r.Size(); {
		n := min(chunk, r.Size()-sent)
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return fmt.Errorf("cannot read task results: %w", err)
		}
		err := stream.Send(&openflpb.DataStream{Size: uint32(n), Npbytes: buf[:n]})
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
