package main

import (
	"fmt"
	"io"
	"math/rand/v2"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/runtime/tensor"
)

// model is as large as wanted and has the same block of values everywhere, so
// that it takes no memory.
type model struct{ tensors, elements int }

// block is what tensors consist of: a MiB of float32, made once.
var block = func() []byte {
	values := make([]float32, 1<<18)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range values {
		values[i] = random.Float32() - 0.5
	}
	return tensor.AppendFloat32s(nil, values)
}()

// repeated reads the block over and over.
type repeated struct{}

// ReadAt implements [io.ReaderAt].
func (repeated) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		done += copy(p[done:], block[(off+int64(done))%int64(len(block)):])
	}
	return len(p), nil
}

func (m *model) name(i int) string { return fmt.Sprintf("layer%03d", i) }
func (m *model) bytes() int64      { return 4 * int64(m.elements) }

func (m *model) named(i int, tags ...string) tensor.Named {
	return tensor.Named{
		Name: m.name(i), Lossless: true, Tags: tags, Metadata: tensor.ShapeMetadata([]int{m.elements}), DataSize: m.bytes(),
	}
}

func (m *model) write(path string) error {
	var sources []tensor.NamedSource
	for i := range m.tensors {
		sources = append(sources, tensor.NamedSource{Named: m.named(i, tensor.ModelTags()...), Data: io.NewSectionReader(repeated{}, 0, m.bytes())})
	}
	return tensor.WriteFile(path, true, func(w io.Writer) error { return tensor.WriteModel(w, sources) })
}

// results is the TaskResults message of a training, in pieces.
func (m *model) results(header *openflpb.MessageHeader, round int32, task string) (*pieces, error) {
	head, err := proto.Marshal(&openflpb.TaskResults{Header: header, RoundNumber: round, TaskName: task, DataSize: 100})
	if err != nil {
		return nil, err
	}
	p := &pieces{}
	p.add(head)
	const tensorsField = 5
	for i := range m.tensors {
		n := m.named(i, "compressed", "trained")
		n.Round = round
		body := n.AppendHeader(nil)
		frame := protowire.AppendTag(nil, tensorsField, protowire.BytesType)
		frame = protowire.AppendVarint(frame, uint64(int64(len(body))+m.bytes()))
		p.add(append(frame, body...))
		p.size += m.bytes()
		p.parts = append(p.parts, piece{end: p.size})
	}
	return p, nil
}

// pieces is a message of bytes, and of tensors in between.
type pieces struct {
	parts []piece
	size  int64
}

type piece struct {
	bytes []byte // nil: the block, over and over
	end   int64
}

func (p *pieces) add(b []byte) {
	p.size += int64(len(b))
	p.parts = append(p.parts, piece{b, p.size})
}

// ReadAt implements [io.ReaderAt].
func (p *pieces) ReadAt(b []byte, off int64) (int, error) {
	done, start := 0, int64(0)
	for _, part := range p.parts {
		if at := off + int64(done); at < part.end && done < len(b) {
			if part.bytes != nil {
				done += copy(b[done:], part.bytes[at-start:])
			} else {
				n := int(min(int64(len(b)-done), part.end-at))
				_, _ = repeated{}.ReadAt(b[done:done+n], at-start) // which cannot fail
				done += n
			}
		}
		start = part.end
	}
	if done < len(b) {
		return done, io.EOF
	}
	return done, nil
}
