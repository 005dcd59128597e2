package issuer

import (
	"archive/zip"
	"bytes"
	"io"
	"path"
	"strings"

	"fx/ca/identity"
)

// Limits of an archive in which OpenFL sends a request.
const (
	maxZip      = 1 << 20
	maxZipFiles = 16
)

// IsZip reports whether data begins as a zip archive does.
func IsZip(data []byte) bool { return bytes.HasPrefix(data, []byte("PK\x03\x04")) }

// ZipFile is one file of an archive that OpenFL sends.
type ZipFile struct {
	Name string
	Data []byte
}

// ReadZip reads the few small files of an archive in which OpenFL sends
// requests and certificates: at most 1 MiB, 16 files of 256 KiB. Folders are
// left out. Errors wrap [identity.ErrInvalid].
func ReadZip(data []byte) ([]ZipFile, error) {
	if len(data) > maxZip {
		return nil, identity.Invalidf("the archive has %d bytes; at most %d are allowed", len(data), maxZip)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, identity.Invalidf("the archive cannot be read: %v", err)
	}
	if len(z.File) > maxZipFiles {
		return nil, identity.Invalidf("the archive has %d entries; at most %d are allowed", len(z.File), maxZipFiles)
	}
	var files []ZipFile
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, identity.Invalidf("the archive's file %q cannot be read: %v", f.Name, err)
		}
		content, err := io.ReadAll(io.LimitReader(r, identity.MaxCertificates+1))
		_ = r.Close() // nothing was written
		if err != nil {
			return nil, identity.Invalidf("the archive's file %q cannot be read: %v", f.Name, err)
		}
		if len(content) > identity.MaxCertificates {
			return nil, identity.Invalidf("the archive's file %q is larger than %d bytes", f.Name, identity.MaxCertificates)
		}
		files = append(files, ZipFile{f.Name, content})
	}
	return files, nil
}

// parseZipRequest takes the one request out of what OpenFL's
// generate-cert-request sends, col_NAME_to_agg_cert_request.zip.
func parseZipRequest(data []byte) (*Request, error) {
	refuse := func(format string, a ...any) (*Request, error) {
		var no Refusals
		no.add("csr-zip", format, a...)
		return nil, no
	}
	files, err := ReadZip(data)
	if err != nil {
		return refuse("%v", err)
	}
	var found []byte
	for _, f := range files {
		switch {
		case bytes.Contains(f.Data, []byte("PRIVATE KEY-----")):
			return refuse("the archive's file %q is a private key: it is known to others now; ask for a new request with a new key", f.Name)
		case path.Ext(f.Name) != ".csr":
		case found != nil:
			return refuse("the archive has several requests; exactly one is needed")
		default:
			found = f.Data
		}
	}
	if found == nil {
		return refuse("the archive has no file .csr")
	}
	return ParseRequest(found)
}

// OpenFLZip is an answer as OpenFL's "collaborator certify --import" takes it:
// the chain of the network and the certificate, where OpenFL has them. Errors
// wrap [identity.ErrInvalid] for roles that OpenFL does not have.
func OpenFLZip(a *identity.Answer) ([]byte, error) {
	id, err := identity.FromCertificate(a.Leaf)
	if err != nil {
		return nil, err
	}
	if id.Role.Signs() {
		return nil, identity.Invalidf("OpenFL has no role %s", id.Role)
	}
	crt, _, _ := identity.Files("", id.Role, id.Name)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range []ZipFile{
		{identity.ChainFile, identity.EncodeCertificates(a.NetworkChain()...)},
		{crt, identity.EncodeCertificates(a.Leaf)},
	} {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: a.Leaf.NotBefore}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write(f.Data)
		}
		if err != nil {
			return nil, err // of a buffer: there is none
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
