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
// field is ignored, as in OpenFL. More than limit bytes are refused, and so is
// an upload without any byte, in OpenFL's words. What is in w after an error
// is worthless.
func Receive(stream openflpb.Aggregator_SendLocalTaskResultsServer, w io.Writer, limit int64) (int64, error) {
	var total int64
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return total, err
		}
		data := chunk.GetNpbytes()
		if int64(len(data)) > limit-total {
			return total, status.Errorf(codes.ResourceExhausted, "task results are larger than %d bytes", limit)
		}
		n, err := w.Write(data)
		total += int64(n)
		if err != nil {
			return total, fmt.Errorf("cannot store task results: %w", err)
		}
	}
	if total == 0 {
		return 0, status.Error(codes.Unknown, emptyStream)
	}
	return total, nil
}
