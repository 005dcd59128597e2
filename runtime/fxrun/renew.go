package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/runtime/transport"
)

// renewal is what a participant proves itself with and whom it trusts, made
// anew when a file that it comes from is replaced, so that a renewed certificate
// and a new revocation list count from the next connection on.
type renewal struct {
	config trust.Config
	host   string // of the aggregator
	log    *slog.Logger

	mu      sync.Mutex
	current transport.Credentials
	files   [4]string // certificate, key, chain, revocation lists
	stamps  [4]stamp
	revoked bool           // there was a file of revocation lists
	anchors *trust.Anchors // an aggregator's, as last read
}

// newRenewal reads the certificate folder for the first time; nothing works
// without what is in it.
func newRenewal(config trust.Config, host string, log *slog.Logger) (*renewal, error) {
	crt, key, _ := identity.Files(config.CertDir, config.Role, strings.ToLower(config.Name))
	r := &renewal{config: config, host: host, log: log, files: [4]string{
		crt, key, filepath.Join(config.CertDir, identity.ChainFile), filepath.Join(config.CertDir, identity.CRLFile),
	}}
	r.stamps = r.look()
	r.revoked = r.stamps[3] != stamp{}
	var err error
	r.current, err = r.load()
	return r, err
}

// get gives what is in force now. What cannot be used is reported once, and the
// previous certificates stay in force: files are replaced one after the other.
func (r *renewal) get() transport.Credentials {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.look()
	if now == r.stamps {
		return r.current
	}
	r.stamps = now
	fresh, err := r.load()
	gone := now[3] == stamp{}
	if err == nil && gone && r.revoked {
		err = fmt.Errorf("%q has gone", r.files[3])
	}
	r.revoked = r.revoked || !gone
	if err != nil {
		r.log.Error("cannot use the changed certificates; the previous ones stay in force", "error", err.Error())
		return r.current
	}
	r.current = fresh
	r.log.Info("certificates reloaded", "file", r.files[0], "serial", fmt.Sprintf("%x", fresh.Own.SerialNumber),
		"not_after", fresh.Own.NotAfter.UTC().Format(time.RFC3339))
	return r.current
}

// tls is a server's configuration that asks for what is in force now.
func (r *renewal) tls() *tls.Config {
	t := r.get().TLS.Clone()
	t.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.get().TLS, nil }
	return t
}

func (r *renewal) load() (transport.Credentials, error) {
	if r.config.Role == identity.Aggregator {
		t, anchors, err := trust.ServerTLS(r.config)
		if err != nil {
			return transport.Credentials{}, err
		}
		r.anchors = anchors
		return transport.Credentials{TLS: t, Own: t.Certificates[0].Leaf}, nil
	}
	t, anchors, err := trust.ClientTLS(r.config, r.host)
	if err != nil {
		return transport.Credentials{}, err
	}
	pair, err := t.GetClientCertificate(nil)
	if err != nil {
		return transport.Credentials{}, err
	}
	if pair.Leaf == nil {
		return transport.Credentials{}, errors.New("there is no certificate of this collaborator's")
	}
	return transport.Credentials{TLS: t, Own: pair.Leaf, Check: func(at time.Time) error {
		_, err := anchors.Verify([]*x509.Certificate{pair.Leaf}, r.config.Role, at)
		return err
	}}, nil
}

func (r *renewal) look() (s [4]stamp) {
	for i, file := range r.files {
		s[i] = stampOf(file)
	}
	return s
}
