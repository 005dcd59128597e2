package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

// maxBatch bounds the requests of one folder.
const maxBatch = 20_000

func batchAction(c *cli.Context, dir string) (ui.Result, error) {
	if err := ui.Require(c, "roster"); err != nil {
		return nil, err
	}
	for _, flag := range []string{"role", "name", "fingerprint", "openfl-zip"} {
		if c.IsSet(flag) {
			return nil, ui.Usagef("--%s is for one request; the roster says it for each", flag)
		}
	}
	o := batchOptions{
		console: ui.From(c), requests: dir, roster: c.String("roster"), dir: c.String("ca"), output: c.String("output"),
		passphraseFile: c.String("passphrase-file"), sign: signOptions(c),
	}
	var err error
	if o.approvals, err = approvalsByRequest(o.console, c.StringSlice("approval")); err != nil {
		return nil, err
	}
	if c.IsSet("days") && o.sign.Days < 1 {
		return nil, ui.Usagef("--days is at least 1; found %d", o.sign.Days)
	}
	if o.output == "" {
		o.output = dir
	}
	r, err := runBatch(c.Context, o)
	if r == nil {
		return nil, err
	}
	return r, err
}

type batchOptions struct {
	console        *ui.Console
	requests       string
	roster         string
	dir            string
	output         string
	passphraseFile string
	sign           issuer.Options
	approvals      map[string][]fileOfApproval // by the request's fingerprint
}

// batchRow is what became of one request, or of one line of the roster.
type batchRow struct {
	File     string          `json:"file,omitempty"`
	Name     string          `json:"name"`
	Role     string          `json:"role,omitempty"`
	Status   string          `json:"status"` // signed, answered, refused, failed, missing
	Serial   string          `json:"serial,omitempty"`
	NotAfter time.Time       `json:"not_after,omitzero"`
	Answer   string          `json:"answer,omitempty"`
	Ignored  []string        `json:"ignored,omitempty"`
	Refusals issuer.Refusals `json:"refusals,omitempty"`
	Error    string          `json:"error,omitempty"`

	untrusted bool
	issued    *issuer.Issued
}

type caSignBatchResult struct {
	Requests []batchRow `json:"requests"`
	Signed   int        `json:"signed"`
	Answered int        `json:"answered"` // signed before, by this very request; the answer was written again
	Refused  int        `json:"refused"`
	Failed   int        `json:"failed"`
	Missing  int        `json:"missing"` // in the roster, without a request
}

// Statuses of a row.
const (
	rowSigned   = "signed"
	rowAnswered = "answered"
	rowRefused  = "refused"
	rowFailed   = "failed"
	rowMissing  = "missing"
)

func runBatch(ctx context.Context, o batchOptions) (*caSignBatchResult, error) {
	data, err := readInput(o.console, o.roster, issuer.MaxRoster)
	if err != nil {
		return nil, err
	}
	roster, err := issuer.ParseRoster(o.roster, data)
	if err != nil {
		return nil, fmt.Errorf("cannot use roster %q: %w", o.roster, err)
	}
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return nil, fmt.Errorf("cannot write the answers: %v", err)
	}
	b := &batch{o: o, ca: ca}
	if err := b.read(roster); err != nil {
		return nil, err
	}
	if len(b.jobs) > 0 {
		if err := b.unlock(ctx); err != nil {
			return nil, err
		}
		p := o.console.Progress("signing", int64(len(b.jobs)))
		err = ca.SignAll(ctx, b.jobs, func(done []issuer.Outcome) error {
			p.Add(int64(len(done)))
			return b.handOut(done)
		})
		p.Close()
	}
	r := b.result(roster)
	if err != nil {
		return r, fmt.Errorf("cannot sign all of %q: %w", o.requests, err)
	}
	return r, r.verdict(o.requests)
}

// batch is one run over a folder.
type batch struct {
	o    batchOptions
	ca   *issuer.CA
	rows []batchRow
	jobs []issuer.Job
	row  []int // of each job
}

// read judges every file of the folder that can be a request and finds its line
// in the roster.
func (b *batch) read(roster []issuer.Expected) error {
	entries, err := os.ReadDir(b.o.requests)
	if err != nil {
		return fmt.Errorf("cannot read the requests: %v", err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		return e.IsDir() || ext != ".csr" && ext != ".zip"
	})
	if len(entries) == 0 || len(entries) > maxBatch {
		return identity.Invalidf("cannot sign %q: it has %d files .csr and .zip; 1 to %d are allowed", b.o.requests, len(entries), maxBatch)
	}
	index := issuer.ByFingerprint(roster)
	answered, err := b.ca.Answers()
	if err != nil {
		return err
	}
	seen, present := map[string]string{}, map[string]bool{}
	var before []int // rows that were answered before
	for _, e := range entries {
		row := batchRow{File: e.Name()}
		req, expected, err := b.readOne(filepath.Join(b.o.requests, e.Name()), index)
		if req != nil {
			row.Name, row.Role, present[req.Fingerprint] = req.CSR.Subject.CommonName, expected.Role, true
		}
		if err == nil && seen[req.Fingerprint] != "" {
			err = issuer.Refusals{{ID: "csr-repeated", Message: fmt.Sprintf("it is the same request as %q", seen[req.Fingerprint])}}
		}
		if err != nil {
			row.refuse(err)
			b.rows = append(b.rows, row)
			continue
		}
		seen[req.Fingerprint] = e.Name()
		issued := answered(req)
		if issued != nil && !b.o.sign.Replace && string(issued.Record.Role) == expected.Role && issued.Record.Name == expected.Name {
			row.Status, row.issued = rowAnswered, issued
			before = append(before, len(b.rows))
			b.rows = append(b.rows, row)
			continue
		}
		if _, err := os.Lstat(b.answer(e.Name())); err == nil && !b.o.sign.Replace {
			row.refuse(fmt.Errorf("%q exists already; -o names another folder", b.answer(e.Name())))
			b.rows = append(b.rows, row)
			continue
		}
		options := b.o.sign
		options.Fingerprint = req.Fingerprint // compared: it is how the line was found
		options.Approvals = b.approvalsOf(req)
		b.jobs = append(b.jobs, issuer.Job{
			Request: req, Approved: identity.Identity{Role: identity.Role(expected.Role), Name: expected.Name}, Options: options,
		})
		b.row = append(b.row, len(b.rows))
		b.rows = append(b.rows, row)
	}
	if err := b.checkApprovals(present); err != nil {
		return err
	}
	for rows := range slices.Chunk(before, 256) { // not all of the answers are in memory at once
		if err := b.write(rows); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) readOne(path string, index map[string]issuer.Expected) (*issuer.Request, issuer.Expected, error) {
	data, err := identity.ReadFile(path, maxRequestFile)
	if err != nil {
		return nil, issuer.Expected{}, err
	}
	req, err := issuer.ParseRequest(data)
	if err != nil {
		return nil, issuer.Expected{}, err
	}
	e, err := issuer.Match(index, req)
	return req, e, err
}

// unlock opens the keys of the CAs that the batch needs, with one passphrase.
func (b *batch) unlock(ctx context.Context) error {
	var pass []byte
	asked := false
	for _, k := range []issuer.Kind{issuer.Network, issuer.Signing} {
		if !slices.ContainsFunc(b.jobs, func(j issuer.Job) bool { return issuer.KindFor(j.Approved.Role) == k }) {
			continue
		}
		locked, err := b.ca.Locked(k)
		if err == nil && locked && !asked {
			pass, err = passphrase(ctx, b.o.console, b.o.passphraseFile)
			asked = true
		}
		if err == nil {
			err = b.ca.Unlock(k, pass)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handOut writes the answers of certificates that are recorded.
func (b *batch) handOut(done []issuer.Outcome) error {
	var rows []int
	for _, d := range done {
		i := b.row[d.Job]
		row := &b.rows[i]
		if d.Proposal != nil {
			row.Ignored = d.Proposal.Ignored
		}
		if d.Err != nil {
			row.refuse(d.Err)
			continue
		}
		row.Status, row.issued = rowSigned, d.Issued
		rows = append(rows, i)
	}
	return b.write(rows)
}

func (r *batchRow) refuse(err error) {
	r.untrusted = errors.Is(err, identity.ErrUntrusted)
	if no, ok := errors.AsType[issuer.Refusals](err); ok {
		r.Status, r.Refusals = rowRefused, no
		return
	}
	r.Status, r.Error = rowFailed, err.Error()
}

// result counts, and adds who is expected and has sent nothing.
func (b *batch) result(roster []issuer.Expected) *caSignBatchResult {
	r := &caSignBatchResult{Requests: b.rows}
	came := map[string]bool{}
	for i := range r.Requests {
		row := &r.Requests[i]
		if row.Role != "" {
			came[row.Role+" "+row.Name] = true
		}
		switch row.Status {
		case rowSigned:
			r.Signed++
		case rowAnswered:
			r.Answered++
		case rowRefused:
			r.Refused++
		default:
			r.Failed++
			if row.Status == "" { // the batch ended before it
				row.Status, row.Error = rowFailed, "not reached"
			}
		}
	}
	for _, e := range roster {
		if !came[e.Role+" "+e.Name] {
			r.Requests = append(r.Requests, batchRow{Name: e.Name, Role: e.Role, Status: rowMissing})
			r.Missing++
		}
	}
	return r
}

// verdict is an error if anything was not signed. That somebody has sent no
// request is none.
func (r *caSignBatchResult) verdict(dir string) error {
	if r.Refused+r.Failed == 0 {
		return nil
	}
	text := fmt.Sprintf("cannot sign all of %q: %d of %d requests were refused", dir, r.Refused+r.Failed, r.Signed+r.Answered+r.Refused+r.Failed)
	switch {
	case slices.ContainsFunc(r.Requests, func(row batchRow) bool { return row.untrusted }):
		return identity.Untrustedf("%s", text)
	case r.Failed > 0:
		return errors.New(text)
	}
	return identity.Invalidf("%s", text)
}

// Text is the result for people: what needs attention in full, then the count.
func (r *caSignBatchResult) Text(w io.Writer) error {
	var rows [][]string
	for _, q := range r.Requests {
		what := ""
		switch {
		case len(q.Refusals) > 0:
			var why []string
			for _, x := range q.Refusals {
				why = append(why, x.Message+" ("+x.ID+")")
			}
			what = strings.Join(why, "; ")
		case q.Error != "":
			what = q.Error
		case q.Answer != "":
			what = q.Answer
			if len(q.Ignored) > 0 {
				what += " (not issued though asked for: " + strings.Join(q.Ignored, "; ") + ")"
			}
		}
		rows = append(rows, []string{q.Status, q.Role, q.Name, q.File, what})
	}
	if err := ui.Table(w, []string{"STATUS", "ROLE", "NAME", "REQUEST", "ANSWER OR REASON"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d signed, %d answered before, %d refused, %d failed, %d missing\n", r.Signed, r.Answered, r.Refused, r.Failed, r.Missing)
	return err
}
