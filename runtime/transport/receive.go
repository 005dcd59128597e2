package transport

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
)

// Receive copies an uploaded byte sequence (one serialized TaskResults) to w
// and says how long it is. Chunks are joined in order of arrival; their size
// field is ignored, as in OpenFL. More than limit bytes are refused, and so is an
// upload without any byte, in OpenFL's words. A gRPC status that w returns is the
// answer. What is in w after an error is worthless.
func Receive(stream openflpb.Aggregator_SendLocalTaskResultsServer, w io.Writer, limit int64) (int64, error) {
	places, ok := stream.Context().Value(gateKey{}).(*gate)
	if !ok {
		places = newGate() // of its own
	}
	var total int64
	for {
		n, err := receiveChunk(places, stream, w, limit-total)
		total += n
		if errors.Is(err, errTooLong) {
			return total, status.Errorf(codes.ResourceExhausted, "task results are larger than %d bytes", limit)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return total, err
		}
	}
	if total == 0 {
		return 0, status.Error(codes.Unknown, emptyStream)
	}
	return total, nil
}

var errTooLong = errors.New("too long")

// receiveChunk copies one message's bytes, at most limit; io.EOF is the end of
// the stream.
func receiveChunk(places *gate, stream openflpb.Aggregator_SendLocalTaskResultsServer, w io.Writer, limit int64) (int64, error) {
	leave, err := places.enter(stream.Context())
	if err != nil {
		return 0, err
	}
	defer leave()
	var c chunk
	if err := stream.RecvMsg(&c); err != nil {
		return 0, err
	}
	defer c.data.free()
	if c.data.size() > limit {
		return 0, errTooLong
	}
	n, err := places.store(w, &c.data)
	if err != nil && !hasStatus(err) {
		err = fmt.Errorf("cannot store task results: %w", err)
	}
	return n, err
}
