package issuer

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"fx/ca/identity"
)

// Job is one request of a batch and how it is to be answered.
type Job struct {
	Request  *Request
	Approved identity.Identity
	Options  Options
}

// Outcome is what became of one job: Issued, or Err.
type Outcome struct {
	Job      int // index
	Proposal *Proposal
	Issued   *Issued
	Err      error // [Refusals], or that signing failed
}

// chunk is how many certificates are made durable together.
const chunk = 256

// SignAll is [CA.Sign] for many requests, under one lock and with one look at
// the records; requests for one name or with one key see each other. Whatever
// is wrong with one does not touch the others. handOut gets the outcomes of
// several jobs at a time, in order, once their records are durable. The error
// is about all of them: no lock, no records, handOut's own, ctx; what was
// handed out before it stands.
func (ca *CA) SignAll(ctx context.Context, jobs []Job, handOut func([]Outcome) error) error {
	unlock, err := ca.lock()
	if err != nil {
		return err
	}
	defer unlock()
	a, err := ca.openAccount()
	if err != nil {
		return err
	}
	answer, err := ca.answers(a)
	if err != nil {
		return err
	}
	for first := 0; first < len(jobs); first += chunk {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot sign: %w", err)
		}
		out := ca.signChunk(a, jobs[first:min(first+chunk, len(jobs))])
		var records []*Record
		for i := range out {
			out[i].Job += first
			if out[i].Err == nil {
				out[i].Issued.Answer = answer(out[i].Issued.Certificate)
				records = append(records, out[i].Issued.Record)
			}
		}
		if err := ca.appendRecords(records...); err != nil {
			return err
		}
		if err := handOut(out); err != nil {
			return err
		}
	}
	return nil
}

// lock makes this process the only one that changes the CA folder.
func (ca *CA) lock() (unlock func(), err error) {
	unlock, err = lockedfile.MutexAt(filepath.Join(ca.dir, lockFile)).Lock()
	if err != nil {
		return nil, fmt.Errorf("cannot lock CA %q: %v", ca.dir, err)
	}
	return unlock, nil
}

// signChunk judges all requests at once, then compares them with the records
// and each other one by one, then signs those that are left at once.
func (ca *CA) signChunk(a *account, jobs []Job) []Outcome {
	out := make([]Outcome, len(jobs))
	refusals := make([]Refusals, len(jobs))
	now := ca.now().UTC().Truncate(time.Second)
	parallel(len(jobs), func(i int) {
		j := jobs[i]
		out[i].Job = i
		out[i].Proposal, refusals[i] = ca.judge(j.Request, j.Approved, j.Options, now)
	})
	for i, j := range jobs {
		p := out[i].Proposal
		ca.judgeState(p, a, j.Request, j.Options, now, &refusals[i])
		if out[i].Err = refusals[i].err(); out[i].Err != nil {
			continue
		}
		var record *Record
		if record, out[i].Err = reserve(p, a, j.Request, now); out[i].Err == nil {
			out[i].Issued = &Issued{Record: record}
		}
	}
	parallel(len(jobs), func(i int) {
		if out[i].Err == nil {
			out[i].Err = ca.make(out[i].Proposal, out[i].Issued)
		}
		if out[i].Err != nil {
			out[i].Issued = nil
		}
	})
	return out
}

// reserve chooses the serial number and enters what will be issued into the
// account in memory, so that later requests of the batch are compared with it.
func reserve(p *Proposal, a *account, req *Request, now time.Time) (*Record, error) {
	var err error
	r := &Record{
		Format: recordFormat, Kind: KindIssued, Issuer: p.Issuer, Role: p.Identity.Role, Name: p.Identity.Name,
		Federation: p.Identity.Federation, Request: req.Fingerprint, Key: keyHash(req.CSR.RawSubjectPublicKeyInfo),
		NotBefore: p.NotBefore, NotAfter: p.NotAfter, IssuedAt: now, Replaces: p.Replaces,
	}
	for r.Serial == "" || a.bySerial[r.Serial] != nil {
		if p.serial, err = newSerial(rand.Reader); err != nil {
			return nil, err
		}
		r.Serial = serialHex(&x509.Certificate{SerialNumber: p.serial})
	}
	p.endorse(r)
	a.add(r)
	return r, nil
}

// make signs a proposal and checks what was signed.
func (ca *CA) make(p *Proposal, issued *Issued) error {
	key := ca.keys[p.Issuer]
	if key == nil {
		return fmt.Errorf("cannot sign: the key of the %s is locked", p.Issuer)
	}
	t, err := leafTemplate(p)
	if err != nil {
		return err
	}
	cert, err := certify(rand.Reader, t, ca.certs[p.Issuer], p.publicKey, key)
	if err != nil {
		return err
	}
	if err := ca.lintLeaf(cert, p); err != nil {
		return err
	}
	issued.Certificate, issued.Record.Certificate = cert, cert.Raw
	issued.Record.Generation = ca.State.generationOf(p.Issuer)
	return nil
}

// parallel calls f(0) to f(n-1) on all processors.
func parallel(n int, f func(i int)) {
	var wait sync.WaitGroup
	workers := min(n, runtime.GOMAXPROCS(0))
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wait.Wait()
}
