package transport

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
)

// Federation is what every request's header is compared with.
type Federation struct {
	ID           string                 // the plan's federation id
	AggregatorID string                 // the plan's aggregator id
	Member       func(name string) bool // is a collaborator of this name in the roster?
}

// CheckRequest says who sent the request with header h, or refuses it with a
// gRPC status, in OpenFL's order: the name must be the certificate's, in the
// roster, and mean this aggregator and this federation. For a streamed request
// the header is known, and the check made, only at its end; the peer was
// admitted before its beginning.
func (f Federation) CheckRequest(ctx context.Context, h *openflpb.MessageHeader) (Peer, error) {
	p, ok := PeerOf(ctx)
	if !ok {
		return Peer{}, status.Error(codes.Internal, "internal: request without a proven peer")
	}
	switch sender := h.GetSender(); {
	case sender != p.Identity.Name:
		return p, status.Errorf(codes.Unauthenticated, openflNameMismatch, p.Identity.Name, clean(sender))
	case !f.Member(sender):
		return p, Refusal(CauseNotInRoster, "collaborator %q is not in this federation's roster", sender)
	case h.GetReceiver() != f.AggregatorID:
		return p, Refusal(CauseWrongFederation, "request is for aggregator %q, this is %q", clean(h.GetReceiver()), f.AggregatorID)
	case h.GetFederationUuid() != f.ID:
		return p, Refusal(CauseWrongFederation, "request is for federation %q, this is %q", clean(h.GetFederationUuid()), f.ID)
	case h.GetSingleColCertCommonName() != "":
		return p, Refusal(CauseWrongFederation, "request is for a certificate that collaborators share, this federation has one for each")
	}
	return p, nil
}

// ReplyHeader is the header of the answer to a request with header h that
// passed CheckRequest.
func (f Federation) ReplyHeader(h *openflpb.MessageHeader) *openflpb.MessageHeader {
	return &openflpb.MessageHeader{
		Sender:                  f.AggregatorID,
		Receiver:                h.GetSender(),
		FederationUuid:          f.ID,
		SingleColCertCommonName: h.GetSingleColCertCommonName(),
	}
}
