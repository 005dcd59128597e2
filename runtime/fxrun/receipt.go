package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"fx/bundle/approval"
	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
	"fx/runtime/journal"
	"fx/runtime/receipt"
	"fx/runtime/tensor"
)

// receiptName is the receipt of a complete federation, below the state folder; those
// after each round are in receiptFolder.
const (
	receiptName   = "receipt.json"
	receiptFolder = "receipts"
)

// receipts signs what the aggregator has done.
type receipts struct {
	dir        string
	everyRound bool
	config     trust.Config
	facts      receipt.Facts
	journal    *journal.Journal
	log        *slog.Logger
}

// newReceipts makes sure, before any work is done, that the aggregator's key can
// sign.
func newReceipts(p *participant, config trust.Config, j *journal.Journal, dir, group string, everyRound bool, log *slog.Logger) (*receipts, error) {
	r := &receipts{
		dir: dir, everyRound: everyRound, config: config, journal: j, log: log,
		facts: receipt.Facts{Bundle: p.verified, Signatures: p.sidecar.Digests(), Plan: p.Plan, TaskGroup: group},
	}
	key, leaf, err := r.signer()
	if err == nil {
		_, err = approval.Seal(key, leaf, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign receipts: %w", err)
	}
	return r, nil
}

// signer reads the aggregator's key and certificate, which may have been renewed.
func (r *receipts) signer() (crypto.Signer, *x509.Certificate, error) {
	crt, file, _ := identity.Files(r.config.CertDir, identity.Aggregator, strings.ToLower(r.config.Name))
	certs, err := identity.ReadCertificates(crt)
	if err != nil {
		return nil, nil, err
	}
	key, err := identity.ReadKey(file)
	return key, certs[0], err
}

// closed is what the aggregator calls after each round and at the end.
func (r *receipts) closed(first, next int, complete bool) error {
	path := r.path()
	if !complete {
		if !r.everyRound {
			return nil
		}
		path = filepath.Join(r.dir, receiptFolder, fmt.Sprintf("%06d.json", next-1))
	}
	if err := r.write(path, receipt.Span{First: first, Next: next, Complete: complete}); err != nil {
		return fmt.Errorf("cannot write receipt %q: %w", path, err)
	}
	return nil
}

func (r *receipts) path() string { return filepath.Join(r.dir, receiptName) }

// write signs and writes a receipt, unless there is one that says the same.
func (r *receipts) write(path string, span receipt.Span) error {
	key, leaf, err := r.signer()
	if err != nil {
		return err
	}
	r.facts.Leaf = leaf
	built, err := receipt.Build(r.journal, r.facts, span)
	if err != nil {
		return err
	}
	r.facts.InitialModel = built.InitialModel // does not change, and may be large
	signed, err := built.Sign(key, leaf)
	if err != nil {
		return err
	}
	if there, err := identity.ReadFile(path, receipt.MaxBytes); err == nil && sameStatement(there, signed) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	err = tensor.WriteFile(path, true, func(w io.Writer) error {
		_, err := w.Write(signed)
		return err
	})
	if err == nil {
		r.log.Info("receipt written", "file", path, "rounds", len(built.Rounds), "complete", span.Complete)
	}
	return err
}

// sameStatement tells whether two receipts say the same by the same certificate.
// Their signatures differ: each has its own random number.
func sameStatement(a, b []byte) bool {
	first, err1 := receipt.Parse(a)
	second, err2 := receipt.Parse(b)
	return errors.Join(err1, err2) == nil && bytes.Equal(first.Payload, second.Payload) && first.Leaf.Equal(second.Leaf) && first.Verify() == nil
}

// keepRounds reads --keep-rounds: a number, or all.
func keepRounds(text string, plan int) (int, error) {
	if text == "" {
		return 0, nil
	}
	if text == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 1:
		return 0, ui.Usagef("--keep-rounds is %q; it is a number of rounds, or all", text)
	case plan < 0 || n < plan:
		return 0, ui.Usagef("--keep-rounds is %d; the plan's db_store_rounds keeps %s", n, map[bool]string{true: "all", false: strconv.Itoa(plan)}[plan < 0])
	}
	return n, nil
}
