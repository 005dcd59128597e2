package transport

import (
	"context"
	"errors"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
)

// unary and stream put every request through the same three steps: who is it,
// serve, and say in the log what was refused or broke.

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	ctx, err = s.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	err = s.guard(ctx, info.FullMethod, func() error {
		if m, ok := req.(proto.Message); ok && info.FullMethod != openflpb.Aggregator_InteropRelay_FullMethodName && proto.Size(m) > maxQuestion {
			return status.Errorf(codes.InvalidArgument, "the request has %d bytes; at most %d are allowed", proto.Size(m), maxQuestion)
		}
		ctx, lent := withLoan(ctx)
		defer func() { resp = lent(resp, err) }()
		resp, err = handle(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := s.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, gateKey{}, s.gate)
	return s.guard(ctx, info.FullMethod, func() error {
		return handle(srv, &admittedStream{ServerStream: ss, ctx: ctx})
	})
}

// admittedStream is a stream whose context knows the peer.
type admittedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (a *admittedStream) Context() context.Context { return a.ctx }

// admit verifies the peer's certificate as of now. The handshake did so too,
// but a connection may outlast a certificate, and a revocation.
func (s *Server) admit(ctx context.Context, method string) (context.Context, error) {
	s.requests.Add(1)
	from, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Internal, "internal: request without a connection")
	}
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil, Refusal(CauseWrongRole, "no client certificate")
	}
	chain := info.State.PeerCertificates
	now := s.now()
	id, err := s.verify(chain, now)
	if err != nil {
		cause, detail, ok := rejection(err, chain[0], nil, now)
		if !ok {
			cause, detail = CauseWrongRole, "certificate "+subject(chain[0])+" is not accepted"
		}
		s.log.Warn("request refused", "cause", string(cause), "peer", chain[0].Subject.CommonName,
			"addr", from.Addr.String(), "method", method, "detail", detail, "error", err.Error())
		return nil, Refusal(cause, "%s", detail)
	}
	return withPeer(ctx, Peer{Identity: id, Certificate: chain[0], Addr: from.Addr.String()}), nil
}

// guard runs a handler. A panic ends the request, not the process; an error
// that is no gRPC status is for the log and not for the peer.
func (s *Server) guard(ctx context.Context, method string, handle func() error) (err error) {
	p, _ := PeerOf(ctx)
	log := s.log.With("peer", p.Identity.Name, "addr", p.Addr, "method", method)
	defer func() {
		if r := recover(); r != nil {
			log.Error("request ended in a panic", "panic", r, "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	err = handle()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && gaveUp(err) {
		cause, detail := CauseReset, "the connection ended before the answer"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cause, detail = CauseTimeout, "the peer waited no longer for the answer"
		}
		log.Warn("connection lost in a request", "cause", string(cause), "detail", detail)
		return status.FromContextError(ctx.Err()).Err()
	}
	if !hasStatus(err) {
		log.Error("request failed", "error", err.Error())
		return errInternal
	}
	st := status.Convert(err)
	switch st.Code() {
	case codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition, codes.Unavailable:
		cause, detail, _ := readRefusal(st)
		log.Warn("request refused", "cause", string(cause), "detail", detail)
	default:
		log.Info("request not served", "code", st.Code().String(), "detail", clean(st.Message()))
	}
	return err
}

// gaveUp says whether a handler ended because its request did, rather than with
// an answer of its own.
func gaveUp(err error) bool {
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return !hasStatus(err)
}

var errInternal = status.Error(codes.Internal, "internal: the aggregator's log has the reason")

// hasStatus says whether err carries a gRPC status of its own.
func hasStatus(err error) bool {
	var s interface{ GRPCStatus() *status.Status }
	return errors.As(err, &s)
}
