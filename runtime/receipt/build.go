package receipt

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"fx/bundle"
	"fx/ca/trust"
	"fx/runtime/journal"
	"fx/schema"
)

// Facts is what a receipt says besides what is in the journal.
type Facts struct {
	Bundle     *bundle.Verified
	Signatures []string // SHA-256 of the sidecar's lines, in order
	Plan       *schema.Resolved
	TaskGroup  string
	Leaf       *x509.Certificate // of the aggregator that signs

	InitialModel string // its SHA-256, "" if it is still to be read from the journal
}

// Span is the rounds that a receipt is about.
type Span struct {
	First, Next int  // first round, and the one after the last that is closed
	Complete    bool // Next will never begin
}

// Build writes down what the journal holds of closed rounds. It reads records
// and certificates, and of the models the initial one.
func Build(j *journal.Journal, f Facts, span Span) (*Receipt, error) {
	r := &Receipt{
		FederationID: f.Plan.FederationID, AggregatorID: f.Plan.AggregatorID, TaskGroup: f.TaskGroup,
		Bundle:   Bundle{ID: f.Bundle.ID().String(), Name: f.Bundle.Name(), Version: f.Bundle.Version()},
		Pipeline: f.Plan.Compression.Template, FirstRound: span.First, Complete: span.Complete,
		Signatures: []Signature{}, Roster: []Member{}, Rounds: []Round{}, Unproven: []string{},
	}
	if err := r.approved(f); err != nil {
		return nil, err
	}
	r.Tasks = tasks(f.Plan)
	var err error
	if r.InitialModel = f.InitialModel; r.InitialModel == "" {
		if r.InitialModel, err = j.ModelSHA256(span.First); err != nil {
			return nil, err
		}
	}
	var best *journal.BestSelection
	for n := span.First; n < span.Next; n++ {
		round, chosen, err := read(j, n)
		if err != nil {
			return nil, fmt.Errorf("cannot account for round %d: %w", n, err)
		}
		r.Rounds, best = append(r.Rounds, round), chosen
	}
	r.Final = Model{span.Next, r.Model(span.Next)}
	if len(r.Rounds) > 0 {
		r.Last = &Model{span.Next - 1, r.Model(span.Next - 1)}
	}
	if best != nil {
		r.Best = &Model{best.Round, r.Model(best.Round)}
	}
	return r, r.roster(j, f.Leaf)
}

func tasks(p *schema.Resolved) []Task {
	out := []Task{}
	for _, t := range p.Tasks {
		algorithm := t.Aggregation.Template
		if algorithm == "" {
			algorithm = "openfl.interface.aggregation_functions.WeightedAverage" // what a plan that says nothing means
		}
		out = append(out, Task{Name: t.Name, Algorithm: algorithm})
	}
	return out
}

// approved is the bundle's part: its plan, the policy, and whose signatures count.
func (r *Receipt) approved(f Facts) error {
	sum, err := planSHA256(f.Bundle)
	if err != nil {
		return err
	}
	r.Plan = Plan{Path: bundle.PlanPath, SHA256: sum, Hash: f.Plan.Hash}
	d := f.Bundle.Decision()
	r.Policy = Policy{Name: filepath.Base(d.Policy), SHA256: d.PolicySHA256}
	for _, s := range d.Signatures {
		if !s.Counts {
			continue
		}
		r.Signatures = append(r.Signatures, Signature{
			Role: s.Role, Name: s.Name, Identity: s.Identity, Decision: s.Decision, SignedAt: s.SignedAt, ValidUntil: s.ValidUntil,
			KeySHA256: s.KeySHA256, SHA256: f.Signatures[s.Line-1],
		})
	}
	return nil
}

func planSHA256(b *bundle.Verified) (string, error) {
	text, err := fs.ReadFile(b.Workspace(), bundle.PlanPath)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// read is one round, from the journal's records.
func read(j *journal.Journal, n int) (Round, *journal.BestSelection, error) {
	closing, closingSum, err := j.Closing(n)
	if err != nil {
		return Round{}, nil, err
	}
	outcome, outcomeSum, err := j.Outcome(n)
	if err != nil {
		return Round{}, nil, err
	}
	return account(closing, closingSum, outcome, outcomeSum), outcome.Best, nil
}

func account(closing journal.Closing, closingSum string, outcome journal.Outcome, outcomeSum string) Round {
	round := Round{
		Round: closing.Round, Done: closing.Done, Stragglers: closing.Stragglers, Results: []Result{},
		Closing: closingSum, Outcome: outcomeSum, Model: outcome.Model, State: outcome.State,
		Metrics: len(outcome.Metrics), Stopped: outcome.Stop != nil,
	}
	for _, e := range closing.Results {
		round.Results = append(round.Results, Result(e))
	}
	return round
}

// roster lists who was to take part, by which certificates, and what those do not
// prove.
func (r *Receipt) roster(j *journal.Journal, leaf *x509.Certificate) error {
	peers, err := j.Peers()
	if err != nil {
		return err
	}
	names, sent := map[string]bool{}, map[string]bool{}
	for _, round := range r.Rounds {
		for _, name := range slices.Concat(round.Done, round.Stragglers) {
			names[name] = true
		}
		for _, e := range round.Results {
			sent[e.Collaborator] = true
		}
	}
	var roleless, unknown []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		m := Member{Name: name, Certificates: []Certificate{}}
		for _, c := range peers[name] {
			sum := sha256.Sum256(c.Raw)
			openFL := trust.MadeByOpenFL(c)
			m.Certificates = append(m.Certificates, Certificate{SHA256: hex.EncodeToString(sum[:]), OpenFL: openFL})
			if openFL && !slices.Contains(roleless, name) {
				roleless = append(roleless, name)
			}
		}
		if sent[name] && len(m.Certificates) == 0 {
			unknown = append(unknown, name)
		}
		r.Roster = append(r.Roster, m)
	}
	if trust.MadeByOpenFL(leaf) {
		r.Unproven = append(r.Unproven, "that the signer is an aggregator: its certificate was made by OpenFL and says no role")
	}
	if len(roleless) > 0 {
		r.Unproven = append(r.Unproven, fmt.Sprintf("that each of %s is a collaborator: the certificate was made by OpenFL and says no role", strings.Join(roleless, ", ")))
	}
	if len(unknown) > 0 {
		r.Unproven = append(r.Unproven, fmt.Sprintf("by which certificates the results of %s came: the journal was begun before they were recorded", strings.Join(unknown, ", ")))
	}
	return nil
}
