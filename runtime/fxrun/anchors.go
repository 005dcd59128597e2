package main

import (
	"crypto/x509"
	"fmt"
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
	openFL     bool // certificates made by OpenFL are accepted
	log        *slog.Logger

	mu      sync.Mutex
	current *trust.Anchors
	stamp   [2]stamp
	revoked bool // there was a revocation list
}

// stamp tells one content of a file from the next; files here are replaced,
// never written in place.
type stamp struct {
	modified time.Time
	size     int64
}

func newAnchors(config trust.Config, current *trust.Anchors, log *slog.Logger) *anchors {
	a := &anchors{
		chain: filepath.Join(config.CertDir, identity.ChainFile), crl: filepath.Join(config.CertDir, identity.CRLFile),
		openFL: config.OpenFLCompat,
		log:    log, current: current,
	}
	a.stamp = a.stamps()
	a.revoked = a.stamp[1] != stamp{}
	return a
}

// verify is the verdict on one peer for one request. Files that have become
// unreadable, and a revocation list that has gone, are reported, and the last
// good ones stay in force.
func (a *anchors) verify(chain []*x509.Certificate, at time.Time) (identity.Identity, error) {
	a.mu.Lock()
	if now := a.stamps(); now != a.stamp {
		a.stamp = now
		fresh, err := trust.Load(a.chain, a.crl)
		gone := now[1] == stamp{}
		if err == nil && gone && a.revoked {
			err = fmt.Errorf("%q has gone", a.crl)
		}
		a.revoked = a.revoked || !gone
		if err != nil {
			a.log.Error("cannot reload the trust anchors; the previous ones stay in force", "error", err.Error())
		} else {
			if a.openFL {
				fresh = fresh.WithOpenFL()
			}
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
