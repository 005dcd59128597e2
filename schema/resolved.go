package schema

import "time"

// Resolved is a plan with its defaults merged, its types checked and its ids
// computed: what the runtime works from.
type Resolved struct {
	FileName     string // base name of the plan file; part of FederationID
	Hash         string // SHA-384, hex, of the canonical dump with `auto` still in it
	FederationID string // OpenFL's federation_uuid: <file name>_<first 8 of Hash>
	AggregatorID string // OpenFL's aggregator_uuid: aggregator_<FederationID>

	Aggregator   AggregatorSettings
	Collaborator CollaboratorSettings
	Network      NetworkSettings
	Assigner     Component
	Straggler    Component
	Compression  Component
	DataLoader   Component
	TaskRunner   Component
	Tasks        []Task // in the order in which a site does them: see inGroupOrder
	Egress       Egress // zero where the plan has no such section
	Box          Box    // zero where the plan has no such section
	Rounds       Rounds // likewise

	config *Node // merged, with host and port filled in
}

// Config is the merged plan with host and port filled in, as `plan show` prints
// it. It must not be changed.
func (r *Resolved) Config() *Node { return r.config }

// AggregatorSettings is the section aggregator. The paths are relative to the
// workspace and inside it.
type AggregatorSettings struct {
	InitStatePath, BestStatePath, LastStatePath string
	Rounds                                      int // rounds_to_train: the number of the round after the last, at least 1
	DBStoreRounds                               int // rounds of tensors to keep; negative keeps all
	UseDeltaUpdates                             bool
	WriteLogs                                   bool
}

// CollaboratorSettings is the section collaborator.
type CollaboratorSettings struct {
	OptTreatment    string // RESET, CONTINUE_LOCAL or CONTINUE_GLOBAL
	UseDeltaUpdates bool
	DBStoreRounds   int
}

// NetworkSettings is the section network, in the words of OpenFL 1.9; the names
// of 1.6 (tls, disable_client_auth) are understood.
type NetworkSettings struct {
	Host              string
	Port              int
	ReconnectInterval time.Duration
	TLS               bool
	RequireClientAuth bool
	// NewConnectionPerRequest is true unless the plan itself (not a defaults
	// file) says `enable_atomic_connections: false`.
	NewConnectionPerRequest bool
}

// Component is a section that names an implementation: a template and its
// settings. Settings holds nil, bool, int, float64, string, []any and
// map[string]any, and must not be changed.
type Component struct {
	Template string // canonical: see CanonicalTemplate
	Settings map[string]any
}

// Task is one entry of the section tasks.
type Task struct {
	Name        string
	Function    string         // method of the task runner
	Kwargs      map[string]any // its keyword arguments
	Aggregation Component      // Template "" is the weighted average
}

// Apply tells which model a validation task looks at: "global", the default, or
// "local".
func (t Task) Apply() string {
	if apply, ok := t.Kwargs["apply"].(string); ok {
		return apply
	}
	return "global"
}
