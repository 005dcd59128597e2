package aggregator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
	"fx/runtime/aggregation"
	"fx/runtime/codec"
	"fx/runtime/fold"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/runtime/transport"
)

// request is what a collaborator asks for, by the tags that it gives, apart from
// those that say how it would have it encoded.
type request int

const (
	unknownRequest request = iota
	wholeTensor            // [model]: a tensor of the round's model
	stepToTensor           // [aggregated delta]: its difference to that of the round before
	ownTensor              // [trained NAME]: what the collaborator itself has sent
)

func requested(name string, tags []string) request {
	rest := slices.DeleteFunc(slices.Sorted(slices.Values(tags)), func(t string) bool { return t == codec.TagLossless || t == codec.TagLossy })
	own := []string{"trained", name}
	slices.Sort(own)
	switch {
	case slices.Equal(rest, []string{"model"}):
		return wholeTensor
	case slices.Equal(rest, []string{"aggregated", codec.TagDelta}):
		return stepToTensor
	case slices.Equal(rest, own):
		return ownTensor
	}
	return unknownRequest
}

// GetAggregatedTensor serves one tensor of a round's model, the difference to
// that of the round before, or what the collaborator has sent itself and lost. A
// tensor of a round that has not begun yet is waited for. Whoever asks for what
// another collaborator has sent gets an empty tensor, as from OpenFL.
func (a *Aggregator) GetAggregatedTensor(ctx context.Context, req *openflpb.GetAggregatedTensorRequest) (*openflpb.GetAggregatedTensorResponse, error) {
	peer, err := a.federation.CheckRequest(ctx, req.GetHeader())
	if err != nil {
		return nil, err
	}
	name, round := req.GetTensorName(), int(req.GetRoundNumber())
	resp := &openflpb.GetAggregatedTensorResponse{
		Header: a.federation.ReplyHeader(req.GetHeader()), RoundNumber: req.GetRoundNumber(), Tensor: &openflpb.NamedTensor{},
	}
	if slices.ContainsFunc(req.GetTags(), func(t string) bool { return t != peer.Identity.Name && a.federation.Member(t) }) {
		a.o.Log.Warn("a collaborator asked for what another has sent", "collaborator", peer.Identity.Name, "tensor", name, "tags", req.GetTags())
		return resp, nil
	}
	missing := status.Errorf(codes.Unknown, "Exception calling application: Aggregator does not have an aggregated tensor for %q, round %d, tags %q",
		name, round, req.GetTags())
	which := requested(peer.Identity.Name, req.GetTags())
	if req.GetReport() || which == unknownRequest {
		return nil, missing
	}
	if err := a.awaitRound(ctx, round); err != nil {
		return nil, err
	}
	switch which {
	case wholeTensor:
		resp.Tensor, err = a.whole(ctx, name, round)
	case stepToTensor:
		resp.Tensor, err = a.stepTo(ctx, name, round)
	case ownTensor:
		resp.Tensor, err = a.sent(ctx, peer.Identity.Name, name, round)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, a.internal("cannot read a tensor", err)
	}
	resp.Tensor.Lossless = req.GetRequireLossless() || slices.Contains(req.GetTags(), codec.TagLossless)
	return resp, nil
}

// whole encodes a tensor of a round's model without loss.
func (a *Aggregator) whole(ctx context.Context, name string, round int) (*openflpb.NamedTensor, error) {
	file, err := a.shelf.model(round)
	if err != nil {
		return nil, err
	}
	defer file.giveBack()
	info, ok := file.model.Info(name)
	if !ok {
		return nil, fs.ErrNotExist
	}
	section, err := file.model.Section(name)
	if err != nil {
		return nil, err
	}
	return a.encode(ctx, codec.Lossless(a.pipeline), info, round, tensor.ModelTags(), section, file.mapping)
}

// encode makes a message of a tensor. If its values lie in a mapped file, that is
// from.
func (a *Aggregator) encode(ctx context.Context, p codec.Pipeline, info tensor.Info, round int, tags []string, values io.Reader, from *journal.Mapping) (*openflpb.NamedTensor, error) {
	tags = append([]string{codec.Tag(p)}, tags...)
	slices.Sort(tags)
	source, err := p.Encode(tensor.Named{Name: info.Name, Round: int32(round), Tags: tags}, info, values, a.seed(info.Name, round))
	if err != nil {
		return nil, err
	}
	if source.Data != values {
		from = nil // it was encoded elsewhere
	}
	data, err := a.payload(ctx, source.Named, source.Data, from)
	if err != nil {
		return nil, err
	}
	return transport.ToMessage(source.Named, data), nil
}

// stepTo gives the difference between a tensor in the model of a round and in
// that of the round before: as it was encoded for the model where the pipeline
// loses values, else made anew.
func (a *Aggregator) stepTo(ctx context.Context, name string, round int) (*openflpb.NamedTensor, error) {
	if a.pipeline.Lossy() {
		if t, err := a.keptStep(ctx, name, round); t != nil || err != nil {
			return t, err
		}
	}
	var values [2]io.Reader
	var info tensor.Info
	for i := range values {
		file, err := a.shelf.model(round - 1 + i)
		if err != nil {
			return nil, err
		}
		defer file.giveBack()
		var ok bool
		if info, ok = file.model.Info(name); !ok {
			return nil, fs.ErrNotExist
		}
		if values[i], err = file.model.Section(name); err != nil {
			return nil, err
		}
	}
	tags := []string{"aggregated", codec.TagDelta}
	return a.encode(ctx, a.pipeline, info, round, tags, &differences{from: values[0], to: values[1]}, nil)
}

// keptStep is the difference as the journal has it; nil if there is none.
func (a *Aggregator) keptStep(ctx context.Context, name string, round int) (*openflpb.NamedTensor, error) {
	file, err := a.shelf.borrow(shelfKey{steps: true, round: round})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.giveBack()
	steps := file.steps
	i := slices.IndexFunc(steps.Tensors, func(t tensor.Named) bool { return t.Name == name && journal.HasTag(t, codec.TagDelta) })
	if i < 0 {
		return nil, nil
	}
	t := steps.Tensors[i]
	data, err := a.payload(ctx, t, io.NewSectionReader(steps, t.DataOffset, t.DataSize), file.mapping)
	if err != nil {
		return nil, err
	}
	return transport.ToMessage(t, data), nil
}

// differences reads what has to be added to the float32 values of from to come to
// those of to, of which there are as many.
type differences struct {
	from, to io.Reader
	raw      [2][]byte
	out      []byte // what is still to be read
}

// Read implements [io.Reader].
func (d *differences) Read(p []byte) (int, error) {
	if len(d.out) == 0 {
		if d.raw[0] == nil {
			d.raw = [2][]byte{make([]byte, 4*aggregation.BlockElements), make([]byte, 4*aggregation.BlockElements)}
		}
		n, err := io.ReadFull(d.to, d.raw[1])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		if _, err := io.ReadFull(d.from, d.raw[0][:n]); err != nil {
			return 0, fmt.Errorf("cannot read the model of the round before: %v", err)
		}
		to := tensor.Float32s(d.raw[1][:n])
		difference(tensor.Float32s(d.raw[0][:n]), to)
		d.out = tensor.AppendFloat32s(d.raw[1][:0], to)
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// difference turns to into what has to be added to from, in float32, to come to
// it. The rounded difference does nearly always; where it does not, one of its
// neighbours may.
func difference(from, to []float32) {
	to = to[:len(from)]
	for i, base := range from {
		want := to[i]
		d := want - base
		for _, candidate := range [...]float32{d, math.Nextafter32(d, float32(math.Inf(1))), math.Nextafter32(d, float32(math.Inf(-1)))} {
			if base+candidate == want {
				d = candidate
				break
			}
		}
		to[i] = d
	}
}

// sent gives back a tensor that a collaborator has trained in a round: an OpenFL
// collaborator that was started again asks for it, to judge what it had made.
func (a *Aggregator) sent(ctx context.Context, collaborator, name string, round int) (*openflpb.NamedTensor, error) {
	for _, task := range a.plan.Tasks {
		t, err := a.sentFor(ctx, collaborator, task.Name, name, round)
		if !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
	}
	return nil, fs.ErrNotExist
}

func (a *Aggregator) sentFor(ctx context.Context, collaborator, task, name string, round int) (*openflpb.NamedTensor, error) {
	result, err := a.o.Journal.OpenResult(round, task, collaborator)
	if err != nil {
		return nil, err
	}
	defer func() { _ = result.Close() }() // read only
	i := slices.IndexFunc(result.Tensors, func(t tensor.Named) bool { return t.Name == name && isTrained(t) })
	if i < 0 {
		return nil, fs.ErrNotExist
	}
	t := result.Tensors[i]
	info, values, err := a.decode(t, result)
	if err != nil {
		return nil, err
	}
	if journal.HasTag(t, codec.TagDelta) {
		file, err := a.shelf.model(round)
		if err != nil {
			return nil, err
		}
		defer file.giveBack()
		base, err := file.model.Section(name)
		if err != nil {
			return nil, err
		}
		values = fold.Sum(name, values, aggregation.FromReader(base))
	}
	return a.encode(ctx, codec.Lossless(a.pipeline), info, round, []string{"trained", collaborator}, values, nil)
}
