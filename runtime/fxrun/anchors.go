package main

import (
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
)

// anchors judges every request by the chain and the revocation lists that lie
// in the certificate folder at that moment, so that a revocation takes effect
// with the next request and without a restart.
type anchors struct {
	chain, crl string
	log        *slog.Logger

	mu      sync.Mutex
	current *trust.Anchors
	stamp   [2]stamp
}

// stamp tells one content of a file from the next; files here are replaced,
// never written in place.
type stamp struct {
	modified time.Time
	size     int64
}

func newAnchors(certDir string, current *trust.Anchors, log *slog.Logger) *anchors {
	a := &anchors{
		chain: filepath.Join(certDir, identity.ChainFile), crl: filepath.Join(certDir, identity.CRLFile),
		log: log, current: current,
	}
	a.stamp = a.stamps()
	return a
}

// verify is the verdict on one peer for one request. Files that have become
// unreadable are reported, and the last good ones stay in force.
func (a *anchors) verify(chain []*x509.Certificate, at time.Time) (identity.Identity, error) {
	a.mu.Lock()
	if now := a.stamps(); now != a.stamp {
		a.stamp = now
		if fresh, err := trust.Load(a.chain, a.crl); err != nil {
			a.log.Error("cannot reload the trust anchors; the previous ones stay in force", "error", err.Error())
		} else {
			a.current = fresh
			a.log.Info("trust anchors reloaded")
		}
	}
	current := a.current
	a.mu.Unlock()
	return current.Verify(chain, identity.Collaborator, at)
}

func (a *anchors) stamps() [2]stamp {
	return [2]stamp{stampOf(a.chain), stampOf(a.crl)}
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{} // absent, as a revocation list may be
	}
	return stamp{info.ModTime(), info.Size()}
}
