package collaborator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// tensorsField is the number of TaskResults.tensors in OpenFL's aggregator.proto.
const tensorsField = 5

// send checks everything that is about to leave, records it, and only then
// sends it.
func (c *collaborator) send(ctx context.Context, round int, task schema.Task, done *record) error {
	out, err := c.outgoing(ctx, round, task, done)
	if err != nil {
		return c.refused(round, err)
	}
	defer out.close()
	enc, err := c.encoder(ctx, round, out)
	if err != nil {
		return c.refused(round, err)
	}
	message, entries, err := c.message(round, task, done, out, enc)
	if err == nil {
		err = c.contract.Result(c.Ledger, task.Name, round, entries)
	}
	if err == nil {
		entries, err = c.account(round, task, entries)
	}
	if err != nil {
		return c.refused(round, err)
	}
	if err := errors.Join(c.Ledger.Append(entries), c.rememberState(round, task, out.infos)); err != nil {
		return err
	}
	err = transport.Retry(ctx, c.Retry, c.Log, func(ctx context.Context) error {
		return c.Client.Send(ctx, message, message.size)
	})
	if f, ok := errors.AsType[*transport.Failure](err); ok && f.Cause == transport.CauseInternal {
		return fmt.Errorf("the aggregator does not take the result of task %q: %w: %w", task.Name, err, ErrIncomplete)
	}
	return err
}

// account adds what a noised result costs to the ledger's lines about it.
func (c *collaborator) account(round int, task schema.Task, entries []egress.Entry) ([]egress.Entry, error) {
	cost, noised, err := c.contract.Release(c.Ledger, task.Name, round, entries)
	if err != nil || !noised {
		return entries, err
	}
	c.Log.Info("privacy", "round", round, "task", task.Name, "epsilon", cost.Privacy.Epsilon, "delta", cost.Privacy.Delta, "releases", cost.Privacy.Releases)
	return append(entries, cost), nil
}

// refused records an attempt to send what may not leave. The operator sees it;
// the aggregator learns nothing. Other errors are passed on.
func (c *collaborator) refused(round int, err error) error {
	r, ok := errors.AsType[*egress.Refusal](err)
	if !ok {
		return err
	}
	return errors.Join(fmt.Errorf("%w: %w", err, ErrIncomplete), c.Ledger.Append([]egress.Entry{r.Entry(round)}))
}

// message makes the serialized TaskResults, and the ledger's lines about it.
// Values are checked before they are encoded. They stay in their file and are read
// while they are sent.
func (c *collaborator) message(round int, task schema.Task, done *record, out *outgoing, enc *encoder) (*segments, []egress.Entry, error) {
	head, err := proto.MarshalOptions{Deterministic: true}.Marshal(&openflpb.TaskResults{
		Header: c.header, RoundNumber: int32(round), TaskName: task.Name, DataSize: int32(done.DataSize),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make the results of task %q: %v", task.Name, err)
	}
	m := &segments{}
	m.addBytes(head)
	var entries []egress.Entry
	for _, metric := range done.Metrics {
		if err := c.contract.Metric(task.Name, metric.Name, metric.Value); err != nil {
			return nil, nil, err
		}
		entry := egress.Entry{Round: round, Task: task.Name, Kind: egress.KindMetric, Name: metric.Name, Shape: []int{}, Bytes: 4, Value: float64(float32(metric.Value))}
		value := bytes.NewReader(tensor.AppendFloat32s(nil, []float32{float32(metric.Value)}))
		if err := enc.add(m, &entry, egress.MetricTags(task), value); err != nil {
			return nil, nil, err
		}
		entries = append(entries, entry)
	}
	for _, info := range out.infos {
		section, err := out.file.Section(info.Name)
		if err != nil {
			return nil, nil, err
		}
		seen, err := c.contract.Tensor(task.Name, info, section)
		if err != nil {
			return nil, nil, err
		}
		entry := egress.Entry{
			Round: round, Task: task.Name, Kind: egress.KindTensor, Name: info.Name, Shape: info.Shape,
			Bytes: info.Bytes(), SHA256: seen.SHA256, Norm: seen.Norm, Filters: out.filters[info.Name],
		}
		if err := enc.add(m, &entry, egress.TensorTags(), section); err != nil {
			return nil, nil, err
		}
		entries = append(entries, entry)
	}
	for _, info := range out.dropped {
		entries = append(entries, egress.Entry{
			Round: round, Task: task.Name, Kind: egress.KindDropped, Name: info.Name, Shape: info.Shape, Filters: []string{"drop"},
		})
	}
	return m, entries, nil
}

// segments is a message in pieces that lie in different places.
type segments struct {
	starts []int64
	parts  []io.ReaderAt
	size   int64
}

func (s *segments) add(r io.ReaderAt, n int64) {
	s.starts = append(s.starts, s.size)
	s.parts = append(s.parts, r)
	s.size += n
}

func (s *segments) addBytes(b []byte) { s.add(strings.NewReader(string(b)), int64(len(b))) }

// addTensor adds one NamedTensor of TaskResults with its values in data.
func (s *segments) addTensor(t tensor.Named, data io.ReaderAt) {
	body := t.AppendHeader(nil)
	head := protowire.AppendTag(nil, tensorsField, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(body))+uint64(t.DataSize))
	s.addBytes(append(head, body...))
	s.add(data, t.DataSize)
}

// ReadAt implements [io.ReaderAt].
func (s *segments) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < s.size {
		i := sort.Search(len(s.starts), func(i int) bool { return s.starts[i] > off }) - 1
		end := s.size
		if i+1 < len(s.starts) {
			end = s.starts[i+1]
		}
		n := int(min(int64(len(p)-done), end-off))
		got, err := s.parts[i].ReadAt(p[done:done+n], off-s.starts[i])
		done += got
		off += int64(got)
		if got < n {
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}
