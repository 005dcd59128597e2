package aggregator

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/schema"
)

// finalName is the model after the last round, which OpenFL does not save: its
// last model is the one that the last round began with.
const finalName = "final"

// save writes a round's model where the plan says, as OpenFL's .pbuf and as
// .safetensors beside it. As in OpenFL, the model of a round is the one that
// the round began with, and the .pbuf is encoded by the plan's pipeline and holds
// the tensors that the initial model has. The .safetensors is the model as it is,
// with what training added.
func (a *Aggregator) save(planPath string, round int) error {
	if a.evaluates() {
		return nil // it is the model that came in
	}
	model, err := a.o.Journal.Model(round)
	if err != nil {
		return fmt.Errorf("cannot save the model of round %d: %w", round, err)
	}
	defer func() { _ = model.Close() }() // read only
	pbuf := filepath.Join(a.o.Output, filepath.FromSlash(planPath))
	if err := os.MkdirAll(filepath.Dir(pbuf), 0o755); err != nil {
		return fmt.Errorf("cannot save the model of round %d: %w", round, err)
	}
	err = tensor.WriteFile(pbuf, true, func(w io.Writer) error {
		return codec.WriteModel(w, a.pipeline, model.File, a.engine.Initial,
			func(name string) uint64 { return a.seed(name, round) })
	})
	if err != nil {
		return err
	}
	return tensor.WriteFile(strings.TrimSuffix(pbuf, filepath.Ext(pbuf))+".safetensors", true, func(w io.Writer) error {
		_, err := io.Copy(w, model.Reader())
		return err
	})
}

// writeFinal saves the model after the last round beside the last one.
func (a *Aggregator) writeFinal() error {
	return a.save(a.finalPath(), a.round)
}

func (a *Aggregator) finalPath() string {
	last := a.plan.Aggregator.LastStatePath
	return path.Join(path.Dir(last), finalName+path.Ext(last))
}

// Files lists the model files that a complete federation leaves, in the
// aggregator's output folder. Without a score there is no best model, and an
// evaluation leaves none.
func (a *Aggregator) Files() map[string]string {
	files := map[string]string{}
	if a.evaluates() {
		return files
	}
	for name, planPath := range a.paths() {
		if name != "best" || a.Report().Best != nil {
			files[name] = filepath.Join(a.o.Output, filepath.FromSlash(planPath))
		}
	}
	return files
}

func (a *Aggregator) paths() map[string]string {
	s := a.plan.Aggregator
	return map[string]string{"best": s.BestStatePath, "last": s.LastStatePath, finalName: a.finalPath()}
}

// checkPaths refuses paths at which one model, or the journal, would be
// overwritten by another.
func (a *Aggregator) checkPaths() error {
	taken := map[string]string{}
	for _, name := range []string{"best", "last", finalName} {
		p := path.Clean(a.paths()[name])
		stem := strings.TrimSuffix(p, path.Ext(p))
		if other, ok := taken[stem]; ok {
			return fmt.Errorf("cannot save the %s model at %q: the %s model is there: %w", name, p, other, schema.ErrInvalid)
		}
		taken[stem] = name
		if folder, _, _ := strings.Cut(p, "/"); folder == "journal" || folder == "receipts" || folder == "receipt.json" || path.Ext(p) == ".safetensors" {
			return fmt.Errorf("cannot save the %s model at %q: the journal is in \"journal\", receipts are in \"receipts\" and \"receipt.json\", and .safetensors is written beside each model: %w", name, p, schema.ErrInvalid)
		}
	}
	return nil
}
