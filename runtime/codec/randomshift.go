package codec

import (
	"fmt"
	"io"
	"math/rand/v2"

	"fx/runtime/tensor"
	"fx/schema"
)

// shiftRange bounds the random shifts: OpenFL draws them from -20 to 20.
const shiftRange = 20

// maxShiftEntry is what the shift of one value takes in the metadata: tags and
// lengths of a map entry, a key of up to five bytes and a float32.
const maxShiftEntry = 16

// RandomShift adds a random number to every value and sends the numbers along
// (OpenFL: RandomShiftPipeline). It hides nothing and makes messages four to
// five times as large; OpenFL has it as an example. What comes back is rounded:
// it is off by up to about 2e-6.
type RandomShift struct{}

func newRandomShift(*schema.Settings) Pipeline { return RandomShift{} }

// Lossy implements Pipeline: OpenFL declares that it is not.
func (RandomShift) Lossy() bool { return false }

// Check implements Pipeline. The shifts of a tensor are held in memory on all
// sides, so their number is limited.
func (RandomShift) Check(info tensor.Info) error {
	if err := checkF32(info); err != nil {
		return err
	}
	if n, most := info.Elements(), tensor.MaxStepBytes/maxShiftEntry; n > most {
		return fmt.Errorf("cannot encode tensor %q: it has %d values, and RandomShiftPipeline takes at most %d", info.Name, n, most)
	}
	return nil
}

// Encode implements Pipeline.
func (p RandomShift) Encode(n tensor.Named, info tensor.Info, data io.Reader, seed uint64) (tensor.NamedSource, error) {
	if err := p.Check(info); err != nil {
		return tensor.NamedSource{}, err
	}
	values, err := read(info, data)
	if err != nil {
		return tensor.NamedSource{}, err
	}
	source := rand.New(rand.NewPCG(seed, 0))
	shifts := make(map[int32]float32, len(values))
	shifted := make([]float32, len(values))
	for i, v := range values {
		shift := float32(shiftRange * (2*source.Float64() - 1))
		shifts[int32(i)] = shift
		shifted[i] = v + shift
	}
	n.Metadata = []tensor.Metadata{{IntToFloat: shifts, IntList: intList(info)}, {IntList: intList(info)}}
	return payload(n, tensor.AppendFloat32s(nil, shifted)), nil
}

// Info implements Pipeline.
func (RandomShift) Info(n tensor.Named) (tensor.Info, error) {
	info, err := shape(n, 2)
	if err != nil {
		return tensor.Info{}, err
	}
	second := n
	second.Metadata = n.Metadata[1:]
	plain, err := second.Info() // checks the size of the data, too
	if err != nil {
		return tensor.Info{}, err
	}
	if plain.Elements() != info.Elements() || len(n.Metadata[0].IntToFloat) != info.Elements() {
		return tensor.Info{}, invalidf(n, "it has %d values and %d shifts for shape %v", plain.Elements(), len(n.Metadata[0].IntToFloat), info.Shape)
	}
	return info, nil
}

// Decode implements Pipeline.
func (p RandomShift) Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	info, err := p.Info(n)
	if err != nil {
		return tensor.Info{}, nil, err
	}
	shifts := n.Metadata[0].IntToFloat
	return info, &mapped{n: n, r: io.NewSectionReader(r, n.DataOffset, n.DataSize), left: info.Elements(), value: func(at int, v float32) (float32, error) {
		shift, ok := shifts[int32(at)]
		if !ok {
			return 0, invalidf(n, "it has no shift for element %d", at)
		}
		return float32(float64(v) - float64(shift)), nil // in float64, as OpenFL does
	}}, nil
}
