package command

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/schema"
)

func modelGroup() *cli.Command {
	return &cli.Command{
		Name:        "model",
		Usage:       "model files (.pbuf, .safetensors): init, inspect, convert",
		Subcommands: []*cli.Command{modelInit(), modelInspect(), modelConvert()},
	}
}

// Model file formats, by the ending of the file's name.
const (
	pbufFormat        = "pbuf"
	safetensorsFormat = "safetensors"
)

// modelFormat tells a model file's format by its name: both formats are bytes
// that may look like anything.
func modelFormat(path string) (string, error) {
	switch filepath.Ext(path) {
	case ".pbuf":
		return pbufFormat, nil
	case ".safetensors":
		return safetensorsFormat, nil
	}
	return "", ui.Usagef("%q is no model file by its name; .pbuf and .safetensors are known", path)
}

// modelFile is an open model file of one of the two formats.
type modelFile struct {
	*os.File
	size        int64
	format      string
	named       []tensor.Named // of a .pbuf
	pipeline    codec.Pipeline // that made it: nil unless a plan says so
	safetensors *tensor.File   // of a .safetensors
}

func openModel(path string) (_ *modelFile, err error) {
	m := &modelFile{}
	if m.format, err = modelFormat(path); err != nil {
		return nil, err
	}
	if m.File, err = os.Open(path); err != nil {
		return nil, fmt.Errorf("cannot read model: %v", err)
	}
	defer func() {
		if err != nil {
			_ = m.Close() // read only
		}
	}()
	info, err := m.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read model: %v", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read model %q: it is no regular file", path)
	}
	m.size = info.Size()
	if m.format == pbufFormat {
		m.named, err = tensor.ScanModel(m, m.size)
	} else {
		m.safetensors, err = tensor.OpenSafetensors(m, m.size)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read model %q: %w", path, err)
	}
	return m, nil
}

func modelPlanFlag() cli.Flag {
	return &cli.StringFlag{Name: "plan", Usage: "the .pbuf is encoded by the compression pipeline of `PLAN`, a file or workspace folder"}
}

// pipelineOf is the compression pipeline of a plan, nil for no plan.
func pipelineOf(k *ui.Console, plan string) (codec.Pipeline, error) {
	if plan == "" {
		return nil, nil
	}
	f, err := loadPlan(k, plan)
	if err != nil {
		return nil, err
	}
	if err := f.plan.Findings().Err(); err != nil {
		return nil, fmt.Errorf("cannot read plan %q:\n%w", f.name, err)
	}
	p, err := codec.New(f.plan.Draft().Compression)
	if err != nil {
		return nil, fmt.Errorf("cannot use plan %q: %w", f.name, err)
	}
	return p, nil
}

// writeSafetensors writes the model in the other format, or in its own.
func (m *modelFile) writeSafetensors(w io.Writer) error {
	if m.format == pbufFormat {
		if m.pipeline != nil {
			return codec.ReadModel(w, m.pipeline, m, m.named)
		}
		return tensor.ModelToSafetensors(w, m, m.named)
	}
	_, err := io.Copy(w, io.NewSectionReader(m, 0, m.size))
	return err
}

// alreadyThere adds what to do about a file that is not overwritten.
func alreadyThere(err error, hint string) error {
	if errors.Is(err, os.ErrExist) {
		return ui.Hint(fmt.Errorf("%w; nothing is overwritten without --force", err), "%s", hint)
	}
	return err
}

// hostPort is where collaborators reach the aggregator.
func hostPort(n schema.NetworkSettings) string {
	return net.JoinHostPort(n.Host, strconv.Itoa(n.Port))
}
