// Package inspect tells a reviewer what a bundle is: what runs, what leaves the
// site, to where, and every file. It executes nothing, and it works on bundles
// that nobody has approved.
package inspect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect/finding"
	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/schema"
)

// Report is everything that a reviewer is shown.
type Report struct {
	Facts
	FactsSHA256 string             `json:"facts_sha256"`      // what a review signs as reportSha256
	Decision    *approval.Decision `json:"decision"`          // of the policy in force, now
	Changes     *Diff              `json:"changes,omitempty"` // since the baseline, if there is one
}

// Facts are the part of a report that depends on the bundle alone.
type Facts struct {
	BundleID     string `json:"bundle_id"`
	Name         string `json:"name"`
	Version      string `json:"version"`
	TreeSHA256   string `json:"tree_sha256"`
	Encoder      string `json:"encoder"`
	FileBytes    int64  `json:"file_bytes"`
	ContentBytes int64  `json:"content_bytes"` // of all files inside
	Plan         *Plan  `json:"plan,omitempty"`
	PlanError    string `json:"plan_error,omitempty"` // why there is no plan to show
	Files        []File `json:"files"`
	Notes        []Note `json:"notes"`

	Findings     []finding.Finding        `json:"findings"`       // of contents, by path and line
	Counts       map[finding.Severity]int `json:"finding_counts"` // by severity
	Dependencies []Dependency             `json:"dependencies"`
	Imports      []string                 `json:"imports"` // Python packages that code names, sorted
	Coverage     Coverage                 `json:"coverage"`
}

// Plan is what the bundle's plan says, as the runtime understands it.
type Plan struct {
	File          string   `json:"file"`
	Hash          string   `json:"hash"`
	FederationID  string   `json:"federation_id"`
	Address       string   `json:"address"` // host:port of the aggregator
	Collaborators []string `json:"collaborators"`
	Rounds        int      `json:"rounds"`
	TLS           bool     `json:"tls"`
	ClientAuth    bool     `json:"client_auth"`
	NewConnection bool     `json:"new_connection_per_request"`
	TaskRunner    string   `json:"task_runner"`
	DataLoader    string   `json:"data_loader"`
	Kind          string   `json:"kind"`              // what does the tasks: "builtin", "python", "process" or "wasm"
	Command       []string `json:"command,omitempty"` // of the kinds process and wasm: program or module, and arguments
	BundledCode   bool     `json:"bundled_code"`      // code of the bundle runs at the sites, in the box
	Box           Box      `json:"box"`               // what it asks of the box
	Assigner      string   `json:"assigner"`
	Straggler     string   `json:"straggler_policy"`
	Pipeline      string   `json:"compression_pipeline"`
	Tasks         []Task   `json:"tasks"`
	Model         string   `json:"model"` // path of the initial model
	Tensors       []Tensor `json:"tensors"`
	TensorBytes   int64    `json:"tensor_bytes"` // of the model once

	Egress *egress.Forecast `json:"egress"` // what leaves a site, by the contract that its runtime enforces
}

// Box is the plan's section box: what task code asks of the box that it runs in.
// Zero values ask for nothing; the site's own limits hold in any case.
type Box struct {
	Level       string   `json:"level,omitempty"`
	Cgroup      bool     `json:"cgroup,omitempty"`
	Memory      int64    `json:"memory,omitempty"`
	Scratch     int64    `json:"scratch,omitempty"`
	Processes   int      `json:"processes,omitempty"`
	OpenFiles   int      `json:"open_files,omitempty"`
	CPUs        float64  `json:"cpus,omitempty"`
	TaskTimeout float64  `json:"task_timeout_seconds,omitempty"`
	Env         []string `json:"env,omitempty"` // NAME=VALUE, sorted
	Devices     []string `json:"devices,omitempty"`
}

// Task is one task of the plan.
type Task struct {
	Name        string   `json:"name"`
	Function    string   `json:"function"`
	Apply       string   `json:"apply"`          // "global" or "local"
	Aggregation string   `json:"aggregation"`    // template, or "weighted average"
	Metrics     []string `json:"metrics"`        // names of numbers that it reports
	File        string   `json:"file,omitempty"` // where the function is, if it is in this bundle
	Line        int      `json:"line,omitempty"`
}

// Tensor is one tensor of the initial model. Updates have the same names and
// shapes; nothing else may leave.
type Tensor struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
}

// File is one file of the bundle.
type File struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`

	Type     string   `json:"type"`              // by content
	Entropy  float64  `json:"entropy"`           // bits per byte
	Details  []string `json:"details,omitempty"` // facts, such as what machine code imports
	Licence  string   `json:"licence,omitempty"` // SPDX identifier
	Analysed bool     `json:"analysed"`
	Reason   string   `json:"reason,omitempty"` // why it, or what of it, was not
}

// Note is something that deserves a look.
type Note struct {
	Rule    string `json:"rule"` // stable id
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// New makes the report of a checked bundle. progress, which may be nil, is told
// the bytes of each file that was looked at, ContentBytes in all; it may be
// called by several goroutines.
func New(ctx context.Context, c *bundle.Checked, d *approval.Decision, progress func(bytes int64)) (*Report, error) {
	f := Facts{
		BundleID: c.ID().String(), Name: c.Name(), Version: c.Version(), TreeSHA256: c.TreeSHA256(),
		Encoder: c.Encoder(), FileBytes: c.Size(), Files: []File{}, Notes: []Note{},
	}
	for _, e := range c.Files() {
		f.ContentBytes += e.Size
		f.Files = append(f.Files, File{Path: e.Path, Mode: e.Mode(), Size: e.Size, SHA256: e.Digest()})
		f.Notes = append(f.Notes, notes(e)...)
	}
	if err := f.scan(ctx, c, progress); err != nil {
		return nil, err
	}
	federation, err := c.Federation("")
	if err == nil {
		f.Plan, err = plan(federation, c.Workspace())
	}
	if err != nil {
		f.PlanError = err.Error()
		f.Notes = append(f.Notes, Note{Rule: "plan", Message: "the runtime will refuse this bundle: its plan, roster or model cannot be used"})
	} else {
		f.Notes = append(f.Notes, f.Plan.notes()...)
	}
	sum, err := f.sum()
	if err != nil {
		return nil, err
	}
	return &Report{Facts: f, FactsSHA256: sum, Decision: d}, nil
}

// sum is the SHA-256 of the facts' JSON, which anyone with the same bundle can
// make again.
func (f *Facts) sum() (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(f); err != nil {
		return "", fmt.Errorf("cannot encode the report: %v", err)
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:]), nil
}

func plan(f *bundle.Federation, tree fs.FS) (*Plan, error) {
	r := f.Plan
	p := &Plan{
		File: bundle.PlanPath, Hash: r.Hash, FederationID: r.FederationID,
		Address:       net.JoinHostPort(r.Network.Host, strconv.Itoa(r.Network.Port)),
		Collaborators: append([]string{}, f.Roster...), Rounds: r.Aggregator.Rounds,
		TLS: r.Network.TLS, ClientAuth: r.Network.RequireClientAuth, NewConnection: r.Network.NewConnectionPerRequest,
		TaskRunner: r.TaskRunner.Template, DataLoader: r.DataLoader.Template,
		Assigner: r.Assigner.Template, Straggler: r.Straggler.Template, Pipeline: r.Compression.Template,
		Tasks: []Task{}, Model: path.Clean(r.Aggregator.InitStatePath), Tensors: []Tensor{},
	}
	p.Kind, p.Command = kind(r.TaskRunner)
	p.BundledCode = p.Kind != kindBuiltin
	p.Box = box(r.Box)
	for _, t := range r.Tasks {
		p.Tasks = append(p.Tasks, task(t))
	}
	locate(tree, p)
	infos, err := f.Model.Infos()
	if err != nil {
		return nil, err
	}
	for _, i := range infos {
		p.Tensors = append(p.Tensors, Tensor{Name: i.Name, DType: string(i.DType), Shape: append([]int{}, i.Shape...), Bytes: i.Bytes()})
		p.TensorBytes += i.Bytes()
	}
	round, err := tensor.Round(f.Model.Tensors)
	if err != nil {
		return nil, err
	}
	p.Egress, err = egress.NewForecast(r, infos, int(round), egress.UsesPyTorch(tree, p.TaskRunner))
	if err != nil {
		return nil, err
	}
	return p, nil
}

func task(t schema.Task) Task {
	out := Task{Name: t.Name, Function: t.Function, Apply: t.Apply(), Aggregation: t.Aggregation.Template, Metrics: append([]string{}, egress.Metrics(t)...)}
	if out.Aggregation == "" {
		out.Aggregation = "weighted average"
	}
	return out
}

// Kinds of task runner, as runtime/taskrunner has them.
const (
	kindBuiltin = "builtin"
	kindPython  = "python"
	kindProcess = "process"
	kindWasm    = "wasm"
)

// kind says what does the tasks of a task runner, and with which command line.
func kind(c schema.Component) (string, []string) {
	texts := func(key string) []string {
		var out []string
		list, _ := c.Settings[key].([]any)
		for _, item := range list {
			out = append(out, fmt.Sprint(item))
		}
		return out
	}
	switch {
	case strings.HasPrefix(c.Template, "fx.builtin."):
		return kindBuiltin, nil
	case strings.HasPrefix(c.Template, "fx.process."):
		return kindProcess, texts("command")
	case strings.HasPrefix(c.Template, "fx.wasm."):
		return kindWasm, append([]string{fmt.Sprint(c.Settings["module"])}, texts("args")...)
	}
	return kindPython, nil
}

func box(b schema.Box) Box {
	out := Box{
		Level: b.Level, Cgroup: b.Cgroup, Memory: b.Memory, Scratch: b.Scratch, Processes: b.Processes, OpenFiles: b.OpenFiles,
		CPUs: b.CPUs, TaskTimeout: b.TaskTimeout.Seconds(), Devices: b.Devices,
	}
	for _, name := range slices.Sorted(maps.Keys(b.Env)) {
		out.Env = append(out.Env, name+"="+b.Env[name])
	}
	return out
}

func (p *Plan) notes() []Note {
	var list []Note
	if p.BundledCode {
		list = append(list, Note{"bundled-code", "src/", "code of this bundle runs at your site, in a box: read src/"})
	}
	if !p.TLS || !p.ClientAuth {
		list = append(list, Note{"no-tls", p.File, "the plan switches off TLS or client authentication; the runtime refuses it"})
	}
	if p.refuses() {
		list = append(list, Note{"egress-refused", p.File, "tasks make tensors or metrics that the plan's section egress refuses: a site would stop there"})
	}
	return list
}

// refuses reports whether a task is expected to make what may not leave.
func (p *Plan) refuses() bool {
	for _, t := range p.Egress.Tasks {
		if slices.ContainsFunc(t.Metrics, func(m egress.MetricForecast) bool { return m.Fate == egress.FateRefused }) {
			return true
		}
		if t.SendsTensors && slices.ContainsFunc(p.Egress.Tensors, func(n egress.TensorForecast) bool { return n.Fate == egress.FateRefused }) {
			return true
		}
	}
	return false
}

// notes are what a file's name and mode give reason to look at.
func notes(f bundle.File) []Note {
	var list []Note
	add := func(rule, message string) { list = append(list, Note{rule, f.Path, message}) }
	for _, part := range strings.Split(f.Path, "/") {
		switch {
		case strings.HasPrefix(part, "-"):
			add("leading-hyphen", "the name looks like an option to command-line tools")
		case part == ".git" || part == "__pycache__":
			add("left-over", part+" does not belong into a workspace")
		case strings.HasPrefix(part, ".") && f.Path != ".workspace" && f.Path != ".fxignore":
			add("hidden", "the name is hidden in listings")
		}
	}
	if ext := strings.ToLower(path.Ext(f.Path)); ext == ".pyc" || ext == ".pyo" {
		add("compiled", "compiled code, which cannot be read in review")
	}
	if f.Executable {
		add("executable", "may be run as a program")
	}
	if strings.ContainsFunc(f.Path, func(r rune) bool { return r > 0x7e }) {
		add("non-ascii-path", "the name has letters that may look like others")
	}
	return list
}
