package schema

import (
	"fmt"
	"math"
	"slices"
)

// Egress is the section egress: what of that which the model and the tasks
// declare may leave a site. The zero Egress narrows nothing. OpenFL has no such
// section and ignores it, but hashes it like every other.
type Egress struct {
	Tensors       []string // globs on tensor names; nil is every tensor of the model
	TensorRanges  []Range  // by glob: every value of a tensor is within all that match its name
	Metrics       []Range  // by name; nil is every metric that the tasks list, of any finite value
	BytesPerRound int64    // of payload, from one site; 0 is no limit
	BytesPerRun   int64
	Filters       []EgressFilter // what is done to a result before anything is sent
}

// Range is what the values of a metric or of tensors may be, both ends included.
type Range struct {
	Name     string  // of a metric, or a glob on tensor names
	Min, Max float64 // -Inf and +Inf where an end is left open
}

// EgressFilter is one entry of egress.filters. Settings holds what Component's
// does; the table of filters is runtime/egress's.
type EgressFilter struct {
	Name     string
	Settings map[string]any
}

// Bounds on the section, far above what a plan needs.
const (
	maxEgressNames   = 1000
	maxEgressName    = 1000 // bytes of a glob or a metric's name
	maxEgressFilters = 16
	maxEgressFile    = 1 << 20 // a site's own file
)

// ReadEgress reads a site's own file, which narrows what the plan lets leave:
// YAML with the keys of the plan's section egress. The error is Findings.
func ReadEgress(name string, data []byte) (Egress, error) {
	root, err := ReadYAML(name, data, maxEgressFile)
	if err != nil {
		return Egress{}, err
	}
	out := Findings{}
	if root.Kind != KindMap {
		f := root.finding("type", "", "a site's egress file is a map")
		f.Found, f.Allowed = root.Describe(), "the keys of a plan's section egress, such as tensors and bytes_per_run"
		return Egress{}, Findings{f}
	}
	f := newFields(root, root, "", &out)
	e := f.egress()
	f.done()
	out.Sort()
	if err := out.Err(); err != nil {
		return Egress{}, err
	}
	return e, nil
}

// egress reads the section, which may be absent. Its keys stand directly below
// it. settings is there in every merged section, and must be empty in this one.
func (d *decoder) egress() Egress {
	node := d.root.Lookup("egress")
	if node == nil || node.Kind != KindMap {
		return Egress{}
	}
	f := newFields(node, d.root.Key("egress"), "egress", d.out)
	f.noSettings()
	e := f.egress()
	f.done()
	return e
}

// egress reads the keys, in a plan or in a site's file.
func (f *fields) egress() Egress {
	e := Egress{
		Tensors:       f.globs("tensors"),
		TensorRanges:  f.ranges("tensor_ranges", "a map from a glob on tensor names to their min and max"),
		Metrics:       f.ranges("metrics", "a map from the name of a metric to its min and max"),
		BytesPerRound: f.bytes("bytes_per_round"),
		BytesPerRun:   f.bytes("bytes_per_run"),
		Filters:       f.filters(),
	}
	if e.BytesPerRound > e.BytesPerRun && e.BytesPerRun > 0 {
		n := f.node.Lookup("bytes_per_run")
		finding := n.finding("out-of-range", Child(f.path, "bytes_per_run"), "a run may send less than one of its rounds")
		finding.Found, finding.Allowed = n.Describe(), fmt.Sprintf("at least %d, which is bytes_per_round", e.BytesPerRound)
		f.add(finding)
	}
	return e
}

// bytes reads a number of bytes; 0 if there is none.
func (f *fields) bytes(key string) int64 {
	n := f.take(key)
	switch {
	case n == nil:
	case n.Kind != KindInt:
		f.mistyped(n, key, "an integer, in bytes")
	case n.Int < 1:
		f.outOfRange(n, key, "from 1")
	default:
		return n.Int
	}
	return 0
}

// globs reads a list of names; nil if there is none.
func (f *fields) globs(key string) []string {
	n := f.take(key)
	if n == nil {
		return nil
	}
	if n.Kind != KindList {
		f.mistyped(n, key, "a list of globs, such as [\"encoder.*\"]")
		return nil
	}
	f.tooMany(n, key, len(n.Items), maxEgressNames)
	globs := []string{}
	for i, item := range n.Items {
		path := Index(Child(f.path, key), i)
		switch {
		case item.Kind != KindString:
			f.mistypedAt(item, path, "a string")
		case item.Text == "" || len(item.Text) > maxEgressName:
			f.nameLength(item, path)
		case slices.Contains(globs, item.Text):
			f.add(item.finding("duplicate-value", path, "the glob %q is in this list twice", shorten(item.Text)))
		default:
			globs = append(globs, item.Text)
		}
	}
	return globs
}

// ranges reads a map from names to ranges; nil if there is none.
func (f *fields) ranges(key, allowed string) []Range {
	n := f.take(key)
	if n == nil {
		return nil
	}
	if n.Kind != KindMap {
		f.mistyped(n, key, allowed)
		return nil
	}
	f.tooMany(n, key, len(n.Pairs), maxEgressNames)
	ranges := []Range{}
	for _, p := range n.Pairs {
		m := Range{Name: p.Key.KeyText(), Min: math.Inf(-1), Max: math.Inf(1)}
		path := Child(Child(f.path, key), m.Name)
		switch {
		case p.Key.Kind != KindString:
			f.mistypedAt(p.Key, path, "a string")
			continue
		case m.Name == "" || len(m.Name) > maxEgressName:
			f.nameLength(p.Key, path)
			continue
		case p.Value.Kind == KindNull:
		case p.Value.Kind != KindMap:
			f.mistypedAt(p.Value, path, "a map with min and max, or {} for any value")
			continue
		default:
			r := newFields(p.Value, p.Key, path, f.out)
			m.Min, m.Max = r.end("min", m.Min), r.end("max", m.Max)
			r.done()
			if m.Min > m.Max {
				finding := p.Value.finding("out-of-range", r.path, "min is above max: no value could leave")
				finding.Found = fmt.Sprintf("min %v and max %v", m.Min, m.Max)
				f.add(finding)
			}
		}
		ranges = append(ranges, m)
	}
	return ranges
}

// end reads one end of a range.
func (f *fields) end(key string, open float64) float64 {
	n := f.take(key)
	if n == nil {
		return open
	}
	v, ok := n.number()
	if !ok {
		f.mistyped(n, key, "a number")
		return open
	}
	return v
}

// filters reads egress.filters: their names and settings, which the table of
// filters judges.
func (f *fields) filters() []EgressFilter {
	n := f.take("filters")
	if n == nil {
		return nil
	}
	if n.Kind != KindList {
		f.mistyped(n, "filters", "a list of filters, such as [{name: clip, norm: 1.0}]")
		return nil
	}
	f.tooMany(n, "filters", len(n.Items), maxEgressFilters)
	var filters []EgressFilter
	for i, item := range n.Items {
		path := Index(Child(f.path, "filters"), i)
		if item.Kind != KindMap {
			f.mistypedAt(item, path, "a map with the name of a filter and its settings")
			continue
		}
		s := newFields(item, item, path, f.out)
		s.textKeys()
		filter := EgressFilter{Name: s.text("name", true), Settings: item.Any().(map[string]any)}
		delete(filter.Settings, "name")
		filters = append(filters, filter)
	}
	return filters
}

// mistypedAt is mistyped for a path below a key of the map.
func (f *fields) mistypedAt(n *Node, path, allowed string) {
	finding := n.finding("type", path, "wrong type")
	finding.Found, finding.Allowed, finding.Hint = n.Describe(), allowed, YAMLHint(n, allowed)
	f.add(finding)
}

func (f *fields) tooMany(n *Node, key string, found, allowed int) {
	if found > allowed {
		finding := n.finding("out-of-range", Child(f.path, key), "there are too many entries")
		finding.Found, finding.Allowed = itoa(found), "at most "+itoa(allowed)
		f.add(finding)
	}
}

func (f *fields) nameLength(n *Node, path string) {
	finding := n.finding("empty-value", path, "a name is empty or too long")
	finding.Found, finding.Allowed = n.Describe(), fmt.Sprintf("1 to %d bytes", maxEgressName)
	f.add(finding)
}
