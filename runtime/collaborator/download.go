package collaborator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/runtime/transport"
)

// maxShift is how much larger than its values a tensor may be on the wire, with
// a pipeline that puts numbers into the metadata.
const maxShift = 5

// fetch downloads the model of a round into scratch, one tensor after the
// other: whole, or as the difference to the model in the file previous. Names and
// shapes are those of the approved model; anything else is refused.
func (c *collaborator) fetch(ctx context.Context, round int, previous string) (path, digest string, err error) {
	d := &download{c: c, ctx: ctx, round: round}
	if previous != "" && c.asksForSteps() {
		f, err := os.Open(previous)
		if err != nil {
			return "", "", fmt.Errorf("cannot read the scratch folder: %v", err)
		}
		defer func() { _ = f.Close() }() // read only
		stat, err := f.Stat()
		if err != nil {
			return "", "", fmt.Errorf("cannot read the scratch folder: %v", err)
		}
		if d.previous, err = tensor.OpenSafetensors(f, stat.Size()); err != nil {
			return "", "", err
		}
	}
	state, err := c.state(round)
	if err != nil {
		return "", "", err
	}
	var sources []tensor.Source
	for _, info := range slices.Concat(c.Model, state) {
		sources = append(sources, tensor.Source{Info: info, Data: &lazy{open: func() (io.Reader, error) { return d.tensor(info) }}})
	}
	// The model before is still read.
	path, digest, err = c.scratchFile(fmt.Sprintf("model%d.safetensors", round%2), func(w io.Writer) error {
		return tensor.WriteSafetensors(w, map[string]string{tensor.RoundKey: strconv.Itoa(round)}, sources)
	})
	c.stepped = d.stepped
	return path, digest, err
}

// download is one model on its way here.
type download struct {
	c        *collaborator
	ctx      context.Context
	round    int
	previous *tensor.File // nil: whole tensors only
	stepped  bool         // a tensor came as a difference
}

// tensor fetches one tensor and returns its values.
func (d *download) tensor(info tensor.Info) (io.Reader, error) {
	if d.held(info) {
		tags := []string{"aggregated", codec.TagDelta, codec.Tag(d.c.pipeline)} // OpenFL's order
		step, err := d.request(info, tags, d.c.pipeline)
		if err == nil {
			d.stepped = true
			base, err := d.previous.Section(info.Name)
			if err != nil {
				return nil, err
			}
			return combine(base, step, func(base, step float32) float32 { return base + step }), nil
		}
		if !errors.Is(err, errNoModel) {
			return nil, err
		}
		d.c.Log.Warn("the aggregator does not have the difference to the model before; fetching the whole tensor", "round", d.round, "tensor", info.Name)
	}
	return d.request(info, tensor.ModelTags(), codec.Lossless(d.c.pipeline))
}

func (d *download) request(info tensor.Info, tags []string, p codec.Pipeline) (io.Reader, error) {
	limit := info.Bytes()
	if _, plain := p.(codec.NoCompression); !plain {
		limit = min(limit, maxShifted) * maxShift
	}
	whole := slices.Equal(tags, tensor.ModelTags())
	var got *transport.Download
	err := transport.Retry(d.ctx, d.c.Retry, d.c.Log, func(ctx context.Context) (err error) {
		got, err = d.c.Client.Download(ctx, transport.TensorRequest{
			Name: info.Name, Round: int32(d.round), Tags: tags, RequireLossless: whole, Limit: limit,
		})
		if f, ok := errors.AsType[*transport.Failure](err); ok && f.Cause == transport.CauseInternal && f.Retry() {
			return fmt.Errorf("%w: %v", errNoModel, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	values, err := received(info, d.round, got, whole, p)
	if err != nil {
		got.Free()
		return nil, fmt.Errorf("cannot use what the aggregator sent for the tensor %q of round %d with shape %v: %w: %w", info.Name, d.round, info.Shape, err, ErrIncomplete)
	}
	return values, nil
}

// maxShifted keeps the limit of an answer from overflowing.
const maxShifted = 1 << 40

// received compares what came with what was asked for, and decodes it. The
// buffers that it lies in are given back when it was read to its end.
func received(want tensor.Info, round int, got *transport.Download, whole bool, p codec.Pipeline) (io.Reader, error) {
	named := got.Named()
	switch {
	case !slices.Contains(named.Tags, codec.Tag(p)):
		return nil, fmt.Errorf("it is not encoded as %q (tags %q)", codec.Tag(p), named.Tags)
	case slices.Contains(named.Tags, codec.TagDelta) == whole:
		return nil, fmt.Errorf("a whole tensor and a difference are not the same (tags %q)", named.Tags)
	}
	info, err := p.Info(named)
	if err != nil {
		return nil, err
	}
	if named.Name != want.Name || int(named.Round) != round || !slices.Equal(info.Shape, want.Shape) {
		return nil, fmt.Errorf("it is %q of round %d with shape %v", named.Name, named.Round, info.Shape)
	}
	_, values, err := p.Decode(named, got)
	return &downloaded{values, got}, err
}

// downloaded reads a tensor that came from the aggregator.
type downloaded struct {
	values io.Reader
	from   *transport.Download
}

// Read implements [io.Reader].
func (d *downloaded) Read(p []byte) (int, error) {
	n, err := d.values.Read(p)
	if err != nil {
		d.values = failed{err} // the rest is gone
		d.from.Free()
	}
	return n, err
}

// failed is a reader at its end.
type failed struct{ error }

// Read implements [io.Reader].
func (f failed) Read([]byte) (int, error) { return 0, f.error }

// lazy opens its content at the first read.
type lazy struct {
	open func() (io.Reader, error)
	r    io.Reader
}

// Read implements [io.Reader].
func (l *lazy) Read(p []byte) (_ int, err error) {
	if l.r == nil {
		if l.r, err = l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.r.Read(p)
	if errors.Is(err, io.EOF) {
		l.r = bytes.NewReader(nil) // what it held may go
	}
	return n, err
}

// combineBlock is how many values are combined at a time.
const combineBlock = 16 << 10

// combine reads what f makes of two tensors of the same length, value by value.
func combine(a, b io.Reader, f func(a, b float32) float32) io.Reader {
	return &combined{a: a, b: b, f: f}
}

type combined struct {
	a, b   io.Reader
	f      func(a, b float32) float32
	raw    [2][]byte
	values []float32
	out    []byte // what is still to be read
	spare  []byte
}

// Read implements [io.Reader].
func (c *combined) Read(p []byte) (int, error) {
	if len(c.out) == 0 {
		if c.raw[0] == nil {
			c.raw = [2][]byte{make([]byte, 4*combineBlock), make([]byte, 4*combineBlock)}
		}
		n, err := io.ReadFull(c.b, c.raw[1])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		if _, err := io.ReadFull(c.a, c.raw[0][:n]); err != nil {
			return 0, fmt.Errorf("cannot read the model of the round: %v", err)
		}
		a := tensor.Float32s(c.raw[0][:n])
		c.values = c.values[:0]
		for i, b := range tensor.Float32s(c.raw[1][:n]) {
			c.values = append(c.values, c.f(a[i], b))
		}
		c.spare = tensor.AppendFloat32s(c.spare[:0], c.values)
		c.out = c.spare
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}
