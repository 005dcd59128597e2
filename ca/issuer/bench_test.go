package issuer_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"runtime"
	"sync"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/issuer"
)

// One round is a batch of 1,000 requests, recorded durably. Beside it, in the
// same run, the rate of bare x509.CreateCertificate calls with the same keys on
// as many processors; "ratio" is ours against it.
func BenchmarkBatch(b *testing.B) {
	const n = 1000
	reqs := make([]*issuer.Request, n)
	for i := range reqs {
		reqs[i] = request(b, newKey(b, identity.P256), identity.Collaborator, fmt.Sprintf("site-%d", i))
	}
	caKey := newKey(b, identity.P256)
	self := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: start, NotAfter: start.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, self, self, caKey.Public(), caKey)
	if err != nil {
		b.Fatal(err)
	}
	parent, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	var ours, bare time.Duration
	for b.Loop() {
		ca, _ := newCA(b, nil)
		jobs := make([]issuer.Job, n)
		for i, r := range reqs {
			jobs[i] = issuer.Job{Request: r, Approved: identity.Identity{Role: identity.Collaborator}}
		}
		begin := time.Now()
		err := ca.SignAll(context.Background(), jobs, func(done []issuer.Outcome) error {
			for _, o := range done {
				if o.Err != nil {
					b.Fatal(o.Err)
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(begin)
		begin = time.Now()
		createAll(b, parent, reqs, caKey)
		bare += time.Since(begin)
	}
	b.ReportMetric(float64(n*b.N)/ours.Seconds(), "certs/s")
	b.ReportMetric(float64(n*b.N)/bare.Seconds(), "bare/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
}

// createAll signs with the standard library alone, on all processors.
func createAll(b *testing.B, parent *x509.Certificate, reqs []*issuer.Request, key any) {
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wait.Go(func() {
			for i := w; i < len(reqs); i += workers {
				t := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 2)), NotBefore: start, NotAfter: start.AddDate(1, 0, 0)}
				if _, err := x509.CreateCertificate(rand.Reader, t, parent, reqs[i].CSR.PublicKey, key); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
}
