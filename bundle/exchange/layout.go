package exchange

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/schema"
)

// WriteLayout writes a bundle and its signatures as one tar file in OCI's image
// layout, which oras, skopeo and other tools read. The same bundle and
// signatures give the same bytes.
func WriteLayout(w io.Writer, c *bundle.Checked, sidecar *approval.Sidecar, progress func(int64)) error {
	o, err := c.OCI()
	if err != nil {
		return err
	}
	manifest := bundle.OCIManifest(o)
	subject := describe(bundle.OCIManifestMedia, manifest)
	tagged := subject
	tagged.ArtifactType = bundle.OCIArtifactType
	tagged.Annotations = map[string]string{ocispec.AnnotationRefName: c.Version()}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{tagged}}
	index.SchemaVersion = 2
	blobs := [][]byte{manifest, c.Manifest(), []byte("{}")}
	for _, a := range sidecar.Attestations() {
		m, err := signatureManifest(subject, a)
		if err != nil {
			return err
		}
		d := describe(ocispec.MediaTypeImageManifest, m)
		d.ArtifactType = sigstoreType
		index.Manifests = append(index.Manifests, d)
		blobs = append(blobs, m, a.Bytes())
	}
	list, err := json.Marshal(index)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	put := func(name string, size int64, r io.Reader) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(315_532_800, 0), Format: tar.FormatUSTAR}
		if size >= 8<<30 {
			h.Format = tar.FormatPAX
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(t, r)
		return err
	}
	layout := []byte(`{"imageLayoutVersion":"1.0.0"}`)
	if err := errors.Join(put("oci-layout", int64(len(layout)), bytes.NewReader(layout)), put("index.json", int64(len(list)), bytes.NewReader(list))); err != nil {
		return err
	}
	written := map[digest.Digest]bool{}
	for _, b := range blobs {
		d := digest.FromBytes(b)
		if written[d] {
			continue
		}
		written[d] = true
		if err := put(blobName(d), int64(len(b)), bytes.NewReader(b)); err != nil {
			return err
		}
	}
	file := digest.NewDigestFromEncoded(digest.SHA256, o.FileSHA256)
	if err := put(blobName(file), o.FileBytes, io.TeeReader(c.Raw(), counter(progress))); err != nil {
		return err
	}
	return t.Close()
}

func blobName(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

// Layout is a one-file OCI layout that was opened: where its members are.
type Layout struct {
	r       io.ReaderAt
	members map[string]*io.SectionReader
	index   ocispec.Index
}

const (
	maxMembers = 4096
	maxIndex   = 1 << 20 // bytes of index.json
)

// OpenLayout reads the table of contents of a layout of size bytes. Errors wrap
// schema.ErrInvalid, except those of r.
func OpenLayout(r io.ReaderAt, size int64) (*Layout, error) {
	l := &Layout{r: r, members: map[string]*io.SectionReader{}}
	at := &position{r: io.NewSectionReader(r, 0, size)}
	t := tar.NewReader(at)
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil || n == maxMembers {
			return nil, fmt.Errorf("%w: cannot read the OCI layout: member %d of its tar: %v", schema.ErrInvalid, n+1, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue // folders, as other tools put there
		}
		name := path.Clean(h.Name)
		if l.members[name] != nil || h.Size < 0 || h.Size > size-at.n || h.PAXRecords["GNU.sparse.major"] != "" {
			return nil, fmt.Errorf("%w: cannot read the OCI layout: member %q is there twice, or not whole", schema.ErrInvalid, h.Name)
		}
		l.members[name] = io.NewSectionReader(r, at.n, h.Size)
	}
	data, err := l.all("index.json", maxIndex)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &l.index); err != nil {
		return nil, fmt.Errorf("%w: cannot read index.json of the OCI layout: %v", schema.ErrInvalid, err)
	}
	return l, nil
}

// position counts what was read, to know where a member's content starts, and
// seeks over contents.
type position struct {
	r *io.SectionReader
	n int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err
}

func (p *position) Seek(offset int64, whence int) (int64, error) {
	n, err := p.r.Seek(offset, whence)
	p.n = n
	return n, err
}

func (l *Layout) all(name string, limit int64) ([]byte, error) {
	m := l.members[name]
	if m == nil || m.Size() > limit {
		return nil, fmt.Errorf("%w: the OCI layout has no %q of at most %d bytes", schema.ErrInvalid, name, limit)
	}
	data := make([]byte, m.Size())
	if _, err := m.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("cannot read %q of the OCI layout: %w", name, err)
	}
	return data, nil
}

// Find returns the bundle under a tag, or, if tag is empty, the only one.
func (l *Layout) Find(ctx context.Context, tag string) (*Found, error) {
	return find(ctx, l, tag)
}

func (l *Layout) manifest(_ context.Context, reference string) ([]byte, error) {
	d := digest.Digest(reference)
	if !strings.Contains(reference, ":") {
		var found []ocispec.Descriptor
		for _, m := range l.index.Manifests {
			if m.ArtifactType != sigstoreType && (reference == "" || m.Annotations[ocispec.AnnotationRefName] == reference) {
				found = append(found, m)
			}
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("%w: the OCI layout has %d bundles under the tag %q, want one", schema.ErrInvalid, len(found), reference)
		}
		d = found[0].Digest
	}
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return nil, fmt.Errorf("%w: %q is no SHA-256", schema.ErrInvalid, d)
	}
	data, err := l.all(blobName(d), maxManifest)
	if err == nil && digest.FromBytes(data) != d {
		err = fmt.Errorf("%w: %q of the OCI layout has another digest", schema.ErrInvalid, blobName(d))
	}
	return data, err
}

func (l *Layout) blob(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil || d.Digest.Algorithm() != digest.SHA256 {
		return nil, fmt.Errorf("%w: %q is no SHA-256", schema.ErrInvalid, d.Digest)
	}
	m := l.members[blobName(d.Digest)]
	if m == nil || m.Size() != d.Size {
		return nil, fmt.Errorf("%w: the OCI layout has no %q of %d bytes", schema.ErrInvalid, blobName(d.Digest), d.Size)
	}
	return io.NopCloser(io.NewSectionReader(m, 0, m.Size())), nil
}

func (l *Layout) part(ctx context.Context, d ocispec.Descriptor, off, n int64) ([]byte, error) {
	if _, err := l.blob(ctx, d); err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if _, err := l.members[blobName(d.Digest)].ReadAt(data, off); err != nil && err != io.EOF {
		return nil, err
	}
	return data, nil
}

func (l *Layout) referrers(_ context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var list []ocispec.Descriptor
	for _, m := range l.index.Manifests {
		if m.Digest != subject.Digest && m.Size <= maxManifest {
			list = append(list, m)
		}
	}
	if len(list) > maxReferrers {
		return nil, fmt.Errorf("%w: more than %d signatures refer to the bundle", schema.ErrInvalid, maxReferrers)
	}
	return list, nil
}
