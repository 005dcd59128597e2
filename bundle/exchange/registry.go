package exchange

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/schema"
)

// Registry is one repository of an OCI registry.
type Registry struct{ repo *remote.Repository }

// NewRegistry reads a reference such as "registry.example.org/fl/ward:1.4.0".
// Without plainHTTP the connection is TLS, but to this machine itself, where it
// is not. Passwords come from the file in which docker, podman and oras keep
// them. Nothing is connected yet.
func NewRegistry(reference string, plainHTTP bool) (*Registry, error) {
	repo, err := remote.NewRepository(reference)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot read the reference %q: want HOST/REPOSITORY:TAG: %v", schema.ErrInvalid, reference, err)
	}
	if repo.Reference.Reference == "" {
		return nil, fmt.Errorf("%w: the reference %q has no tag and no digest: want HOST/REPOSITORY:TAG", schema.ErrInvalid, reference)
	}
	repo.PlainHTTP = plainHTTP || loopback(repo.Reference.Host())
	repo.SkipReferrersGC = true // registries that keep no referrers of their own often forbid to delete
	client := &auth.Client{
		Client: &http.Client{CheckRedirect: stayEncrypted}, Cache: auth.NewCache(),
		Header: http.Header{"User-Agent": {"fxctl"}},
	}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		client.Credential = credentials.Credential(store)
	}
	repo.Client = client
	return &Registry{repo}, nil
}

// loopback says whether an address can only be this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// stayEncrypted refuses to be sent from TLS to plain HTTP.
func stayEncrypted(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("too many redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("the registry redirects to %s, which is not encrypted", req.URL.Host)
	}
	return nil
}

// Pushed says what Push has put where.
type Pushed struct {
	Digest     string // of the image manifest
	Uploaded   int64  // bytes of the bundle that the registry did not have
	Signatures int    // how many refer to it now from here
}

// Push puts a bundle and its signatures into the registry. What is there already
// is not sent again. The tag moves last, so that nobody pulls half a bundle.
func (r *Registry) Push(ctx context.Context, c *bundle.Checked, sidecar *approval.Sidecar, progress func(int64)) (p Pushed, err error) {
	o, err := c.OCI()
	if err != nil {
		return p, err
	}
	layer := hexDescriptor(bundle.OCILayerMedia, o.FileSHA256, o.FileBytes)
	if there, err := r.repo.Blobs().Exists(ctx, layer); err != nil {
		return p, explain(err)
	} else if !there {
		if err := r.repo.Blobs().Push(ctx, layer, io.TeeReader(c.Raw(), counter(progress))); err != nil {
			return p, explain(err)
		}
		p.Uploaded = o.FileBytes
	}
	if err := r.put(ctx, hexDescriptor(bundle.OCIConfigMedia, o.ConfigSHA256, o.ConfigBytes), c.Manifest()); err != nil {
		return p, err
	}
	manifest := bundle.OCIManifest(o)
	subject := describe(bundle.OCIManifestMedia, manifest)
	p.Digest = subject.Digest.String()
	if err := r.repo.Manifests().Push(ctx, subject, bytes.NewReader(manifest)); err != nil {
		return p, explain(err)
	}
	listed, err := r.referrers(ctx, subject)
	if err != nil {
		return p, err
	}
	for _, a := range sidecar.Attestations() {
		if err := r.refer(ctx, subject, a, listed); err != nil {
			return p, err
		}
		p.Signatures++
	}
	if tag := r.repo.Reference.Reference; !strings.Contains(tag, ":") {
		if err := r.repo.Tag(ctx, subject, tag); err != nil {
			return p, explain(err)
		}
	}
	return p, nil
}

// refer puts one signature there, unless it is listed. That its manifest is there
// would not be enough: where the list is a tag, it is written after the manifest.
func (r *Registry) refer(ctx context.Context, subject ocispec.Descriptor, a approval.Attestation, listed []ocispec.Descriptor) error {
	m, err := signatureManifest(subject, a)
	if err != nil {
		return err
	}
	d := describe(ocispec.MediaTypeImageManifest, m)
	if slices.ContainsFunc(listed, func(l ocispec.Descriptor) bool { return l.Digest == d.Digest }) {
		return nil
	}
	if err := r.put(ctx, ocispec.DescriptorEmptyJSON, []byte("{}")); err != nil {
		return err
	}
	if err := r.put(ctx, describe(sigstoreType, a.Bytes()), a.Bytes()); err != nil {
		return err
	}
	d.ArtifactType = sigstoreType
	return explain(r.repo.Manifests().Push(ctx, d, bytes.NewReader(m)))
}

func (r *Registry) put(ctx context.Context, d ocispec.Descriptor, data []byte) error {
	if there, err := r.repo.Blobs().Exists(ctx, d); err != nil || there {
		return explain(err)
	}
	return explain(r.repo.Blobs().Push(ctx, d, bytes.NewReader(data)))
}

// Find looks the reference up and fetches the bundle's manifest.
func (r *Registry) Find(ctx context.Context) (*Found, error) {
	return find(ctx, r, r.repo.Reference.Reference)
}

func (r *Registry) manifest(ctx context.Context, reference string) (data []byte, err error) {
	d, body, err := r.repo.Manifests().FetchReference(ctx, reference)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if d.Size > maxManifest {
		return nil, fmt.Errorf("%w: the image manifest has %d bytes, allowed are %d", schema.ErrInvalid, d.Size, maxManifest)
	}
	if data, err = io.ReadAll(io.LimitReader(body, maxManifest+1)); err != nil {
		return nil, fmt.Errorf("cannot fetch %s: %w", reference, err)
	}
	if found := describe(d.MediaType, data).Digest; found != d.Digest || strings.Contains(reference, ":") && found.String() != reference {
		return nil, fmt.Errorf("%w: what came as %s has another digest", schema.ErrInvalid, reference)
	}
	return data, nil
}

func (r *Registry) blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	body, err := r.repo.Blobs().Fetch(ctx, d)
	return body, explain(err)
}

// part asks for a range of a blob by itself: what the library offers would ask
// for all that follows, too.
func (r *Registry) part(ctx context.Context, d ocispec.Descriptor, off, n int64) (data []byte, err error) {
	scheme := "https"
	if r.repo.PlainHTTP {
		scheme = "http"
	}
	ref := r.repo.Reference
	ctx = auth.AppendRepositoryScope(ctx, ref, auth.ActionPull)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s://%s/v2/%s/blobs/%s", scheme, ref.Host(), ref.Repository, d.Digest), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	resp, err := r.repo.Client.Do(req)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		return nil, errNoRange
	default:
		return nil, fmt.Errorf("cannot fetch bytes %d to %d: the registry answers %s", off, off+n-1, resp.Status)
	}
	data = make([]byte, n)
	if _, err := io.ReadFull(resp.Body, data); err != nil {
		return nil, fmt.Errorf("cannot fetch bytes %d to %d: %w", off, off+n-1, err)
	}
	return data, nil
}

func (r *Registry) referrers(ctx context.Context, d ocispec.Descriptor) (list []ocispec.Descriptor, err error) {
	err = r.repo.Referrers(ctx, d, sigstoreType, func(page []ocispec.Descriptor) error {
		if list = append(list, page...); len(list) > maxReferrers {
			return fmt.Errorf("%w: more than %d signatures refer to the bundle", schema.ErrInvalid, maxReferrers)
		}
		return nil
	})
	return list, explain(err)
}

// ErrNotFound says that the registry does not have what was asked for.
var ErrNotFound = errdef.ErrNotFound

// explain puts what the registry says into one line.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return fmt.Errorf("the registry wants a password: docker login, podman login or oras login keeps one: %w", err)
	}
	return err
}

func fromHex(s string) []byte {
	b, _ := hex.DecodeString(s) // ParseOCIManifest has looked at it
	return b
}
