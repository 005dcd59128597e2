package receipt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"fx/bundle"
	"fx/ca/identity"
	"fx/runtime/fold"
	"fx/runtime/journal"
	"fx/runtime/tensor"
)

// Audit is what comparing a receipt with a journal has found.
type Audit struct {
	Recomputed []int     `json:"recomputed"`     // rounds whose model, state and outcome were made anew, bit for bit
	Skipped    []Skipped `json:"not_recomputed"` // rounds that could not be
	Compared   int       `json:"files_compared"` // files of the journal whose digest the receipt gives
	Problems   []Problem `json:"problems"`       // empty if all is in order
}

// Skipped is a round that was not made anew.
type Skipped struct {
	Round  int    `json:"round"`
	Reason string `json:"reason"`
}

// Problem is something that is not what the receipt says.
type Problem struct {
	Round  int    `json:"round"`
	Party  string `json:"party"` // whose work it is: the collaborator's name, or "aggregator"
	File   string `json:"file,omitempty"`
	Reason string `json:"reason"`
}

func (p Problem) String() string {
	if p.File == "" {
		return fmt.Sprintf("round %d, %s: %s", p.Round, p.Party, p.Reason)
	}
	return fmt.Sprintf("round %d, %s: %s %s", p.Round, p.Party, p.File, p.Reason)
}

// theAggregator is the party of what no collaborator has made.
const theAggregator = "aggregator"

// AuditOptions is what a journal is compared with.
type AuditOptions struct {
	Journal journal.Store
	Plan    *bundle.Federation // nil: nothing is made anew
	Scratch string             // an empty folder with room for a model and what is remembered of it
	Done    func(round int)    // after each round; may be nil
}

// Audit compares every file of the journal that the receipt gives a digest of, and
// makes every round anew of which the journal still has everything, by the code
// that made it first. Nothing in the journal changes. An error is one of reading
// or writing; what is wrong with the journal is in Problems.
func (r *Receipt) Audit(ctx context.Context, o AuditOptions) (*Audit, error) {
	w := &auditor{
		Audit: Audit{Recomputed: []int{}, Skipped: []Skipped{}, Problems: []Problem{}},
		ctx:   ctx, r: r, o: o, digests: map[string]string{}, follows: true,
	}
	j, f, err := journal.Read(patient{ctx, o.Journal})
	if err != nil {
		return nil, err
	}
	w.journal = j
	if f.Bundle != r.Bundle.ID || f.FederationID != r.FederationID || !strings.HasPrefix(f.Participant, r.AggregatorID) {
		return nil, identity.Untrustedf("the journal is that of %q with bundle %s, the receipt is about that of %q with bundle %s", f.Participant, f.Bundle, r.AggregatorID, r.Bundle.ID)
	}
	if err := w.members(); err != nil {
		return nil, err
	}
	if err := w.initial(); err != nil {
		return nil, err
	}
	for i := range r.Rounds {
		if err := w.round(&r.Rounds[i]); err != nil {
			return nil, fmt.Errorf("cannot check round %d: %w", r.Rounds[i].Round, err)
		}
		if o.Done != nil {
			o.Done(r.Rounds[i].Round)
		}
	}
	if _, err := w.model(r.Final.Round); err != nil {
		return nil, err
	}
	if want := w.state(r.Final.Round); want != "" {
		_, err = w.compare(r.Final.Round, theAggregator, journal.StateName(r.Final.Round), want)
	}
	return &w.Audit, err
}

type auditor struct {
	Audit
	ctx     context.Context
	r       *Receipt
	o       AuditOptions
	journal *journal.Journal
	digests map[string]string      // of files that were read, "" if absent
	best    *journal.BestSelection // after the round before
	follows bool                   // best is known
}

func (w *auditor) problem(round int, party, file, format string, a ...any) {
	p := Problem{Round: round, Party: party, File: file, Reason: fmt.Sprintf(format, a...)}
	if !slices.Contains(w.Problems, p) {
		w.Problems = append(w.Problems, p)
	}
}

// compare digests a file once. It is false for one that is absent, or is not what
// the receipt says, which is then a problem.
func (w *auditor) compare(round int, party, name, want string) (bool, error) {
	got, seen := w.digests[name]
	if !seen {
		sum, err := digest(w.journal.Store(), name)
		switch {
		case errors.Is(err, journal.ErrDamaged):
			w.problem(round, party, name, "cannot be read: %v", err)
			w.digests[name] = unreadable
			return false, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
		got = sum
		w.digests[name] = got
		if got != "" {
			w.Compared++
		}
	}
	if got != "" && got != unreadable && got != want {
		w.problem(round, party, name, "has SHA-256 %s; the receipt says %s", got, want)
	}
	return got == want, nil
}

// unreadable stands for the digest of what is no file.
const unreadable = "unreadable"

func digest(s journal.Store, name string) (string, error) {
	o, err := s.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(o, 0, o.Size()))
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, o.Close())
}

// initial compares the model that the federation began with, with the journal's
// and with the bundle's.
func (w *auditor) initial() error {
	if _, err := w.model(w.r.FirstRound); err != nil || w.o.Plan == nil {
		return err
	}
	h := sha256.New()
	if err := w.o.Plan.Model.WriteSafetensors(patientWriter{w.ctx, h}); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != w.r.InitialModel {
		w.problem(w.r.FirstRound, theAggregator, "", "the bundle's initial model has SHA-256 %s; the receipt says %s", sum, w.r.InitialModel)
	}
	return nil
}

func (w *auditor) model(round int) (bool, error) {
	return w.compare(round, theAggregator, journal.ModelName(round), w.r.Model(round))
}

// round compares what the journal has of a round, and makes it anew.
func (w *auditor) round(r *Round) error {
	best, follows := w.best, w.follows
	whole, err := w.records(r)
	if err != nil {
		return err
	}
	missing := ""
	for _, e := range r.Results {
		name := journal.ResultName(r.Round, e.Task, e.Collaborator)
		same, err := w.compare(r.Round, e.Collaborator, name, e.SHA256)
		if err != nil {
			return err
		}
		whole = whole && (same || w.digests[name] == "")
		if w.digests[name] == "" && missing == "" {
			missing = "the journal does not have its results any more"
		}
	}
	same, err := w.model(r.Round)
	if err != nil {
		return err
	}
	name := journal.ModelName(r.Round)
	whole = whole && (same || w.digests[name] == "")
	if w.digests[name] == "" && missing == "" {
		missing = "the journal does not have the model any more that it began with"
	}
	if before := w.state(r.Round); before != "" {
		name := journal.StateName(r.Round)
		same, err := w.compare(r.Round, theAggregator, name, before)
		if err != nil {
			return err
		}
		whole = whole && (same || w.digests[name] == "")
		if w.digests[name] == "" && missing == "" {
			missing = "the journal does not have any more what the aggregation remembered"
		}
	}
	switch {
	case !whole:
		missing = "what it is made of is not what the receipt says"
	case missing == "" && !follows:
		missing = "the best model so far is in the record of the round before, which is not what the receipt says"
	case missing == "" && w.o.Plan == nil:
		missing = "without the bundle the plan is not known"
	}
	if missing != "" {
		w.Skipped = append(w.Skipped, Skipped{r.Round, missing})
		return nil
	}
	return w.recompute(r, best)
}

// state is the digest of what the aggregation remembered at the start of a round.
func (w *auditor) state(round int) string {
	if at := round - w.r.FirstRound; at > 0 {
		return w.r.Rounds[at-1].State
	}
	return ""
}

// records compares a round's closing and outcome with the receipt.
func (w *auditor) records(r *Round) (bool, error) {
	whole := true
	w.follows = false
	for file, want := range map[string]string{"closing.json": r.Closing, "outcome.json": r.Outcome} {
		name := journal.RoundName(r.Round, file)
		same, err := w.compare(r.Round, theAggregator, name, want)
		if err != nil {
			return false, err
		}
		if w.digests[name] == "" {
			w.problem(r.Round, theAggregator, name, "is missing; no journal loses it")
		}
		whole = whole && same
		w.follows = w.follows || file == "outcome.json" && same
	}
	if !w.follows {
		return false, nil
	}
	outcome, outcomeSum, err := w.journal.Outcome(r.Round)
	if err != nil {
		return false, err
	}
	if w.best = outcome.Best; !whole {
		return false, nil
	}
	closing, sum, err := w.journal.Closing(r.Round)
	if err != nil {
		return false, err
	}
	previous := ""
	if at := r.Round - w.r.FirstRound; at > 0 {
		previous = w.r.Rounds[at-1].Outcome
	}
	if again := account(closing, sum, outcome, outcomeSum); !reflect.DeepEqual(again, *r) || outcome.Closing != sum || closing.Previous != previous {
		w.problem(r.Round, theAggregator, "", "the receipt and the records of the journal that it names do not say the same")
		return false, nil
	}
	return true, nil
}

// recompute makes a round anew in the scratch folder.
func (w *auditor) recompute(r *Round, best *journal.BestSelection) (err error) {
	dir := filepath.Join(w.o.Scratch, strconv.Itoa(r.Round))
	top, err := journal.OpenDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, top.Close(), os.RemoveAll(dir)) }()
	j, _, err := journal.Read(journal.Overlay{Base: patient{w.ctx, w.o.Journal}, Top: top})
	if err != nil {
		return err
	}
	infos, err := w.o.Plan.Model.Infos()
	if err != nil {
		return err
	}
	engine, err := fold.New(fold.Options{Plan: w.o.Plan.Plan, Model: infos, Journal: j})
	if err != nil {
		return err
	}
	closing, sum, err := w.journal.Closing(r.Round)
	if err != nil {
		return err
	}
	outcome, _, err := engine.Next(closing, sum, best)
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	if errors.Is(err, fs.ErrNotExist) { // a running aggregator has just removed it
		w.Skipped = append(w.Skipped, Skipped{r.Round, "the journal does not have its results any more"})
		return nil
	}
	if err != nil {
		w.problem(r.Round, theAggregator, "", "the round cannot be made of its results: %v", err)
		return nil
	}
	w.Recomputed = append(w.Recomputed, r.Round)
	for _, m := range []struct{ what, file, got, want string }{
		{"the model", journal.ModelName(r.Round + 1), outcome.Model, r.Model},
		{"what the aggregation remembers", journal.StateName(r.Round + 1), outcome.State, r.State},
	} {
		if m.got != m.want {
			w.problem(r.Round, theAggregator, m.file, "made anew has SHA-256 %q; the receipt says %q", m.got, m.want)
		}
	}
	if again, err := journal.RecordSHA256(outcome); err != nil {
		return err
	} else if again != r.Outcome {
		w.problem(r.Round, theAggregator, journal.RoundName(r.Round, "outcome.json"), "made anew has SHA-256 %s; the receipt says %s", again, r.Outcome)
	}
	return w.steps(r, top)
}

// steps compares what is between two models where the pipeline loses values. No
// receipt has its digest, because the model follows from it.
func (w *auditor) steps(r *Round, top journal.Store) error {
	name := journal.StepsName(r.Round + 1)
	again, err := digest(top, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	found, err := digest(w.journal.Store(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed with its model
	}
	if err == nil && found != again {
		w.problem(r.Round, theAggregator, name, "has SHA-256 %s; made anew it has %s", found, again)
	}
	return err
}

// patient is a store whose reading ends with its context.
type patient struct {
	ctx context.Context
	journal.Store
}

// Open implements [journal.Store].
func (p patient) Open(name string) (journal.Object, error) {
	o, err := p.Store.Open(name)
	if err != nil {
		return nil, err
	}
	return patientObject{o, p.ctx}, nil
}

type patientObject struct {
	journal.Object
	ctx context.Context
}

// ReadAt implements [io.ReaderAt].
func (o patientObject) ReadAt(p []byte, off int64) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	return o.Object.ReadAt(p, off)
}

type patientWriter struct {
	ctx context.Context
	w   io.Writer
}

// Write implements [io.Writer].
func (p patientWriter) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

// DigestFile is the SHA-256 of a model file as a receipt gives it; a .pbuf is not
// what a receipt knows.
func DigestFile(ctx context.Context, path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if _, err := tensor.OpenSafetensors(f, info.Size()); err != nil {
		return "", fmt.Errorf("cannot read model %q: %w", path, err)
	}
	h := sha256.New()
	_, err = io.Copy(patientWriter{ctx, h}, io.NewSectionReader(f, 0, info.Size()))
	return hex.EncodeToString(h.Sum(nil)), err
}
