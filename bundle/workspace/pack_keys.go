package workspace

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	scanChunk = 1 << 20
	maxDERKey = 64 << 10 // bytes; a file larger than that is no bare key
)

// textKeys are what private keys in text begin with: PEM (PKCS#8, encrypted or
// not, PKCS#1, SEC 1, OpenSSH), OpenPGP's armor, PuTTY's files.
var textKeys = [][]byte{[]byte("PRIVATE KEY-----"), []byte("PRIVATE KEY BLOCK-----"), []byte("PuTTY-User-Key-File-")}

var pemCertificate = []byte("-----BEGIN CERTIFICATE")

// longestText is the length of the longest of the texts that are searched for.
const longestText = len("-----BEGIN CERTIFICATE")

// secret is what a file holds that must not travel.
type secret struct {
	why         string // in which form it holds a private key, "" if it holds none
	certificate bool   // it holds a certificate, or a request for one, as PEM
}

// privateKey says in which form a file holds a private key, "" if it holds none.
func privateKey(root fs.FS, name string) (why string, err error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	found, err := scanSecret(f)
	return found.why, errors.Join(err, f.Close())
}

// privateKeys is privateKey for many files, one reason for each, on as many
// processors as there are: a workspace may hold gigabytes of weights. The error
// is the one of the first file that has one.
func privateKeys(root fs.FS, files []named) ([]string, error) {
	whys, errs := make([]string, len(files)), make([]error, len(files))
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 8) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(files)); i = next.Add(1) - 1 {
				if whys[i], errs[i] = privateKey(root, files[i].path); errs[i] != nil {
					next.Store(int64(len(files))) // the rest need not be read
				}
			}
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return whys, nil
}

// buffers are reused: most files of a workspace are much smaller than one.
var buffers = sync.Pool{New: func() any { return new([scanChunk]byte) }}

// scanSecret reads r to its end. Text is searched for PEM blocks (PKCS#8,
// encrypted or not, PKCS#1, SEC 1, OpenSSH); small files are also tried as DER
// and PKCS#12.
func scanSecret(r io.Reader) (secret, error) {
	var found secret
	chunk := buffers.Get().(*[scanChunk]byte)
	defer buffers.Put(chunk)
	buf := chunk[:0]
	for first := true; ; first = false {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for _, text := range textKeys {
			if bytes.Contains(buf, text) {
				found.why = fmt.Sprintf("holds a private key (it has %q); keys never travel in a bundle", text)
			}
		}
		found.certificate = found.certificate || bytes.Contains(buf, pemCertificate)
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if end && first && len(buf) <= maxDERKey && derKey(buf) {
			found.why = "is a private key (DER or PKCS#12); keys never travel in a bundle"
		}
		if end {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		// Keep as much of the end as a marker might begin in.
		keep := copy(buf[:cap(buf)], buf[len(buf)-longestText+1:])
		buf = buf[:keep]
	}
}

// derKey reports whether data is a private key in one of the binary forms.
func derKey(data []byte) bool {
	if _, err := x509.ParsePKCS8PrivateKey(data); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PrivateKey(data); err == nil {
		return true
	}
	if _, err := x509.ParseECPrivateKey(data); err == nil {
		return true
	}
	var encrypted struct { // RFC 5958, EncryptedPrivateKeyInfo
		Algorithm struct {
			OID    asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		Data []byte
	}
	if rest, err := asn1.Unmarshal(data, &encrypted); err == nil && len(rest) == 0 {
		return true
	}
	var pfx struct { // RFC 7292, PFX
		Version  int
		AuthSafe struct {
			OID     asn1.ObjectIdentifier
			Content asn1.RawValue `asn1:"optional,explicit,tag:0"`
		}
		MAC asn1.RawValue `asn1:"optional"`
	}
	_, err := asn1.Unmarshal(data, &pfx)
	return err == nil && pfx.Version == 3
}
