// Package exchange carries bundles and their signatures to and from OCI
// registries, and to and from one-file OCI layouts. What arrives is checked
// against the digests that name it; whether anybody may run it, package approval
// decides later, as for any bundle.
package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/schema"
)

const (
	sigstoreType  = "application/vnd.dev.sigstore.bundle.v0.3+json"
	maxManifest   = 64 << 10 // bytes of an image manifest
	maxReferrers  = 256      // looked at for one bundle
	createdAnswer = "1980-01-01T00:00:00Z"
)

var errNoRange = errors.New("the registry does not serve parts of files")

// source is where bundles come from: a registry or a layout.
type source interface {
	// manifest returns the image manifest under a tag or digest, compared with its digest.
	manifest(ctx context.Context, reference string) ([]byte, error)
	// blob opens a blob; the caller compares the digest.
	blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
	// part returns n bytes of a blob from off on, or errNoRange.
	part(ctx context.Context, d ocispec.Descriptor, off, n int64) ([]byte, error)
	// referrers lists the manifests with signatures about a manifest.
	referrers(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error)
}

func describe(media string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: media, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func hexDescriptor(media, hexDigest string, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: media, Digest: digest.NewDigestFromEncoded(digest.SHA256, hexDigest), Size: size}
}

// signatureManifest is the image manifest of one signature, which refers to the
// bundle's. Registries that know referrers list it there, as cosign expects.
func signatureManifest(subject ocispec.Descriptor, a approval.Attestation) ([]byte, error) {
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: sigstoreType, Config: ocispec.DescriptorEmptyJSON,
		Layers: []ocispec.Descriptor{describe(sigstoreType, a.Bytes())}, Subject: &subject,
		Annotations: map[string]string{
			ocispec.AnnotationCreated:           createdAnswer,
			"dev.sigstore.bundle.content":       "dsse-envelope",
			"dev.sigstore.bundle.predicateType": a.PredicateType(),
		},
	}
	m.SchemaVersion = 2
	m.Config.Data = nil
	return json.Marshal(m)
}

// read reads a blob of a known size and compares its digest.
func read(ctx context.Context, s source, d ocispec.Descriptor, limit int64) (data []byte, err error) {
	if d.Size < 0 || d.Size > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, allowed are %d", schema.ErrInvalid, d.Digest, d.Size, limit)
	}
	r, err := s.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if data, err = io.ReadAll(io.LimitReader(r, d.Size+1)); err != nil {
		return nil, fmt.Errorf("cannot fetch %s: %w", d.Digest, err)
	}
	if int64(len(data)) != d.Size || digest.FromBytes(data) != d.Digest {
		return nil, fmt.Errorf("%w: what came as %s has another digest or size", schema.ErrInvalid, d.Digest)
	}
	return data, nil
}

// Found is a bundle in a registry or layout, of which no data was fetched yet.
type Found struct {
	ID     bundle.ID
	Digest string // "sha256:…" of the image manifest
	Title  string // file name that the publisher's name and version give
	Size   int64  // of the file, in bytes

	from     source
	about    bundle.OCI
	manifest []byte // of the bundle
	subject  ocispec.Descriptor
}

func find(ctx context.Context, s source, reference string) (*Found, error) {
	data, err := s.manifest(ctx, reference)
	if err != nil {
		return nil, err
	}
	o, err := bundle.ParseOCIManifest(data)
	if err != nil {
		return nil, err
	}
	id, err := bundle.ParseID(o.ConfigSHA256)
	if err != nil {
		return nil, err
	}
	f := &Found{ID: id, Title: o.Title, Size: o.FileBytes, from: s, about: o, subject: describe(bundle.OCIManifestMedia, data)}
	f.Digest = f.subject.Digest.String()
	f.manifest, err = read(ctx, s, hexDescriptor(bundle.OCIConfigMedia, o.ConfigSHA256, o.ConfigBytes), 64<<20)
	return f, err
}

// Writer is a new file that a bundle is written to.
type Writer interface {
	io.Writer
	io.WriterAt
}

// Fetch writes the bundle's file into w, which is empty. Frames that one of the
// bundles in have holds are copied, and only the others are fetched, if the
// source serves parts of files; otherwise, and without have, all is fetched.
// Every byte is compared with a digest. progress is told the bytes written.
func (f *Found) Fetch(ctx context.Context, w Writer, have []*bundle.Bundle, progress func(int64)) (bundle.Assembled, error) {
	layer := hexDescriptor(bundle.OCILayerMedia, f.about.FileSHA256, f.about.FileBytes)
	if len(have) > 0 {
		part := func(ctx context.Context, off, n int64) ([]byte, error) { return f.from.part(ctx, layer, off, n) }
		a, err := bundle.Assemble(ctx, w, f.manifest, f.ID, have, part, progress)
		if !errors.Is(err, errNoRange) {
			if err == nil && a.Size != f.Size {
				err = fmt.Errorf("%w: the bundle has %d bytes, its image manifest says %d", schema.ErrInvalid, a.Size, f.Size)
			}
			return a, err
		}
	}
	return f.stream(ctx, w, layer, progress)
}

func (f *Found) stream(ctx context.Context, w Writer, layer ocispec.Descriptor, progress func(int64)) (a bundle.Assembled, err error) {
	r, err := f.from.blob(ctx, layer)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum, counter(progress)), io.LimitReader(r, layer.Size+1))
	if err != nil {
		return a, fmt.Errorf("cannot fetch the bundle: %w", err)
	}
	if n != layer.Size || !bytes.Equal(sum.Sum(nil), fromHex(f.about.FileSHA256)) {
		return a, fmt.Errorf("%w: what came as %s has another digest or size", schema.ErrInvalid, layer.Digest)
	}
	return bundle.Assembled{ID: f.ID, Size: n, Fetched: n}, nil
}

// Signatures fetches the signatures about the bundle. Those that are no
// attestations about it, as other tools may have put there, are left out and
// counted.
func (f *Found) Signatures(ctx context.Context) (list []approval.Attestation, others int, err error) {
	found, err := f.from.referrers(ctx, f.subject)
	if err != nil {
		return nil, 0, err
	}
	for _, d := range found {
		a, err := f.signature(ctx, d)
		switch {
		case errors.Is(err, schema.ErrInvalid) || err == nil && a.BundleID() != f.ID.String():
			others++
		case err != nil:
			return nil, 0, err
		default:
			list = append(list, a)
		}
	}
	return list, others, nil
}

func (f *Found) signature(ctx context.Context, d ocispec.Descriptor) (approval.Attestation, error) {
	if d.Size < 0 || d.Size > maxManifest {
		return approval.Attestation{}, fmt.Errorf("%w: %s has %d bytes", schema.ErrInvalid, d.Digest, d.Size)
	}
	data, err := f.from.manifest(ctx, d.Digest.String())
	if err != nil {
		return approval.Attestation{}, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil || len(m.Layers) != 1 || m.Subject == nil || m.Subject.Digest != f.subject.Digest {
		return approval.Attestation{}, fmt.Errorf("%w: %s is no signature", schema.ErrInvalid, d.Digest)
	}
	line, err := read(ctx, f.from, m.Layers[0], approval.MaxLine)
	if err != nil {
		return approval.Attestation{}, err
	}
	return approval.ParseAttestation(line)
}

type counter func(int64)

func (c counter) Write(p []byte) (int, error) {
	if c != nil {
		c(int64(len(p)))
	}
	return len(p), nil
}
