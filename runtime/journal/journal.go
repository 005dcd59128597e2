package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"fx/runtime/tensor"
	"fx/schema"
)

// Format is the version of the journal's layout:
//
//	federation.json                       what this journal is about
//	models/000004.safetensors             the model at the start of round 4
//	state/000004.safetensors              what the aggregation remembers of each tensor at the start of round 4, if anything
//	steps/000004.pbuf                     what leads from the model of round 3 to it, as encoded, where the plan's
//	                                      compression pipeline loses values
//	rounds/000003/results/TASK/NAME.pb    an accepted TaskResults message, as received
//	rounds/000003/closing.json            whose results count: the round's decision
//	rounds/000003/outcome.json            what came of it: model digest and metrics
//	peers/NAME/SHA256.crt                 a certificate by which NAME has sent a result that was accepted, in DER
//	quit/NAME                             NAME was told that the federation is complete
//
// A round passes through closing, steps, model, state, outcome in that order. All
// after the closing are functions of it and of the round before, so a round that
// was interrupted between them is finished at the next start with the same bytes.
const Format = "fx-journal/1"

const maxRecord = 16 << 20

// Federation says what a journal is about; one folder serves one federation.
type Federation struct {
	Format       string `json:"format"`
	Bundle       string `json:"bundle"`        // bundle id, hex
	FederationID string `json:"federation_id"` // of the plan
	Participant  string `json:"participant"`   // aggregator id, or the collaborator's name
}

// Closing is a round's decision: exactly these results make the next model.
type Closing struct {
	Round      int           `json:"round"`
	Previous   string        `json:"previous"`   // SHA-256 of the previous round's outcome.json, "" in the first
	Done       []string      `json:"done"`       // collaborators whose results count, sorted
	Stragglers []string      `json:"stragglers"` // collaborators that were too late, sorted
	Results    []ResultEntry `json:"results"`    // sorted by task, then collaborator
}

// ResultEntry is one accepted result.
type ResultEntry struct {
	Task         string `json:"task"`
	Collaborator string `json:"collaborator"`
	DataSize     int32  `json:"data_size"` // samples; -1 when the task has no notion of it
	SHA256       string `json:"sha256"`    // of the message as received
}

// Outcome is what a closed round produced.
type Outcome struct {
	Round   int            `json:"round"`
	Closing string         `json:"closing"`         // SHA-256 of closing.json
	Model   string         `json:"model"`           // SHA-256 of the next round's model file
	State   string         `json:"state,omitempty"` // SHA-256 of the next round's state file
	Metrics []MetricEntry  `json:"metrics"`
	Best    *BestSelection `json:"best,omitempty"`
	Stop    *MetricEntry   `json:"stop,omitempty"` // the metric that reached the plan's target: no other round begins
}

// MetricEntry is one aggregated metric.
type MetricEntry struct {
	Task  string  `json:"task"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// BestSelection names the best model so far: the one at the start of Round.
type BestSelection struct {
	Round int     `json:"round"`
	Score float64 `json:"score"`
}

// Journal is the record of one federation in a store.
type Journal struct{ store Store }

// Open begins or continues the journal of f in store. A journal of another
// federation is refused.
func Open(store Store, f Federation) (*Journal, error) {
	f.Format = Format
	j := &Journal{store: store}
	var found Federation
	err := j.read("federation.json", &found)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err := j.write("federation.json", f)
		return j, err
	case err != nil:
		return nil, err
	case found != f:
		return nil, fmt.Errorf("cannot use this state folder: it holds the work of %q with bundle %s as %q, not of %q with bundle %s as %q; name another with --state",
			found.FederationID, short(found.Bundle), found.Participant, f.FederationID, short(f.Bundle), f.Participant)
	}
	return j, nil
}

func short(hex string) string { return hex[:min(12, len(hex))] }

// Store returns the store underneath.
func (j *Journal) Store() Store { return j.store }

// write creates a JSON record and returns its SHA-256. A record that is there
// already must be the same: after an interruption the same work is done again.
func (j *Journal) write(name string, v any) (string, error) {
	b, err := encodeRecord(v)
	if err != nil {
		return "", fmt.Errorf("cannot write %q to the journal: %v", name, err)
	}
	return j.create(name, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

func encodeRecord(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", " ")
	return append(b, '\n'), err
}

// create commits an object and returns its SHA-256 in hex. It may exist with
// the same content.
func (j *Journal) create(name string, write func(io.Writer) error) (string, error) {
	d, err := j.store.Draft()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if err := write(io.MultiWriter(d, h)); err != nil {
		return "", errors.Join(fmt.Errorf("cannot write %q to the journal: %w", name, err), d.Discard())
	}
	sum := hex.EncodeToString(h.Sum(nil))
	err = d.Commit(name)
	if !errors.Is(err, ErrExists) {
		return sum, err
	}
	existing, err := j.digest(name)
	if err == nil && existing != sum {
		err = Damagef("%q has SHA-256 %s, the same work done again gives %s", name, existing, sum)
	}
	return sum, err
}

// digest returns the SHA-256 of an object in hex.
func (j *Journal) digest(name string) (string, error) {
	o, err := j.store.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(o, 0, o.Size()))
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, o.Close())
}

func (j *Journal) read(name string, v any) error {
	o, err := j.store.Open(name)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.NewSectionReader(o, 0, min(o.Size(), maxRecord+1)))
	if err := errors.Join(err, o.Close()); err != nil {
		return fmt.Errorf("cannot read %q of the journal: %v", name, err)
	}
	if err := schema.DecodeJSON(name, b, maxRecord, v); err != nil {
		return Damagef("%w", err)
	}
	return nil
}

func stateName(round int) string           { return fmt.Sprintf("state/%06d.safetensors", round) }
func modelName(round int) string           { return fmt.Sprintf("models/%06d.safetensors", round) }
func stepsName(round int) string           { return fmt.Sprintf("steps/%06d.pbuf", round) }
func roundName(round int, n string) string { return fmt.Sprintf("rounds/%06d/%s", round, n) }

func resultName(round int, task, collaborator string) string {
	return roundName(round, "results/"+escape(task)+"/"+escape(collaborator)+".pb")
}

// escape makes one path component of any text; it never begins with a dot.
func escape(s string) string { return "_" + url.PathEscape(s) }

func unescape(s string) (string, error) {
	rest, ok := strings.CutPrefix(s, "_")
	if !ok {
		return "", Damagef("%q is no escaped name", s)
	}
	return url.PathUnescape(rest)
}

// Model is an open model file.
type Model struct {
	*tensor.File
	object Object
}

// Close closes the file.
func (m *Model) Close() error { return m.object.Close() }

// Size returns the file's size in bytes.
func (m *Model) Size() int64 { return m.object.Size() }

// Reader returns the whole file.
func (m *Model) Reader() io.Reader { return io.NewSectionReader(m.object, 0, m.object.Size()) }

// Model opens the model at the start of a round; fs.ErrNotExist if that round
// was not reached.
func (j *Journal) Model(round int) (*Model, error) {
	return j.tensors(modelName(round), fmt.Sprintf("the model of round %d", round))
}

func (j *Journal) tensors(name, what string) (*Model, error) {
	o, err := j.store.Open(name)
	if err != nil {
		return nil, err
	}
	f, err := tensor.OpenSafetensors(o, o.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot read %s: %w", what, err), o.Close())
	}
	return &Model{File: f, object: o}, nil
}

// WriteModel commits the model at the start of a round (a safetensors file)
// and returns its SHA-256 in hex.
func (j *Journal) WriteModel(round int, write func(io.Writer) error) (string, error) {
	return j.create(modelName(round), write)
}

// ModelSHA256 returns the SHA-256 of the model at the start of a round, in hex.
func (j *Journal) ModelSHA256(round int) (string, error) { return j.digest(modelName(round)) }

// State opens what the aggregation remembers at the start of a round;
// fs.ErrNotExist if that is nothing.
func (j *Journal) State(round int) (*Model, error) {
	return j.tensors(stateName(round), fmt.Sprintf("the state of round %d", round))
}

// WriteState commits what the aggregation remembers at the start of a round (a
// safetensors file) and returns its SHA-256 in hex.
func (j *Journal) WriteState(round int, write func(io.Writer) error) (string, error) {
	return j.create(stateName(round), write)
}

// StateSHA256 returns the SHA-256 of a round's state, in hex.
func (j *Journal) StateSHA256(round int) (string, error) { return j.digest(stateName(round)) }

// ForgetState removes the state of a round.
func (j *Journal) ForgetState(round int) error { return j.store.Remove(stateName(round)) }

// Accept commits a checked result; ErrExists if this collaborator already has
// one for the task.
func (j *Journal) Accept(d Draft, round int, task, collaborator string) error {
	return d.Commit(resultName(round, task, collaborator))
}

// Result is an accepted result, open for reading.
type Result struct {
	*Results
	Object
	SHA256 string // of the message as received; "" if it was not asked for
}

// Result opens an accepted result, and reads all of it for its digest, which must
// be what was recorded when it came; else the error wraps [ErrDamaged].
func (j *Journal) Result(round int, task, collaborator string) (*Result, error) {
	r, err := j.OpenResult(round, task, collaborator)
	if err != nil {
		return nil, err
	}
	if r.SHA256, err = j.digest(resultName(round, task, collaborator)); err == nil {
		err = j.agrees(round, task, collaborator, r.SHA256)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// OpenResult opens an accepted result without its digest.
func (j *Journal) OpenResult(round int, task, collaborator string) (*Result, error) {
	name := resultName(round, task, collaborator)
	o, err := j.store.Open(name)
	if err != nil {
		return nil, err
	}
	r, err := ScanResults(o, o.Size())
	if err != nil {
		return nil, errors.Join(Damagef("%q: %w", name, err), o.Close())
	}
	return &Result{Results: r, Object: o}, nil
}

// Accepted lists the results that a round has: task -> collaborators, sorted.
func (j *Journal) Accepted(round int) (map[string][]string, error) {
	prefix := roundName(round, "results")
	names, err := j.store.List(prefix)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, n := range names {
		task, file, _ := strings.Cut(strings.TrimPrefix(n, prefix+"/"), "/")
		base, ok := strings.CutSuffix(file, ".pb")
		if !ok {
			return nil, Damagef("%q is no result", n)
		}
		t, err1 := unescape(task)
		c, err2 := unescape(base)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		found[t] = append(found[t], c)
	}
	return found, nil
}

// Forget removes a round's raw results; its closing and outcome, which have their
// digests, stay.
func (j *Journal) Forget(round int) error {
	var all error
	for _, folder := range []string{"results", "digests"} {
		names, err := j.store.List(roundName(round, folder))
		all = errors.Join(all, err)
		for _, n := range names {
			all = errors.Join(all, j.store.Remove(n))
		}
	}
	return all
}

// ForgetModel removes the model of a round, and the steps to it.
func (j *Journal) ForgetModel(round int) error {
	return errors.Join(j.store.Remove(modelName(round)), j.store.Remove(stepsName(round)))
}

// Steps is an open file of the steps to a round's model: a .pbuf file whose
// tensors are not the model's values, but what they came from.
type Steps struct {
	Object
	Tensors []tensor.Named
}

// WriteSteps commits the steps to the model of a round.
func (j *Journal) WriteSteps(round int, write func(io.Writer) error) error {
	_, err := j.create(stepsName(round), write)
	return err
}

// Steps opens the steps to the model of a round; fs.ErrNotExist if there are
// none.
func (j *Journal) Steps(round int) (*Steps, error) {
	o, err := j.store.Open(stepsName(round))
	if err != nil {
		return nil, err
	}
	tensors, err := tensor.ScanModel(o, o.Size())
	if err != nil {
		return nil, errors.Join(Damagef("%q: %w", stepsName(round), err), o.Close())
	}
	return &Steps{Object: o, Tensors: tensors}, nil
}

// WriteClosing records a round's decision and returns its SHA-256.
func (j *Journal) WriteClosing(c Closing) (string, error) {
	return j.write(roundName(c.Round, "closing.json"), c)
}

// Closing reads a round's decision and its SHA-256; fs.ErrNotExist while the
// round is open.
func (j *Journal) Closing(round int) (c Closing, sum string, err error) {
	err = j.record(round, "closing.json", &c, &sum)
	return c, sum, err
}

// WriteOutcome records what a round produced: the last step of the round.
func (j *Journal) WriteOutcome(o Outcome) (string, error) {
	return j.write(roundName(o.Round, "outcome.json"), o)
}

// Outcome reads what a round produced and the record's SHA-256;
// fs.ErrNotExist while the round is not complete.
func (j *Journal) Outcome(round int) (o Outcome, sum string, err error) {
	err = j.record(round, "outcome.json", &o, &sum)
	return o, sum, err
}

func (j *Journal) record(round int, file string, v any, sum *string) error {
	name := roundName(round, file)
	if err := j.read(name, v); err != nil {
		return err
	}
	var err error
	*sum, err = j.digest(name)
	return err
}

// MarkQuit records that a collaborator was told that the federation is complete.
func (j *Journal) MarkQuit(collaborator string) error {
	_, err := j.create("quit/"+escape(collaborator), func(io.Writer) error { return nil })
	return err
}

// Quit lists who was told.
func (j *Journal) Quit() ([]string, error) {
	names, err := j.store.List("quit")
	if err != nil {
		return nil, err
	}
	for i, n := range names {
		if names[i], err = unescape(strings.TrimPrefix(n, "quit/")); err != nil {
			return nil, err
		}
	}
	return names, nil
}
