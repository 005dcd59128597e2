package fold

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math"
	"net/url"
	"strconv"

	"fx/runtime/aggregation"
	"fx/runtime/journal"
	"fx/runtime/tensor"
)

// state is what the round's algorithms remember, such as the moments of an
// optimizer: it comes from one file of the journal and goes to another. A tensor
// of it is named TASK/SLOT/TENSOR, and the metadata TASK/TENSOR counts the steps.
//
// New values come out beside those of the model, block by block, and wait in
// drafts, one per slot, until all of them are there.
type state struct {
	store  journal.Store
	old    *journal.Model // nil if there is none
	steps  map[string]string
	spools []spool
	parts  []part
}

// spool is a draft that is never committed.
type spool struct {
	draft  journal.Draft
	values []float32
	buf    []byte
}

// part is one new tensor of the state, in a spool.
type part struct {
	info  tensor.Info
	spool int
	off   int64
}

func stateName(task, slot, name string) string { return url.PathEscape(task) + "/" + slot + "/" + name }
func stepName(task, name string) string        { return url.PathEscape(task) + "/" + name }

// openState reads the state at the start of a round.
func openState(j *journal.Journal, round int) (*state, error) {
	s := &state{store: j.Store(), steps: map[string]string{}}
	old, err := j.State(round)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil // no algorithm has remembered anything yet
	}
	if err != nil {
		return nil, err
	}
	s.old = old
	maps.Copy(s.steps, old.Metadata())
	return s, nil
}

func (s *state) close() {
	if s.old != nil {
		_ = s.old.Close() // read only
	}
	for _, p := range s.spools {
		_ = p.draft.Discard() // swept at the next start if that fails
	}
}

// load gives a tensor what the last step left.
func (s *state) load(t *aggregation.Tensor, task string, slots []string) error {
	text, ok := s.steps[stepName(task, t.Name)]
	if !ok || t.Extra {
		return nil
	}
	steps, err := strconv.Atoi(text)
	if err != nil || steps < 1 {
		return journal.Damagef("the state of tensor %q has made %q steps", t.Name, text)
	}
	t.Step = steps
	for _, slot := range slots {
		name := stateName(task, slot, t.Name)
		info, ok := s.old.Info(name)
		if !ok || info.Elements() != t.Elements {
			return journal.Damagef("the state has no tensor %q of %d values", name, t.Elements)
		}
		section, err := s.old.Section(name)
		if err != nil {
			return err
		}
		t.State = append(t.State, aggregation.FromReader(section))
	}
	return nil
}

// begin makes room for the next state of a tensor, whose blocks follow.
func (s *state) begin(t aggregation.Tensor, task string, slots []string, shape []int) error {
	for i, slot := range slots {
		if i == len(s.spools) {
			draft, err := s.store.Draft()
			if err != nil {
				return err
			}
			s.spools = append(s.spools, spool{draft: draft})
		}
		s.parts = append(s.parts, part{
			info:  tensor.Info{Name: stateName(task, slot, t.Name), DType: tensor.F32, Shape: shape},
			spool: i, off: s.spools[i].draft.Size(),
		})
	}
	s.steps[stepName(task, t.Name)] = strconv.Itoa(t.Step + 1)
	return nil
}

// write takes the next block of every slot. A value beyond float32 becomes its
// largest: a square, say, of one site's absurd update, which then fades away.
func (s *state) write(blocks [][]float64) error {
	for i, block := range blocks {
		p := &s.spools[i]
		p.values = p.values[:0]
		for _, v := range block {
			p.values = append(p.values, float32(max(-math.MaxFloat32, min(v, math.MaxFloat32))))
		}
		p.buf = tensor.AppendFloat32s(p.buf[:0], p.values)
		if _, err := p.draft.Write(p.buf); err != nil {
			return err
		}
	}
	return nil
}

// writeTo writes the state of the next round: what is new, and what tensors left
// that had no step in this round.
func (s *state) writeTo(w io.Writer) error {
	var sources []tensor.Source
	fresh := map[string]bool{}
	for _, p := range s.parts {
		fresh[p.info.Name] = true
		sources = append(sources, tensor.Source{Info: p.info, Data: io.NewSectionReader(s.spools[p.spool].draft, p.off, p.info.Bytes())})
	}
	if s.old != nil {
		for _, info := range s.old.Infos() {
			if fresh[info.Name] {
				continue
			}
			section, err := s.old.Section(info.Name)
			if err != nil {
				return err
			}
			sources = append(sources, tensor.Source{Info: info, Data: section})
		}
	}
	return tensor.WriteSafetensors(w, s.steps, sources)
}

// empty tells whether there is nothing to remember.
func (s *state) empty() bool { return len(s.parts) == 0 && s.old == nil }
