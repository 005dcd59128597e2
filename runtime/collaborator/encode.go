package collaborator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fx/runtime/codec"
	"fx/runtime/egress"
	"fx/runtime/tensor"
)

// With use_delta_updates a collaborator may send differences to the model of the
// round instead of tensors, and fetch models as differences to the model before.
//
// Under an OpenFL aggregator and a pipeline that loses values, all collaborators
// of a round must send in the same form, or it fails. So fxrun does what OpenFL's
// collaborator does with the same task runner: who fetches whole models sends
// differences, who fetched a difference sends whole tensors, and the runner for
// PyTorch always fetches whole models. Runners of fx itself always send
// differences: no OpenFL collaborator takes part with these. Where no value is
// lost the form is of no consequence, and models are fetched whole, exactly.

// asksForSteps says whether models are fetched as differences.
func (c *collaborator) asksForSteps() bool {
	return c.Plan.Collaborator.UseDeltaUpdates && c.pipeline.Lossy() && !c.PyTorch
}

// sendsSteps says whether what was trained in the current round is sent as
// differences.
func (c *collaborator) sendsSteps() bool {
	return c.Plan.Collaborator.UseDeltaUpdates && (!c.stepped || strings.HasPrefix(c.Plan.TaskRunner.Template, "fx."))
}

// encoder makes of values what goes over the wire.
type encoder struct {
	c     *collaborator
	round int
	base  *tensor.File // the round's model, nil if tensors are sent whole
	file  *os.File     // encoded payloads, one after the other; nil before the first
	size  int64
	out   *outgoing // whose closers close the files
}

func (c *collaborator) encoder(ctx context.Context, round int, out *outgoing) (*encoder, error) {
	e := &encoder{c: c, round: round, out: out}
	if len(out.infos) == 0 || !c.Plan.Collaborator.UseDeltaUpdates {
		return e, nil
	}
	path, _, err := c.global(ctx, round) // which says whether it came as a difference
	if err != nil || !c.sendsSteps() {
		return e, err
	}
	e.base, err = out.open(path)
	return e, err
}

// add adds a tensor or metric to a message, with the tags of a whole tensor that
// loses nothing, and notes in the ledger's entry how it travels if that is
// otherwise.
func (e *encoder) add(m *segments, entry *egress.Entry, tags []string, values interface {
	io.Reader
	io.ReaderAt
	io.Seeker
}) error {
	if _, err := values.Seek(0, io.SeekStart); err != nil {
		return err
	}
	info := tensor.Info{Name: entry.Name, DType: tensor.F32, Shape: entry.Shape}
	n := tensor.Named{Name: info.Name, Round: int32(e.round), Lossless: true, Report: entry.Kind == egress.KindMetric, Tags: tags}
	p, data := codec.Lossless(e.c.pipeline), io.Reader(values)
	if base, ok := e.section(info); ok && !n.Report {
		p, n.Lossless = e.c.pipeline, false
		n.Tags = slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return t == codec.TagLossless })
		n.Tags = append(n.Tags, codec.Tag(p), codec.TagDelta)
		slices.Sort(n.Tags)
		data = combine(base, values, func(base, trained float32) float32 { return trained - base })
	}
	source, err := p.Encode(n, info, data, codec.Seed(e.c.Plan.FederationID, e.c.Name, info.Name, e.round))
	if err != nil {
		return err
	}
	if source.Data == io.Reader(values) {
		m.addTensor(source.Named, values)
		return nil
	}
	section, digest, err := e.keep(source)
	if err != nil {
		return err
	}
	m.addTensor(source.Named, section)
	entry.Tags, entry.WireBytes, entry.WireSHA256 = n.Tags, source.DataSize, digest
	return nil
}

// section is a tensor in the round's model, if differences are sent.
func (e *encoder) section(info tensor.Info) (io.Reader, bool) {
	if e.base == nil {
		return nil, false
	}
	if of, ok := e.base.Info(info.Name); !ok || !slices.Equal(of.Shape, info.Shape) {
		return nil, false
	}
	s, err := e.base.Section(info.Name)
	return s, err == nil
}

// keep writes an encoded payload to scratch, from where it can be sent more than
// once.
func (e *encoder) keep(source tensor.NamedSource) (*io.SectionReader, string, error) {
	if e.file == nil {
		f, err := os.Create(filepath.Join(e.c.Scratch, "encoded"))
		if err != nil {
			return nil, "", fmt.Errorf("cannot write to the scratch folder: %v", err)
		}
		e.file = f
		e.out.closers = append(e.out.closers, f)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(e.file, h), source.Data)
	if err == nil && n != source.DataSize {
		err = fmt.Errorf("it has %d bytes instead of %d", n, source.DataSize)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot encode tensor %q: %w", source.Name, err)
	}
	at := e.size
	e.size += n
	return io.NewSectionReader(e.file, at, n), hex.EncodeToString(h.Sum(nil)), nil
}
