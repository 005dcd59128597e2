// Package egress decides what may leave a site, and keeps the record of what
// did. It works in the runtime's process, outside the reach of task code.
package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"fx/runtime/tensor"
	"fx/schema"
)

// ErrRefused is wrapped by every error about something that may not leave.
var ErrRefused = errors.New("refused to let it leave the site")

// Contract is what the approved plan lets a collaborator send.
type Contract struct {
	tensors map[string]tensor.Info
	metrics map[string][]string // by task
}

// NewContract derives the contract from a plan and the tensors of its initial
// model: a task may send the metrics that the plan lists for it (kwargs
// "metrics"), and tensors of the model with exactly their dtype and shape.
func NewContract(tasks []schema.Task, model []tensor.Info) Contract {
	c := Contract{tensors: map[string]tensor.Info{}, metrics: map[string][]string{}}
	for _, info := range model {
		c.tensors[info.Name] = info
	}
	for _, t := range tasks {
		list, _ := t.Kwargs["metrics"].([]any)
		for _, m := range list {
			if name, ok := m.(string); ok {
				c.metrics[t.Name] = append(c.metrics[t.Name], name)
			}
		}
	}
	return c
}

// Metric checks one metric of a task, which leaves as float32.
func (c Contract) Metric(task, name string, value float64) error {
	if !slices.Contains(c.metrics[task], name) {
		return fmt.Errorf("task %q made the metric %q, the plan lists %q: %w", task, name, strings.Join(c.metrics[task], ", "), ErrRefused)
	}
	if sent := float64(float32(value)); math.IsNaN(sent) || math.IsInf(sent, 0) {
		return fmt.Errorf("task %q made the metric %q with the value %v: %w", task, name, value, ErrRefused)
	}
	return nil
}

// Observed is what was seen of a tensor on its way out.
type Observed struct {
	SHA256 string  // of the little-endian values
	Norm   float64 // Euclidean
}

// Tensor checks one float32 tensor of a task while it reads its values.
func (c Contract) Tensor(task string, info tensor.Info, data io.Reader) (Observed, error) {
	want, ok := c.tensors[info.Name]
	switch {
	case !ok:
		return Observed{}, fmt.Errorf("task %q made the tensor %q, which the approved model does not have: %w", task, info.Name, ErrRefused)
	case info.DType != tensor.F32 || !slices.Equal(want.Shape, info.Shape):
		return Observed{}, fmt.Errorf("task %q made the tensor %q as %s %v, the approved model has %s %v: %w",
			task, info.Name, info.DType, info.Shape, want.DType, want.Shape, ErrRefused)
	}
	h := sha256.New()
	squares, element := 0.0, 0
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(data, buf)
		h.Write(buf[:n])
		for _, v := range tensor.Float32s(buf[:n]) {
			f := float64(v)
			if math.IsNaN(f) || math.IsInf(f, 0) {
				return Observed{}, fmt.Errorf("task %q made the tensor %q with the value %v at element %d: %w", task, info.Name, f, element, ErrRefused)
			}
			squares += f * f
			element++
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return Observed{}, fmt.Errorf("cannot read the tensor %q: %v", info.Name, err)
		}
	}
	if element != want.Elements() {
		return Observed{}, fmt.Errorf("task %q made the tensor %q with %d values instead of %d: %w", task, info.Name, element, want.Elements(), ErrRefused)
	}
	return Observed{SHA256: hex.EncodeToString(h.Sum(nil)), Norm: math.Sqrt(squares)}, nil
}
