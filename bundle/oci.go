package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Media types of a bundle in a registry. They are stable.
const (
	OCIArtifactType  = "application/vnd.fx.bundle.v1"
	OCIManifestMedia = "application/vnd.oci.image.manifest.v1+json"
	OCIConfigMedia   = "application/vnd.fx.bundle.manifest.v1+json" // the bundle's manifest: its digest is the bundle id
	OCILayerMedia    = "application/vnd.fx.bundle.v1.tar+zstd"      // the bundle's file
)

// OCI is what a bundle is in a registry: sizes are in bytes, digests in lower
// hexadecimal without "sha256:".
type OCI struct {
	Title                    string // file name that stock tools write
	ConfigSHA256, FileSHA256 string
	ConfigBytes, FileBytes   int64
}

// OCIManifest returns the image manifest that stands for a bundle in every
// registry. Nothing in it comes from a clock or a registry, so that its digest is
// known to those who sign, before anything is pushed.
func OCIManifest(o OCI) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","artifactType":"%s",`+
		`"config":{"mediaType":"%s","digest":"sha256:%s","size":%d},`+
		`"layers":[{"mediaType":"%s","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.title":"%s"}}],`+
		`"annotations":{"org.opencontainers.image.created":"1980-01-01T00:00:00Z"}}`,
		OCIManifestMedia, OCIArtifactType, OCIConfigMedia, o.ConfigSHA256, o.ConfigBytes, OCILayerMedia, o.FileSHA256, o.FileBytes, o.Title)
}

// ParseOCIManifest reads what OCIManifest writes and nothing else. Errors are
// faults.
func ParseOCIManifest(data []byte) (OCI, error) {
	p := &manifestParser{line: 1}
	f := p.fields(string(data), `{"schemaVersion":2,"mediaType":"`+OCIManifestMedia+`","artifactType":"`+OCIArtifactType+
		`","config":{"mediaType":"`+OCIConfigMedia+`","digest":"sha256:`, `","size":`, `},"layers":[{"mediaType":"`+OCILayerMedia+`","digest":"sha256:`,
		`","size":`, `,"annotations":{"org.opencontainers.image.title":"`, `"}}],"annotations":{"org.opencontainers.image.created":"1980-01-01T00:00:00Z"}}`)
	if p.err != nil {
		return OCI{}, fault(CauseOCIManifest, "the image manifest is not that of a bundle")
	}
	o := OCI{ConfigSHA256: f[0], FileSHA256: f[2], Title: f[4]}
	o.ConfigBytes, _ = strconv.ParseInt(f[1], 10, 64)
	o.FileBytes, _ = strconv.ParseInt(f[3], 10, 64)
	_, config := parseDigest(o.ConfigSHA256)
	_, file := parseDigest(o.FileSHA256)
	title, named := strings.CutSuffix(o.Title, ".fxb")
	if !config || !file || !named || len(title) > 130 || !plainASCII(title) || strings.ContainsAny(title, `/<>&`) ||
		o.ConfigBytes < 1 || o.ConfigBytes > maxManifest || o.FileBytes <= o.ConfigBytes || string(OCIManifest(o)) != string(data) {
		return OCI{}, fault(CauseOCIManifest, "the image manifest is not that of a bundle")
	}
	return o, nil
}

// OCI describes the bundle's file for a registry.
func (c *Checked) OCI() (OCI, error) {
	sum, err := c.FileSHA256()
	if err != nil {
		return OCI{}, err
	}
	return OCI{
		Title:        c.Name() + "-" + c.Version() + ".fxb",
		ConfigSHA256: c.id.String(), ConfigBytes: int64(c.manifest.encodedLen()),
		FileSHA256: hex.EncodeToString(sum[:]), FileBytes: c.size,
	}, nil
}

// OCISHA256 returns the digest of the bundle's image manifest in hexadecimal.
func (c *Checked) OCISHA256() (string, error) {
	o, err := c.OCI()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(OCIManifest(o))
	return hex.EncodeToString(sum[:]), nil
}
