package schema

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"
)

// Plan is a plan that has been read: its defaults are merged.
type Plan struct {
	name    string // as given, for messages
	config  *Node
	decoded *Resolved
	strict  Findings // of decoding; empty in a plan from ParsePlan
}

// IDs is what two parties must agree on before they can speak to each other.
type IDs struct {
	FileName     string `json:"file_name"`
	Hash         string `json:"hash"` // SHA-384, hex, of the canonical dump
	FederationID string `json:"federation_id"`
	AggregatorID string `json:"aggregator_id"`
	Host         string `json:"host"`
	Port         int    `json:"port"`
}

// ResolveOptions is what a plan leaves to the machine.
type ResolveOptions struct {
	FQDN string // the host name that `agg_addr: auto` stands for
}

// ParsePlan reads a plan strictly: every field that Resolved holds is
// type-checked, and keys that OpenFL would refuse are refused. The base name of
// name enters the federation id. The error is Findings, all of them at once.
func ParsePlan(name string, data []byte) (*Plan, error) {
	p, err := ReadPlan(name, data)
	if err != nil {
		return nil, err
	}
	if err := p.strict.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// ReadPlan reads a plan and merges its defaults, and leaves what is wrong with
// its sections to Findings. The error is Findings about the document as a whole:
// YAML, sections that are no maps, unknown defaults files.
func ReadPlan(name string, data []byte) (*Plan, error) {
	root, fs := readYAML(name, data, MaxPlanBytes)
	if len(fs) > 0 {
		return nil, fs.Err()
	}
	if err := mergeDefaults(root); err != nil {
		return nil, err
	}
	p := &Plan{name: name, config: root}
	p.decoded, p.strict = decodePlan(root)
	for i := range p.strict {
		p.strict[i] = p.Locate(p.strict[i])
	}
	p.strict.Sort()
	return p, nil
}

// Findings is what strict decoding found.
func (p *Plan) Findings() Findings { return append(Findings(nil), p.strict...) }

// Config is the merged plan, `auto` still in it. It must not be changed.
func (p *Plan) Config() *Node { return p.config }

// Draft is the decoded plan without ids. Fields that have findings are zero. It
// must not be changed.
func (p *Plan) Draft() *Resolved { return p.decoded }

// Locate moves a finding about a value that a defaults file brought in to the
// section of the plan that names the file.
func (p *Plan) Locate(f Finding) Finding {
	if !fromDefaults(f.File) {
		return f
	}
	for _, pair := range p.config.Pairs {
		key := pair.Key.KeyText()
		if section := Child("", key); f.Path == section || len(f.Path) > len(section) &&
			f.Path[:len(section)] == section && (f.Path[len(section)] == '.' || f.Path[len(section)] == '[') {
			f.Message += " (the value is from " + f.File[len(defaultsPrefix):] + ")"
			f.File, f.Line, f.Column = pair.Key.File, pair.Key.Line, pair.Key.Column
			return f
		}
	}
	return f
}

// Identify computes the ids as OpenFL does, for any plan that it could read,
// valid or not. The node is the merged plan with host and port filled in; it must
// not be changed.
func (p *Plan) Identify(o ResolveOptions) (IDs, *Node, error) {
	ids := IDs{FileName: filepath.Base(p.name), Hash: hash(p.config)}
	ids.FederationID = ids.FileName + "_" + ids.Hash[:8]
	ids.AggregatorID = "aggregator_" + ids.FederationID

	config := clone(p.config, map[*Node]*Node{})
	settings := config.At("network", "settings")
	addr, port := settings.Lookup("agg_addr"), settings.Lookup("agg_port")
	var fs Findings
	switch {
	case addr == nil || addr.Kind != KindString || addr.Text == "":
		fs = append(fs, at(config, "network").finding("missing-key", "network.settings.agg_addr", "the address of the aggregator is missing"))
	case addr.Text == "auto" && o.FQDN == "":
		f := p.Locate(addr.finding("address", "network.settings.agg_addr", "the address is auto and this machine has no host name"))
		f.Hint = "write the host name of the aggregator"
		fs = append(fs, f)
	case addr.Text == "auto":
		settings.set(settings.Key("agg_addr"), &Node{Kind: KindString, Text: o.FQDN, File: addr.File, Line: addr.Line, Column: addr.Column})
		ids.Host = o.FQDN
	default:
		ids.Host = addr.Text
	}
	switch {
	case port != nil && port.Kind == KindInt:
		ids.Port = int(port.Int)
	case port != nil && port.Kind == KindString && port.Text == "auto":
		ids.Port = autoPort(hash(config)) // OpenFL hashes again, after the address is known
		settings.set(settings.Key("agg_port"), &Node{Kind: KindInt, Int: int64(ids.Port), File: port.File, Line: port.Line, Column: port.Column})
	default:
		fs = append(fs, at(config, "network").finding("missing-key", "network.settings.agg_port", "the port of the aggregator is missing"))
	}
	if len(fs) > 0 {
		return IDs{}, nil, fs.Err()
	}
	if config.Lookup("connector") != nil {
		fillPorts(config, config.At("connector", "settings"))
		fillPorts(config, config.At("tasks", "settings"))
	}
	return ids, config, nil
}

// fillPorts replaces each setting that is `auto` by a port, as OpenFL does for
// connectors: one after the other, each from the hash of what the plan is by then.
func fillPorts(config, settings *Node) {
	for i, p := range settings.Entries() {
		if v := p.Value; v.Kind == KindString && v.Text == "auto" {
			port := int64(autoPort(hash(config)))
			settings.Pairs[i].Value = &Node{Kind: KindInt, Int: port, File: v.File, Line: v.Line, Column: v.Column}
		}
	}
}

// Resolve fills in what the plan leaves open and computes the ids. A plan that
// has findings is not resolved.
func (p *Plan) Resolve(o ResolveOptions) (*Resolved, error) {
	if err := p.strict.Err(); err != nil {
		return nil, err
	}
	ids, config, err := p.Identify(o)
	if err != nil {
		return nil, err
	}
	r := *p.decoded
	r.FileName, r.Hash, r.FederationID, r.AggregatorID = ids.FileName, ids.Hash, ids.FederationID, ids.AggregatorID
	r.Network.Host, r.Network.Port = ids.Host, ids.Port
	r.config = config
	return &r, nil
}

func hash(config *Node) string {
	sum := sha512.Sum384(Dump(config))
	return hex.EncodeToString(sum[:])
}

// autoPort maps the first 32 bits of a hash to 49152–60998.
func autoPort(hash string) int {
	n, err := strconv.ParseUint(hash[:8], 16, 32)
	if err != nil {
		panic(fmt.Sprintf("hash %q is not hexadecimal", hash)) // a bug: hash makes it
	}
	return int(n%11847) + 49152
}

// clone copies the containers below n and keeps what they share.
func clone(n *Node, done map[*Node]*Node) *Node {
	if c, ok := done[n]; ok {
		return c
	}
	c := *n
	done[n] = &c
	c.Items = make([]*Node, len(n.Items))
	for i, item := range n.Items {
		c.Items[i] = clone(item, done)
	}
	c.Pairs = make([]Pair, len(n.Pairs))
	for i, p := range n.Pairs {
		c.Pairs[i] = Pair{p.Key, clone(p.Value, done)}
	}
	return &c
}

// at is the section of that name, or the document when it has none.
func at(config *Node, section string) *Node {
	if key := config.Key(section); key != nil {
		return key
	}
	return config
}
