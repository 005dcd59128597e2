package workspace

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// scanSecret reads r to its end. Text is searched for PEM blocks (PKCS#8,
// encrypted or not, PKCS#1, SEC 1, OpenSSH); small files are also tried as DER
// and PKCS#12.
func scanSecret(r io.Reader) (secret, error) {
	var found secret
	buf := make([]byte, 0, scanChunk)
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
