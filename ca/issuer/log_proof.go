package issuer

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"fx/ca/identity"
	"fx/ca/merklelog"
	"fx/schema"
)

// MaxProof is the size of a proof that is read, in bytes.
const MaxProof = 1 << 20

// Proof shows, to somebody who has nothing but the federation's root, that a
// certificate is in the CA's log: the file that `fxctl ca log prove` writes.
type Proof struct {
	Format     string   `json:"format"`     // "fx-log-proof/1"
	Index      int64    `json:"index"`      // of the record
	Record     []byte   `json:"record"`     // its bytes, base64
	Hashes     [][]byte `json:"hashes"`     // from the record to the root of the tree, base64
	Checkpoint string   `json:"checkpoint"` // a signed note
	Signer     []byte   `json:"signer"`     // DER of the CA whose key signed the checkpoint, base64
}

const proofFormat = "fx-log-proof/1"

// Prove makes the proof that a certificate is in the log.
func (l *Log) Prove(c *x509.Certificate) (*Proof, error) {
	for i, r := range l.Records {
		if r.Kind != KindIssued || !bytes.Equal(r.Certificate, c.Raw) {
			continue
		}
		hashes, err := l.log.Prove(int64(i))
		if err != nil {
			return nil, err
		}
		p := &Proof{Format: proofFormat, Index: int64(i), Record: l.log.Records()[i], Checkpoint: string(l.Checkpoint().Note)}
		for _, h := range hashes {
			p.Hashes = append(p.Hashes, h[:])
		}
		for j, k := range l.keys {
			if l.Checkpoint().Verify(merklelog.Keys{k}) == nil {
				p.Signer = l.cas[j].Raw
			}
		}
		return p, nil
	}
	return nil, identity.Untrustedf("the certificate with serial %s is not in the log", serialHex(c))
}

// Encode writes what [ParseProof] reads.
func (p *Proof) Encode() ([]byte, error) { return encodeJSON(p) }

// ParseProof reads a proof; it is not judged.
func ParseProof(data []byte) (*Proof, error) {
	p := &Proof{}
	if err := schema.DecodeJSON("proof", data, MaxProof, p); err != nil {
		return nil, err
	}
	if p.Format != proofFormat {
		return nil, identity.Invalidf("its format is %q; this program knows %q", p.Format, proofFormat)
	}
	if len(p.Hashes) > 64 {
		return nil, identity.Invalidf("it has %d hashes; no log is that large", len(p.Hashes))
	}
	for _, h := range p.Hashes {
		if len(h) != tlog.HashSize {
			return nil, identity.Invalidf("one of its hashes has %d bytes, not %d", len(h), tlog.HashSize)
		}
	}
	return p, nil
}

// Verify judges a proof with nothing but the federation's roots: that the CA
// which signed the checkpoint is one of them or certified by one, and that the
// record of exactly this certificate is under the checkpoint. The error is
// [identity.ErrUntrusted] or [identity.ErrInvalid].
func (p *Proof) Verify(c *x509.Certificate, roots []*x509.Certificate) (*Record, error) {
	r, err := parseRecord(p.Record)
	if err != nil {
		return nil, fmt.Errorf("the record in the proof: %w", err)
	}
	if r.Kind != KindIssued || !bytes.Equal(r.Certificate, c.Raw) {
		return nil, identity.Untrustedf("the proof is about another certificate (%s)", r)
	}
	signer, err := x509.ParseCertificate(p.Signer)
	if err != nil {
		return nil, identity.Invalidf("the proof has no readable CA certificate: %v", err)
	}
	if !certifiedBy(signer, roots) {
		return nil, identity.Untrustedf("the checkpoint was signed by %q, which the federation's root has not certified", signer.Subject)
	}
	checkpoint, err := merklelog.ParseCheckpoint([]byte(p.Checkpoint))
	if err != nil {
		return nil, err
	}
	if want := Origin(r.Federation); checkpoint.Origin != want {
		return nil, identity.Untrustedf("the checkpoint is of the log %q, not %q", checkpoint.Origin, want)
	}
	var keys merklelog.Keys
	for _, k := range Kinds() {
		key, err := merklelog.NewKey(logKeyName(r.Federation, k), signer.PublicKey)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if err := checkpoint.Verify(keys); err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(p.Hashes))
	for i, h := range p.Hashes {
		copy(hashes[i][:], h)
	}
	return r, merklelog.CheckInclusion(p.Record, p.Index, hashes, checkpoint)
}

// certifiedBy reports whether c is a CA that is one of those trusted, or that a
// root among them has certified.
func certifiedBy(c *x509.Certificate, roots []*x509.Certificate) bool {
	for _, root := range roots {
		selfSigned := bytes.Equal(root.RawSubject, root.RawIssuer)
		if c.Equal(root) || c.IsCA && selfSigned && c.CheckSignatureFrom(root) == nil {
			return true
		}
	}
	return false
}
