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
	Metrics       []MetricRange
	BytesPerRound int64 // of payload, from one site; 0 is no limit
	BytesPerRun   int64
	Filters       []EgressFilter // applied in this order before anything is sent
}

// MetricRange is what a metric may be, both ends included. In [Egress.Metrics]
// nil is every metric that the tasks list, of any finite value.
type MetricRange struct {
	Name     string
	Min, Max float64 // -Inf and +Inf where the plan leaves an end open
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
)

// egress reads the section, which may be absent. Its keys stand directly below
// it. settings is there in every merged section, and must be empty in this one.
func (d *decoder) egress() Egress {
	node := d.root.Lookup("egress")
	if node == nil || node.Kind != KindMap {
		return Egress{}
	}
	f := newFields(node, d.root.Key("egress"), "egress", d.out)
	if s := node.Lookup("settings"); s != nil && s.Kind == KindMap && len(s.Pairs) > 0 {
		key := s.Pairs[0].Key
		finding := key.finding("unknown-key", Child("egress.settings", key.KeyText()), "the section egress has no settings")
		finding.Found, finding.Hint = key.Describe(), "write the key directly below egress"
		f.add(finding)
	}
	e := Egress{
		Tensors:       f.globs("tensors"),
		Metrics:       f.ranges(),
		BytesPerRound: f.bytes("bytes_per_round"),
		BytesPerRun:   f.bytes("bytes_per_run"),
		Filters:       f.filters(),
	}
	if e.BytesPerRound > e.BytesPerRun && e.BytesPerRun > 0 {
		n := node.Lookup("bytes_per_run")
		finding := n.finding("out-of-range", "egress.bytes_per_run", "a run may send less than one of its rounds")
		finding.Found, finding.Allowed = n.Describe(), fmt.Sprintf("at least %d, which is bytes_per_round", e.BytesPerRound)
		f.add(finding)
	}
	f.known = append(f.known, "settings")
	f.done()
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

// ranges reads egress.metrics; nil if there is none.
func (f *fields) ranges() []MetricRange {
	n := f.take("metrics")
	if n == nil {
		return nil
	}
	if n.Kind != KindMap {
		f.mistyped(n, "metrics", "a map from the name of a metric to its min and max")
		return nil
	}
	f.tooMany(n, "metrics", len(n.Pairs), maxEgressNames)
	ranges := []MetricRange{}
	for _, p := range n.Pairs {
		m := MetricRange{Name: p.Key.KeyText(), Min: math.Inf(-1), Max: math.Inf(1)}
		path := Child(Child(f.path, "metrics"), m.Name)
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
