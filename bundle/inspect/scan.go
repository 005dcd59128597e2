package inspect

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"fx/bundle"
	"fx/bundle/inspect/content"
	"fx/bundle/inspect/finding"
)

// Dependency is a package that a file of the bundle asks for.
type Dependency struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // the specifier, such as "==1.2"
	Pinned  bool   `json:"pinned"`
	Hashed  bool   `json:"hashed"`
	From    string `json:"from,omitempty"` // a URL past the index
	File    string `json:"file"`
	Line    int    `json:"line"`
}

// Coverage says what was analysed. What was not is also a finding.
type Coverage struct {
	Files       int            `json:"files"`
	Bytes       int64          `json:"bytes"`
	Analysed    int            `json:"analysed_files"`
	Members     int            `json:"archive_members"` // looked at inside files
	Types       map[string]int `json:"types"`           // files by type
	NotAnalysed []NotAnalysed  `json:"not_analysed"`    // wholly or in part
}

// NotAnalysed is a file about which something is not known.
type NotAnalysed struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

// maxMatch bounds a file in which a task's function is looked for.
const maxMatch = 1 << 20

// scan looks at every file by its content, several side by side. progress, which
// may be nil, is told the bytes of each file that is done.
func (f *Facts) scan(ctx context.Context, c *bundle.Checked, progress func(int64)) error {
	f.Dependencies, f.Imports = []Dependency{}, []string{}
	f.Coverage = Coverage{Types: map[string]int{}, NotAnalysed: []NotAnalysed{}}
	results, err := f.scanFiles(ctx, c, progress)
	if err != nil {
		return err
	}
	var found []finding.Finding
	imports := map[string]bool{}
	for i, r := range results {
		file := &f.Files[i]
		file.Type, file.Entropy, file.Details, file.Licence = r.Type, r.Entropy, r.Details, r.Licence
		file.Analysed, file.Reason = r.Analysed, finding.Clean(r.Reason)
		f.Coverage.add(file, r.Members)
		found = append(found, r.Findings...)
		for _, d := range r.Dependencies {
			f.Dependencies = append(f.Dependencies, Dependency{d.Name, d.Version, d.Pinned, d.Hashed, d.From, file.Path, d.Line})
		}
		for _, m := range r.Imports {
			imports[finding.Clean(m)] = true
		}
	}
	f.Findings = finding.Seal(found)
	f.Counts = finding.Count(f.Findings)
	f.Imports = append(f.Imports, slices.Sorted(maps.Keys(imports))...)
	return nil
}

// maxScanners bounds the files that are looked at side by side; each may hold a
// few of them, and two frames, in memory.
const maxScanners = 4

// scanFiles returns what is known of each file, in their order. The error is
// that of the first file that has one.
func (f *Facts) scanFiles(ctx context.Context, c *bundle.Checked, progress func(int64)) ([]*content.File, error) {
	results, errs := make([]*content.File, len(f.Files)), make([]error, len(f.Files))
	var next atomic.Int64
	var running sync.WaitGroup
	scanner := func() {
		// Neighbours share a frame: a worker takes several, and keeps a frame of its own.
		tree := c.NewWorkspace()
		for {
			from := int(next.Add(scanTogether)) - scanTogether
			if from >= len(f.Files) {
				return
			}
			for i := from; i < min(from+scanTogether, len(f.Files)); i++ {
				if errs[i] = ctx.Err(); errs[i] == nil {
					results[i], errs[i] = scanFile(tree, f.Files[i].Path, f.Files[i].Size)
				}
				if errs[i] != nil {
					return
				}
				if progress != nil {
					progress(f.Files[i].Size)
				}
			}
		}
	}
	for range min(maxScanners, runtime.GOMAXPROCS(0)) {
		running.Go(scanner)
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

const scanTogether = 32 // files

func scanFile(tree fs.FS, name string, size int64) (*content.File, error) {
	file, err := tree.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q of the bundle: %w", name, err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	r, ok := file.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("cannot read %q of the bundle: it allows no random access", name)
	}
	return content.Scan(name, size, r)
}

func (c *Coverage) add(f *File, members int) {
	c.Files++
	c.Bytes += f.Size
	c.Members += members
	c.Types[f.Type]++
	if f.Analysed {
		c.Analysed++
	}
	if f.Reason != "" {
		c.NotAnalysed = append(c.NotAnalysed, NotAnalysed{f.Path, f.Size, f.Reason})
	}
}

// locate finds the functions of tasks in the Python files of the bundle: in the
// class of the task runner, as far as its own file shows.
func locate(tree fs.FS, p *Plan) {
	dot := strings.LastIndexByte(p.TaskRunner, '.')
	if p.Kind != kindPython || dot < 0 {
		return
	}
	name := strings.ReplaceAll(p.TaskRunner[:dot], ".", "/") + ".py"
	info, err := fs.Stat(tree, name)
	if err != nil || info.Size() > maxMatch {
		return
	}
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return
	}
	class := regexp.MustCompile(`^class\s+` + regexp.QuoteMeta(p.TaskRunner[dot+1:]) + `\b`)
	inside := false
	lines := map[string]int{}
	def := regexp.MustCompile(`^\s+(?:async\s+)?def\s+(\w+)\s*\(`)
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case class.MatchString(line):
			inside = true
		case line != "" && !strings.ContainsAny(line[:1], " \t#)\r"):
			inside = false
		}
		if m := def.FindStringSubmatch(line); inside && m != nil {
			lines[m[1]] = i + 1
		}
	}
	for i := range p.Tasks {
		if line := lines[p.Tasks[i].Function]; line > 0 {
			p.Tasks[i].File, p.Tasks[i].Line = name, line
		}
	}
}

func (t Task) where() string {
	if t.File == "" {
		return "-"
	}
	return fmt.Sprintf("%s:%d", t.File, t.Line)
}

// howOften says in a sentence when a site talks to the aggregator.
func (p *Plan) howOften() string {
	return fmt.Sprintf("with nothing to do a site asks again every %d s, or as its --poll-interval says; results go out once a task, in %d rounds", pollSeconds, p.Rounds)
}

// pollSeconds is how long OpenFL's aggregator, and ours, tells a site to wait.
const pollSeconds = 10

// All lists the findings of contents and, as findings too, the notes of names,
// modes and plan.
func (f *Facts) All() []finding.Finding {
	list := slices.Clone(f.Findings)
	for _, n := range f.Notes {
		list = append(list, finding.Finding{
			Rule: n.Rule, Severity: noteSeverity(n.Rule), Path: finding.Clean(n.Path), Message: finding.Clean(n.Message),
		})
	}
	return finding.Seal(list)
}

func noteSeverity(rule string) finding.Severity {
	switch rule {
	case "plan", "no-tls", "egress-refused":
		return finding.High
	case "compiled", "bundled-code", "left-over", "leading-hyphen", "non-ascii-path":
		return finding.Medium
	}
	return finding.Low
}
