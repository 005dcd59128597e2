package journal

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxCertificate bounds a certificate in the journal.
const maxCertificate = 64 << 10

// MarkPeer records, before the first result that came with it is accepted, the
// certificate by which a collaborator proved its name.
func (j *Journal) MarkPeer(collaborator string, certificate *x509.Certificate) error {
	sum := sha256.Sum256(certificate.Raw)
	name := "peers/" + escape(collaborator) + "/" + hex.EncodeToString(sum[:]) + ".crt"
	o, err := j.store.Open(name)
	if err == nil {
		return o.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = j.create(name, func(w io.Writer) error {
		_, err := w.Write(certificate.Raw)
		return err
	})
	return err
}

// Peers lists the certificates of each collaborator whose results were accepted,
// sorted by their SHA-256. A journal made before they were recorded has none.
func (j *Journal) Peers() (map[string][]*x509.Certificate, error) {
	names, err := j.store.List("peers")
	if err != nil {
		return nil, err
	}
	found := map[string][]*x509.Certificate{}
	for _, n := range names {
		folder, _, _ := strings.Cut(strings.TrimPrefix(n, "peers/"), "/")
		collaborator, err := unescape(folder)
		if err != nil {
			return nil, err
		}
		c, err := j.certificate(n)
		if err != nil {
			return nil, Damagef("%q: %w", n, err)
		}
		found[collaborator] = append(found[collaborator], c)
	}
	return found, nil
}

func (j *Journal) certificate(name string) (*x509.Certificate, error) {
	o, err := j.store.Open(name)
	if err != nil {
		return nil, err
	}
	der, err := io.ReadAll(io.NewSectionReader(o, 0, min(o.Size(), maxCertificate+1)))
	if err := errors.Join(err, o.Close()); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	if got := hex.EncodeToString(sum[:]); !strings.HasSuffix(name, "/"+got+".crt") {
		return nil, fmt.Errorf("it has SHA-256 %s", got)
	}
	return x509.ParseCertificate(der)
}
