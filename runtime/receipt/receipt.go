// Package receipt is the account that an aggregator signs of what it has done: which
// approved bundle, whose results, which models. Whoever has the journal can make
// every model anew from it and compare.
package receipt

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"

	"fx/bundle/approval"
	"fx/schema"
)

// PredicateType is the kind of in-toto statement that a receipt is.
const PredicateType = "https://fx.invalid/fx/receipt/v1"

// MaxBytes bounds a receipt file. A result takes some 250 bytes of it.
const MaxBytes = 256 << 20

// The names of a receipt's subjects in the in-toto statement.
const (
	modelSubject  = "final.safetensors"
	bundleSubject = ".fxb/manifest.json"
)

// Receipt is what an aggregator says of the rounds that it has closed. It has no
// clock in it: the same journal and bundle give the same statement. All digests
// are SHA-256 in lower-case hexadecimal.
type Receipt struct {
	FederationID string      `json:"federation_id"` // as the plan gives it
	AggregatorID string      `json:"aggregator_id"`
	TaskGroup    string      `json:"task_group,omitempty"` // the only one that was run
	Bundle       Bundle      `json:"bundle"`
	Plan         Plan        `json:"plan"`
	Policy       Policy      `json:"policy"`
	Signatures   []Signature `json:"signatures"` // that counted when the aggregator was started last
	Tasks        []Task      `json:"tasks"`
	Pipeline     string      `json:"compression_pipeline"`
	Roster       []Member    `json:"roster"` // everybody who was to take part in a round, by name
	FirstRound   int         `json:"first_round"`
	InitialModel string      `json:"initial_model_sha256"` // as .safetensors
	Rounds       []Round     `json:"rounds"`
	Complete     bool        `json:"complete"` // no other round follows
	Best         *Model      `json:"best_model,omitempty"`
	Last         *Model      `json:"last_model,omitempty"` // the one that the last round began with
	Final        Model       `json:"final_model"`          // the one that the last round led to
	Unproven     []string    `json:"unproven"`             // what nothing in this federation proves, in words
}

// Bundle is what was run.
type Bundle struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Plan is the plan in the bundle.
type Plan struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`           // of the file
	Hash   string `json:"canonical_sha384"` // of which FederationID has the first digits
}

// Policy is what the aggregator's site asked for.
type Policy struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256,omitempty"` // of the file; the built-in policy has none
}

// Signature is an attestation of the bundle.
type Signature struct {
	Role       string `json:"role"`
	Name       string `json:"name"`
	Identity   string `json:"identity"` // URI
	Decision   string `json:"decision,omitempty"`
	SignedAt   string `json:"signed_at"`
	ValidUntil string `json:"valid_until,omitempty"`
	KeySHA256  string `json:"key_sha256"`
	SHA256     string `json:"sha256"` // of the sidecar's line without its line feed
}

// Task is a task of the plan and how its results are aggregated.
type Task struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
}

// Member is a collaborator.
type Member struct {
	Name         string        `json:"name"`
	Certificates []Certificate `json:"certificates"` // by which results came, sorted by digest
}

// Certificate is one by which a collaborator proved its name.
type Certificate struct {
	SHA256 string `json:"sha256"` // of the DER: its fingerprint
	OpenFL bool   `json:"openfl"` // made by OpenFL: no role is written in it
}

// Round is a closed round.
type Round struct {
	Round      int      `json:"round"`
	Done       []string `json:"done"`
	Stragglers []string `json:"stragglers"`
	Results    []Result `json:"results"`                 // sorted as in the closing: by task, then collaborator
	Closing    string   `json:"closing_sha256"`          // of the journal's closing.json
	Outcome    string   `json:"outcome_sha256"`          // of the journal's outcome.json, with the metrics
	Model      string   `json:"model_sha256"`            // of the model that it led to
	State      string   `json:"state_sha256,omitempty"`  // of what the aggregation remembers
	Metrics    int      `json:"metrics"`                 // how many
	Stopped    bool     `json:"stopped_early,omitempty"` // a metric reached the plan's target
}

// Result is an accepted result that counts.
type Result struct {
	Task         string `json:"task"`
	Collaborator string `json:"collaborator"`
	DataSize     int32  `json:"data_size"` // samples; -1 where the task has no notion of it
	SHA256       string `json:"sha256"`    // of the message as received
}

// Model is a model with the round that it belongs to.
type Model struct {
	Round  int    `json:"round"`  // that begins with it
	SHA256 string `json:"sha256"` // as .safetensors
}

// Model returns the digest of the model at the start of a round, "" if the receipt
// does not know that round.
func (r *Receipt) Model(round int) string {
	at := round - r.FirstRound
	switch {
	case at == 0:
		return r.InitialModel
	case at < 0 || at > len(r.Rounds):
		return ""
	}
	return r.Rounds[at-1].Model
}

// Holds says which model of the receipt has a digest, in words, or "".
func (r *Receipt) Holds(digest string) string {
	switch {
	case digest == r.Final.SHA256 && r.Complete:
		return "the final model"
	case r.Best != nil && digest == r.Best.SHA256:
		return fmt.Sprintf("the best model, with which round %d began", r.Best.Round)
	case digest == r.InitialModel:
		return "the initial model"
	}
	for _, round := range slices.Backward(r.Rounds) {
		if digest == round.Model {
			return fmt.Sprintf("the model after round %d", round.Round)
		}
	}
	return ""
}

// Sign makes the file of a receipt: one line of JSON.
func (r *Receipt) Sign(key crypto.Signer, leaf *x509.Certificate) ([]byte, error) {
	payload, err := r.payload()
	if err != nil {
		return nil, err
	}
	line, err := approval.Seal(key, leaf, payload)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the receipt: %w", err)
	}
	return append(line, '\n'), nil
}

func (r *Receipt) payload() ([]byte, error) {
	payload, err := approval.Statement([]approval.Digest{
		{Name: modelSubject, SHA256: r.Final.SHA256}, {Name: bundleSubject, SHA256: r.Bundle.ID},
	}, PredicateType, r)
	if err != nil {
		return nil, fmt.Errorf("cannot write the receipt: %v", err)
	}
	return payload, nil
}

// Signed is a receipt as it was read. Nothing about it is trusted yet.
type Signed struct {
	*Receipt
	*approval.Envelope
}

// Parse reads what Sign makes. Errors wrap [schema.ErrInvalid].
func Parse(data []byte) (*Signed, error) {
	if len(data) > MaxBytes {
		return nil, invalid("it has more than %d bytes", MaxBytes)
	}
	line, ok := bytes.CutSuffix(data, []byte("\n"))
	if !ok {
		return nil, invalid("it is cut off: the line feed at its end is missing")
	}
	e, err := approval.ParseEnvelope(line)
	if err != nil {
		return nil, err
	}
	r := &Receipt{}
	subjects, err := approval.ParseStatement(e.Payload, PredicateType, r)
	if err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	want := []approval.Digest{{Name: modelSubject, SHA256: r.Final.SHA256}, {Name: bundleSubject, SHA256: r.Bundle.ID}}
	if !slices.Equal(subjects, want) {
		return nil, invalid("the subjects are not the final model and the bundle that it is about")
	}
	return &Signed{Receipt: r, Envelope: e}, nil
}

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", schema.ErrInvalid, fmt.Sprintf(format, a...))
}
