package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fx/runtime/tensor"
)

// Survey is what is in a journal, damaged or not.
type Survey struct {
	Federation Federation      `json:"federation"`
	Rounds     []SurveyedRound `json:"rounds"`
	Files      []SurveyedFile  `json:"files"`   // everything else: models, states, steps, certificates, finished tasks
	Bytes      int64           `json:"bytes"`   // of all of it
	Damage     []Damage        `json:"damage"`  // what cannot be read, or is not what a record says
	Told       []string        `json:"told"`    // collaborators that were told that the federation is complete
	Digests    bool            `json:"digests"` // every file was compared with the digest that a record gives
}

// SurveyedRound is a round of which the journal has something.
type SurveyedRound struct {
	Round      int            `json:"round"`
	State      string         `json:"state"` // open, decided (whose results count is written down) or closed
	Done       []string       `json:"done"`
	Stragglers []string       `json:"stragglers"`
	Results    []SurveyedFile `json:"results"`
	Removed    int            `json:"removed"` // results that counted and are not kept any more
	Metrics    []MetricEntry  `json:"metrics"`
	Model      string         `json:"model_sha256,omitempty"` // of the model that it led to
	StateSum   string         `json:"state_sha256,omitempty"` // of what the aggregation remembers
	ClosedAt   *time.Time     `json:"closed_at,omitempty"`
}

// SurveyedFile is a file of a journal. Times are those of the file system: a copy
// of a journal may have others.
type SurveyedFile struct {
	Name         string    `json:"name"`
	Task         string    `json:"task,omitempty"`         // of a result
	Collaborator string    `json:"collaborator,omitempty"` // likewise
	Samples      int32     `json:"samples,omitempty"`      // likewise; -1 where the task has no notion of it
	Tensors      int       `json:"tensors,omitempty"`      // likewise
	Counts       bool      `json:"counts,omitempty"`       // the round's decision names the result
	Bytes        int64     `json:"bytes"`
	WrittenAt    time.Time `json:"written_at"`
	SHA256       string    `json:"sha256,omitempty"` // as a record gives it, or as read where digests were asked for
}

// Damage is a file that is not as it should be.
type Damage struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Survey looks at everything in a journal and changes nothing. With digests every
// file is read whole and compared with what the records say. An error is one of
// the context or of listing; whatever else is wrong is Damage.
func (r *ReadOnly) Survey(ctx context.Context, digests bool) (*Survey, error) {
	s := &surveyor{
		Survey: Survey{Rounds: []SurveyedRound{}, Files: []SurveyedFile{}, Damage: []Damage{}, Told: []string{}, Digests: digests},
		ctx:    ctx, store: r, journal: &Journal{store: r}, rounds: map[int]*SurveyedRound{}, want: map[string]string{},
	}
	if err := s.journal.read("federation.json", &s.Federation); err != nil {
		s.damage("federation.json", err)
	}
	names, err := fs.Glob(r.dir.root.FS(), "*")
	if err != nil {
		return nil, fmt.Errorf("cannot list the journal %q: %v", r.Path(), err)
	}
	var files []string
	for _, top := range names {
		if strings.HasPrefix(top, ".") || top == "federation.json" {
			continue
		}
		below, err := r.List(top)
		if err != nil {
			return nil, err
		}
		files = append(files, below...)
	}
	for _, n := range files { // records first: they say what the others should be
		s.record(n)
	}
	for _, n := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.file(n)
	}
	s.missing(files)
	for _, n := range slices.Sorted(maps.Keys(s.rounds)) {
		round := s.rounds[n]
		for name, want := range s.want {
			if want != "" && strings.HasPrefix(name, roundName(n, "results/")) && !slices.ContainsFunc(round.Results, func(f SurveyedFile) bool { return f.Name == name }) {
				round.Removed++
			}
		}
		s.Rounds = append(s.Rounds, *round)
	}
	return &s.Survey, nil
}

// missing notes the records and the model without which an aggregator cannot go on.
func (s *surveyor) missing(files []string) {
	last := -1
	for n, round := range s.rounds {
		if round.State != "closed" {
			continue
		}
		last = max(last, n)
		if closing := roundName(n, "closing.json"); !slices.Contains(files, closing) {
			s.Damage = append(s.Damage, Damage{closing, "it is missing, although the round is closed"})
		}
	}
	if model := modelName(last + 1); last >= 0 && !slices.Contains(files, model) {
		s.Damage = append(s.Damage, Damage{model, "it is missing, although the next round begins with it"})
	}
}

type surveyor struct {
	Survey
	ctx     context.Context
	store   *ReadOnly
	journal *Journal
	rounds  map[int]*SurveyedRound
	want    map[string]string // SHA-256 that a record gives of a file
}

func (s *surveyor) damage(name string, err error) {
	if !errors.Is(err, fs.ErrNotExist) { // else a running aggregator has just removed it
		s.Damage = append(s.Damage, Damage{name, err.Error()})
	}
}

// of is the round that a name belongs to, and the rest of the name.
func (s *surveyor) of(name string) (round *SurveyedRound, rest string, ok bool) {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 3 || parts[0] != "rounds" || len(parts[1]) != 6 {
		return nil, "", false
	}
	if rest = parts[2]; rest != "closing.json" && rest != "outcome.json" && !strings.HasPrefix(rest, "results/") && !strings.HasPrefix(rest, "digests/") {
		return nil, "", false // a collaborator's finished task
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 0 {
		return nil, "", false
	}
	if s.rounds[n] == nil {
		s.rounds[n] = &SurveyedRound{Round: n, State: "open", Done: []string{}, Stragglers: []string{}, Results: []SurveyedFile{}, Metrics: []MetricEntry{}}
	}
	return s.rounds[n], rest, true
}

// record reads what the round's decision and outcome say.
func (s *surveyor) record(name string) {
	switch {
	case strings.HasSuffix(name, "/closing.json"):
		round, rest, ok := s.of(name)
		if !ok || rest != "closing.json" {
			return
		}
		c, sum, err := s.journal.Closing(round.Round)
		if err != nil {
			s.damage(name, err)
			return
		}
		if round.State == "open" {
			round.State = "decided"
		}
		round.Done, round.Stragglers = c.Done, c.Stragglers
		for _, e := range c.Results {
			s.want[resultName(c.Round, e.Task, e.Collaborator)] = e.SHA256
		}
		if before, was := s.want[name]; was && before != sum {
			s.damage(name, fmt.Errorf("it has SHA-256 %s; the round's outcome says %s", sum, before))
		}
		s.want[name] = sum
	case strings.HasSuffix(name, "/outcome.json"):
		round, rest, ok := s.of(name)
		if !ok || rest != "outcome.json" {
			return
		}
		o, _, err := s.journal.Outcome(round.Round)
		if err != nil {
			s.damage(name, err)
			return
		}
		round.State, round.Metrics, round.Model, round.StateSum = "closed", o.Metrics, o.Model, o.State
		s.want[modelName(o.Round+1)], s.want[stateName(o.Round+1)] = o.Model, o.State
		closing := roundName(o.Round, "closing.json")
		if sum := s.want[closing]; sum != "" && sum != o.Closing { // sorts before outcome.json
			s.damage(closing, fmt.Errorf("it has SHA-256 %s; the round's outcome says %s", sum, o.Closing))
		}
	case strings.HasPrefix(name, "quit/"):
		who, err := unescape(strings.TrimPrefix(name, "quit/"))
		if err != nil {
			s.damage(name, err)
			return
		}
		s.Told = append(s.Told, who)
	}
}

// file takes down one file and looks into it.
func (s *surveyor) file(name string) {
	info, err := s.store.Stat(name)
	if err != nil {
		s.damage(name, err)
		return
	}
	f := SurveyedFile{Name: name, Bytes: info.Size(), WrittenAt: info.ModTime().UTC(), SHA256: s.want[name]}
	s.Bytes += f.Bytes
	round, rest, inRound := s.of(name)
	switch {
	case inRound && rest == "outcome.json":
		round.ClosedAt = &f.WrittenAt
		return
	case inRound && (rest == "closing.json" || strings.HasPrefix(rest, "digests/")), strings.HasPrefix(name, "quit/"):
		return
	case inRound && strings.HasPrefix(rest, "results/"):
		s.result(&f, strings.TrimPrefix(rest, "results/"))
	case strings.HasSuffix(name, ".safetensors"):
		err = s.safetensors(name)
	case strings.HasSuffix(name, ".pbuf"):
		err = s.pbuf(name)
	case strings.HasSuffix(name, ".crt"):
		_, err = s.journal.certificate(name)
	}
	if err != nil {
		s.damage(name, err)
	} else if err := s.compare(&f); err != nil {
		s.damage(name, err)
	} else if err := s.came(round, &f); err != nil {
		s.damage(name, err)
	}
	if inRound && strings.HasPrefix(rest, "results/") {
		round.Results = append(round.Results, f)
		return
	}
	s.Files = append(s.Files, f)
}

// result looks into an accepted result.
func (s *surveyor) result(f *SurveyedFile, rest string) {
	task, file, _ := strings.Cut(rest, "/")
	base, ok := strings.CutSuffix(file, ".pb")
	var err1, err2 error
	f.Task, err1 = unescape(task)
	f.Collaborator, err2 = unescape(base)
	if err := errors.Join(err1, err2); err != nil || !ok {
		s.damage(f.Name, fmt.Errorf("its name is no result's"))
		return
	}
	f.Counts = f.SHA256 != ""
	o, err := s.store.Open(f.Name)
	if err != nil {
		s.damage(f.Name, err)
		return
	}
	r, err := ScanResults(o, o.Size())
	if err := errors.Join(err, o.Close()); err != nil {
		s.damage(f.Name, err)
		return
	}
	f.Samples, f.Tensors = r.DataSize, len(r.Tensors)
}

func (s *surveyor) safetensors(name string) error {
	o, err := s.store.Open(name)
	if err != nil {
		return err
	}
	_, err = tensor.OpenSafetensors(o, o.Size())
	return errors.Join(err, o.Close())
}

func (s *surveyor) pbuf(name string) error {
	o, err := s.store.Open(name)
	if err != nil {
		return err
	}
	_, err = tensor.ScanModel(o, o.Size())
	return errors.Join(err, o.Close())
}

// compare reads a file whole, if digests were asked for.
func (s *surveyor) compare(f *SurveyedFile) error {
	if !s.Digests {
		return nil
	}
	o, err := s.store.Open(f.Name)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(&stopping{s.ctx, h}, io.NewSectionReader(o, 0, o.Size()))
	if err := errors.Join(err, o.Close()); err != nil {
		return err
	}
	want := f.SHA256
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	if want != "" && want != f.SHA256 {
		return fmt.Errorf("it has SHA-256 %s; the records say %s", f.SHA256, want)
	}
	return nil
}

// came compares a result that was read whole with what was recorded when it came.
func (s *surveyor) came(round *SurveyedRound, f *SurveyedFile) error {
	if !s.Digests || f.Collaborator == "" {
		return nil
	}
	return s.journal.agrees(round.Round, f.Task, f.Collaborator, f.SHA256)
}

// stopping ends a copy with its context.
type stopping struct {
	ctx context.Context
	w   io.Writer
}

// Write implements [io.Writer].
func (s *stopping) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}
