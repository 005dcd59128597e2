package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"time"
)

// limit moves a model to every collaborator, and from each as much back, through
// crypto/tls and nothing else: what no aggregator can fall below.
func limit(ctx context.Context, size int64, collaborators int) (*figures, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // errors show at the other end
				_, _ = io.Copy(c, io.NewSectionReader(repeated{}, 0, size))
				_, _ = io.CopyN(io.Discard, c, size)
				_, _ = c.Write([]byte{1})
			}()
		}
	}()
	w, err := watch(os.Getpid())
	if err != nil {
		return nil, err
	}
	errs := make([]error, collaborators)
	var all sync.WaitGroup
	for i := range collaborators {
		all.Go(func() { errs[i] = exchange(ctx, l.Addr(), config, size) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return w.stop()
}

func exchange(ctx context.Context, addr net.Addr, config *tls.Config, size int64) error {
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, addr.Network(), addr.String())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := io.CopyN(io.Discard, c, size); err != nil {
		return err
	}
	if _, err := io.Copy(c, io.NewSectionReader(repeated{}, 0, size)); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
