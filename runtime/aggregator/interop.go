package aggregator

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
)

// InteropRelay refuses: it is for plans whose connector hands the federation to
// another framework, such as Flower, and a plan with a connector is not run by
// this program at all. OpenFL's aggregator answers with the same code where it
// has no connector. What a message says is not looked at beyond its header.
func (a *Aggregator) InteropRelay(ctx context.Context, req *openflpb.InteropMessage) (*openflpb.InteropMessage, error) {
	if _, err := a.federation.CheckRequest(ctx, req.GetHeader()); err != nil {
		return nil, err
	}
	return nil, status.Error(codes.Unimplemented,
		"InteropRelay: the plan of this federation has no connector to another framework, so there is nobody to relay messages to; its tasks are in GetTasks")
}
