package transport_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
	"fx/runtime/transport"
)

// refuser answers every ping with one status.
type refuser struct {
	openflpb.UnimplementedAggregatorServer
	err error
}

func (r refuser) Ping(context.Context, *openflpb.PingRequest) (*openflpb.PingResponse, error) {
	return nil, r.err
}

func TestWhatAStatusMeans(t *testing.T) {
	const called = "Exception calling application: "
	tests := []struct {
		name  string
		err   error
		cause transport.Cause
		retry bool
	}{
		{"openfl: name", status.Error(codes.Unauthenticated, "Invalid collaborator. CN: |a| collaborator_common_name: |b|"), transport.CauseNameMismatch, false},
		{"openfl: roster", status.Error(codes.Unknown, called+"Sender in request header is not authorized. Expected: one of ['a'], Actual: b"), transport.CauseNotInRoster, false},
		{"openfl: receiver", status.Error(codes.Unknown, called+"Receiver in request header does not match aggregator UUID. Expected: a, Actual: b"), transport.CauseWrongFederation, false},
		{"openfl: federation", status.Error(codes.Unknown, called+"Federation UUID in request header does not match. Expected: a, Actual: b"), transport.CauseWrongFederation, false},
		{"openfl: shared name", status.Error(codes.Unknown, called+"Single collaborator certificate common name in request header does not match. Expected: a, Actual: "), transport.CauseWrongFederation, false},
		{"openfl: no tensor yet", status.Error(codes.Unknown, called+"Aggregator does not have an aggregated tensor for TensorKey(...)"), transport.CauseInternal, true},
		{"openfl: empty stream", status.Error(codes.Unknown, called+"Empty stream message, reestablishing connection from client to resume training..."), transport.CauseReset, true},

		{"ours: not approved", transport.Refusal(transport.CauseNotApproved, "bundle %q needs 2 approvals", "x"), transport.CauseNotApproved, false},
		{"ours: revoked", transport.Refusal(transport.CauseRevoked, "x"), transport.CauseRevoked, false},
		{"ours: no cause of a server's", transport.Refusal(transport.CauseDNS, "x"), transport.CauseInternal, true},

		{"code alone: unauthenticated", status.Error(codes.Unauthenticated, "no"), transport.CauseNameMismatch, false},
		{"code alone: permission denied", status.Error(codes.PermissionDenied, "no"), transport.CauseNotInRoster, false},
		{"code alone: failed precondition", status.Error(codes.FailedPrecondition, "no"), transport.CauseWrongFederation, false},
		{"code alone: unavailable", status.Error(codes.Unavailable, "no"), transport.CauseUnavailable, true},
		{"code alone: deadline", status.Error(codes.DeadlineExceeded, "no"), transport.CauseTimeout, true},
		{"code alone: invalid argument", status.Error(codes.InvalidArgument, "no"), transport.CauseInternal, false},
		{"code alone: unimplemented", status.Error(codes.Unimplemented, "no"), transport.CauseInternal, false},
		{"a word that is no cause", status.Error(codes.Unavailable, "busy: come back"), transport.CauseUnavailable, true},
		{"control characters", status.Error(codes.Unavailable, "\x1b[31mred\nline"), transport.CauseUnavailable, true},
	}
	p := newPKI(t, fedName)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, p, refuser{err: tt.err}, serverSetup{})
			err := dial(t, p, srv.port, clientSetup{}).Ping(context.Background())
			var f *transport.Failure
			if !errors.As(err, &f) {
				t.Fatalf("got %v, want a *Failure", err)
			}
			if f.Cause != tt.cause || f.Retry() != tt.retry {
				t.Errorf("got cause %s, retry %v; want %s, %v", f.Cause, f.Retry(), tt.cause, tt.retry)
			}
			if strings.ContainsAny(f.Error(), "\x1b\n") {
				t.Errorf("the peer's control characters come through: %q", f.Error())
			}
		})
	}
}

func TestCheckRequestWithoutAPeer(t *testing.T) {
	fed := newService("one").fed
	_, err := fed.CheckRequest(context.Background(), &openflpb.MessageHeader{Sender: "one", Receiver: aggID, FederationUuid: fedID})
	if status.Code(err) != codes.Internal {
		t.Errorf("got %v, want Internal", err)
	}
	if _, ok := transport.PeerOf(context.Background()); ok {
		t.Error("there is a peer outside a request")
	}
}
