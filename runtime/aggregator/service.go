package aggregator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/runtime/journal"
	"fx/runtime/transport"
	"fx/schema"
)

const (
	// idleSleep is what OpenFL's aggregator tells a collaborator that has
	// nothing to do, in seconds.
	idleSleep = 10
	// tensorWait is how long a request waits for a tensor of a later round;
	// OpenFL's aggregator gives up after 60 to 65 seconds.
	tensorWait = 60 * time.Second
	// closingWait is how long a collaborator that asks for work waits for a round
	// that is being closed, before it is told to ask again after closingSleep
	// seconds.
	closingWait  = time.Second
	closingSleep = 1
	// protobufLimit is what OpenFL's collaborators can make a TaskResults message
	// of. fxrun's write it piece by piece, and may send more of a large model: up
	// to uploadPerModel times its size, which leaves room for the state of an
	// optimizer and for shifted values.
	protobufLimit  = 1<<31 - 1
	uploadPerModel = 6
	// maxUploads is how many uploads one collaborator may have under way, which
	// bounds what it can spool. It makes one at a time; another may hang on a
	// connection whose end was not noticed yet.
	maxUploads = 2
	// maxReason is how many bytes of a refusal's reason are told.
	maxReason = 1000
)

// Ping answers a connection test.
func (a *Aggregator) Ping(ctx context.Context, req *openflpb.PingRequest) (*openflpb.PingResponse, error) {
	if _, err := a.federation.CheckRequest(ctx, req.GetHeader()); err != nil {
		return nil, err
	}
	return &openflpb.PingResponse{Header: a.federation.ReplyHeader(req.GetHeader())}, nil
}

// GetTasks tells a collaborator what to do now: the tasks of the round that it
// has not reported yet, to wait, or that the federation is complete.
func (a *Aggregator) GetTasks(ctx context.Context, req *openflpb.GetTasksRequest) (*openflpb.GetTasksResponse, error) {
	peer, err := a.federation.CheckRequest(ctx, req.GetHeader())
	if err != nil {
		return nil, err
	}
	name := peer.Identity.Name
	a.awaitTurn(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	resp := &openflpb.GetTasksResponse{
		Header:      a.federation.ReplyHeader(req.GetHeader()),
		RoundNumber: int32(a.round),
	}
	if a.complete {
		if err := a.tell(name); err != nil {
			return nil, a.internal("cannot record that a collaborator was told to leave", err)
		}
		resp.Quit = true
		return resp, nil
	}
	if a.closing {
		resp.SleepTime = closingSleep
		return resp, nil
	}
	for _, task := range a.open.pending(name) {
		resp.Tasks = append(resp.Tasks, &openflpb.Task{Name: task})
	}
	if len(resp.Tasks) == 0 {
		resp.SleepTime = idleSleep
	} else {
		a.startDeadline()
	}
	return resp, nil
}

// awaitTurn waits a little if a round is being closed.
func (a *Aggregator) awaitTurn(ctx context.Context) {
	a.mu.Lock()
	closing, turned := a.closing, a.turned
	a.mu.Unlock()
	if !closing {
		return
	}
	wait := time.NewTimer(closingWait)
	defer wait.Stop()
	select {
	case <-turned:
	case <-wait.C:
	case <-ctx.Done():
	}
}

// tell records, before the answer goes out, that a collaborator knows the end.
func (a *Aggregator) tell(name string) error {
	if a.told[name] {
		return nil
	}
	if err := a.o.Journal.MarkQuit(name); err != nil {
		return err
	}
	a.told[name] = true
	a.o.Log.Info("collaborator leaves", "collaborator", name, "remaining", len(slices.DeleteFunc(slices.Clone(a.roster), func(n string) bool { return a.told[n] })))
	a.checkDone()
	return nil
}

// checkDone closes Done once everybody was told. The caller holds mu.
func (a *Aggregator) checkDone() {
	for _, name := range a.roster {
		if !a.told[name] {
			return
		}
	}
	select {
	case <-a.done:
	default:
		close(a.done)
	}
}

// awaitRound returns once the model of a round exists, and at the latest after
// tensorWait; the look-up then says what is missing. A caller that gave up gets
// that as the reason, a gRPC status.
func (a *Aggregator) awaitRound(ctx context.Context, round int) error {
	wait := time.NewTimer(tensorWait)
	defer wait.Stop()
	for {
		a.mu.Lock()
		reached, turned := a.round >= round, a.turned
		a.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-turned:
		case <-wait.C:
			return nil
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// SendLocalTaskResults spools a result, checks it, makes it durable, and only
// then answers. What OpenFL's aggregator drops without a word (a stale round, a
// second result) gets the same answer here, and a line in the log.
func (a *Aggregator) SendLocalTaskResults(stream openflpb.Aggregator_SendLocalTaskResultsServer) error {
	peer, ok := transport.PeerOf(stream.Context())
	if !ok || !a.federation.Member(peer.Identity.Name) {
		return transport.Refusal(transport.CauseNotInRoster, "%q is not in the roster", peer.Identity.Name)
	}
	release, ok := a.beginUpload(peer.Identity.Name)
	if !ok {
		return transport.Refusal(transport.CauseUnavailable, "%d uploads of %q are under way", maxUploads, peer.Identity.Name)
	}
	defer release()
	upload, err := a.o.Journal.Upload()
	if err != nil {
		return a.internal("cannot spool a result", err)
	}
	defer func() { _ = upload.Discard() }() // nothing to do once it is committed
	var header *openflpb.MessageHeader
	check := func(r *journal.Results) error {
		header = &openflpb.MessageHeader{}
		if err := proto.Unmarshal(r.Header, header); err != nil {
			return status.Errorf(codes.InvalidArgument, "cannot read the header of task results: %v", err)
		}
		_, err := a.federation.CheckRequest(stream.Context(), header)
		return err
	}
	upload.Head = check
	if _, err := transport.Receive(stream, refusing{upload}, a.maxUpload); err != nil {
		if journal.DiskTrouble(err) {
			return a.internal("cannot spool a result", err)
		}
		return err
	}
	results, err := upload.Results()
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if err := check(results); err != nil { // one without tensors was not checked yet
		return err
	}
	if err := a.acceptResult(peer, results, upload); err != nil {
		return err
	}
	return stream.SendAndClose(&openflpb.SendLocalTaskResultsResponse{Header: a.federation.ReplyHeader(header)})
}

// refusing tells the sender what is wrong with an upload.
type refusing struct{ *journal.Upload }

// Write implements [io.Writer].
func (r refusing) Write(p []byte) (int, error) {
	n, err := r.Upload.Write(p)
	if errors.Is(err, schema.ErrInvalid) {
		err = status.Error(codes.InvalidArgument, err.Error())
	}
	return n, err
}

// beginUpload counts an upload, until release is called.
func (a *Aggregator) beginUpload(name string) (release func(), ok bool) {
	a.uploadsMu.Lock()
	defer a.uploadsMu.Unlock()
	if a.uploads[name] == maxUploads {
		return nil, false
	}
	a.uploads[name]++
	return func() {
		a.uploadsMu.Lock()
		a.uploads[name]--
		a.uploadsMu.Unlock()
	}, true
}

// acceptResult checks a spooled result and commits it. It returns a gRPC status.
func (a *Aggregator) acceptResult(peer transport.Peer, r *journal.Results, upload *journal.Upload) error {
	name := peer.Identity.Name
	a.mu.Lock()
	drop := a.drop(name, r)
	a.mu.Unlock()
	log := a.o.Log.With("collaborator", name, "task", r.Task, "round", r.Round)
	if drop != "" {
		log.Info("result dropped", "reason", drop)
		return nil
	}
	c, err := a.checkResult(name, r, upload)
	if err != nil {
		return refuse(log, r.Task, err)
	}
	if err := journal.Settle(upload); err != nil {
		return a.internal("cannot store a result", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if drop := a.drop(name, r); drop != "" { // the round may have closed meanwhile
		log.Info("result dropped", "reason", drop)
		return nil
	}
	if err := a.open.misfit(c); err != nil {
		return refuse(log, r.Task, err)
	}
	if err := a.o.Journal.MarkPeer(name, peer.Certificate); err != nil {
		return a.internal("cannot record the certificate of a collaborator", err)
	}
	sum := upload.SHA256()
	if err := a.o.Journal.MarkDigest(a.round, r.Task, name, sum); err != nil {
		return a.internal("cannot record the digest of a result", err)
	}
	switch err := a.o.Journal.Accept(upload, a.round, r.Task, name); {
	case err == nil:
		a.open.accept(c, sum)
		log.Info("result accepted", "samples", r.DataSize, "bytes", upload.Size())
	case !errors.Is(err, journal.ErrExists):
		return a.internal("cannot store a result", err)
	default: // stored before, although the disk reported an error then
		if err := a.load(); err != nil {
			return a.internal("cannot read the results of the round", err)
		}
		log.Info("result dropped", "reason", "already there")
	}
	a.closeAndGoOn()
	return nil // the result itself is durable
}

// closeAndGoOn closes the round, and those after it that are complete already,
// if it may close. The caller holds mu, which is free while a round is closed.
func (a *Aggregator) closeAndGoOn() {
	if !a.closable() {
		return
	}
	err := a.closeRound()
	if err == nil {
		err = a.begin()
	}
	if err != nil {
		select {
		case a.failed <- fmt.Errorf("cannot close round %d: %w", a.round, err):
		default: // one reason is enough to stop
		}
	}
}

// refuse tells both sides why a result is not taken. The sender need not try
// again.
func refuse(log *slog.Logger, task string, err error) error {
	reason := err.Error()
	if len(reason) > maxReason { // names and tags in it are the sender's
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	log.Warn("result refused", "reason", reason)
	return status.Errorf(codes.InvalidArgument, "result of task %q refused: %s", task, reason)
}

// drop says why a result has no effect, or "". The caller holds mu.
func (a *Aggregator) drop(name string, r *journal.Results) string {
	switch {
	case a.complete:
		return "the federation is complete"
	case int(r.Round) != a.round:
		return fmt.Sprintf("the current round is %d", a.round)
	case a.closing:
		return "the round is being closed"
	case !slices.Contains(a.open.assigned[name], r.Task):
		return "the task is not assigned to this collaborator"
	}
	if _, has := a.open.has[name][r.Task]; has {
		return "already there"
	}
	return ""
}

func (a *Aggregator) internal(what string, err error) error {
	a.o.Log.Error(what, "error", err.Error())
	if journal.DiskTrouble(err) { // the same request may succeed once there is room
		return transport.Refusal(transport.CauseUnavailable, "%s: the aggregator's disk does not take it", what)
	}
	return status.Error(codes.Internal, what)
}
