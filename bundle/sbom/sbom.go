// Package sbom writes what a bundle is made of as a CycloneDX bill of materials:
// its files, and the Python and Go packages that it names. It says what is
// written down in the bundle; what a site has installed it cannot know.
package sbom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"fx/bundle"
)

// PredicateType is that of an attestation with a CycloneDX document.
const PredicateType = "https://cyclonedx.org/bom"

// Limits: an attestation has room for half a megabyte.
const (
	maxFiles    = 1000
	maxPackages = 1000
	maxSource   = 1 << 20 // bytes of a requirements.txt or go.mod
)

type bom struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Serial     string      `json:"serialNumber"` // from the bundle id: the same bundle, the same document
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Component  component  `json:"component"`
	Properties []property `json:"properties"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref,omitempty"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// New returns the document as compact JSON. The same bundle gives the same bytes.
func New(c *bundle.Checked) ([]byte, error) {
	id := c.ID().String()
	b := bom{
		Format: "CycloneDX", Spec: "1.6", Version: 1,
		Serial: fmt.Sprintf("urn:uuid:%s-%s-5%s-8%s-%s", id[:8], id[8:12], id[12:15], id[15:18], id[18:30]),
		Metadata: metadata{
			Component:  component{Type: "application", Ref: "bundle", Name: c.Name(), Version: c.Version(), Hashes: sha256Of(id)},
			Properties: []property{{"fx:bundleId", id}, {"fx:treeSha256", c.TreeSHA256()}},
		},
		Components: []component{},
	}
	packages, err := packagesOf(c)
	if err != nil {
		return nil, err
	}
	if len(packages) > maxPackages {
		b.left(len(packages)-maxPackages, "packages")
		packages = packages[:maxPackages]
	}
	b.Components = append(b.Components, packages...)
	files := c.Files()
	if len(files) > maxFiles {
		b.left(len(files)-maxFiles, "files")
		files = files[:maxFiles]
	}
	for _, f := range files {
		b.Components = append(b.Components, component{Type: "file", Name: f.Path, Hashes: sha256Of(f.Digest())})
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(b); err != nil {
		return nil, fmt.Errorf("cannot encode the bill of materials: %v", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// left says what the document has no room for; the bundle's manifest has it.
func (b *bom) left(n int, what string) {
	b.Metadata.Properties = append(b.Metadata.Properties, property{"fx:leftOut", fmt.Sprintf("%d %s", n, what)})
}

func sha256Of(digest string) []hash { return []hash{{"SHA-256", digest}} }

// packagesOf reads every requirements file and go.mod of the bundle.
func packagesOf(c *bundle.Checked) ([]component, error) {
	var list []component
	for _, f := range c.Files() {
		var read func(line string) (component, bool)
		switch base := path.Base(f.Path); {
		case strings.HasPrefix(base, "requirements") && strings.HasSuffix(base, ".txt"):
			read = requirement
		case base == "go.mod":
			read = module
		default:
			continue
		}
		if f.Size > maxSource {
			return nil, fmt.Errorf("cannot list the packages of %q: it has %d bytes, allowed are %d", f.Path, f.Size, maxSource)
		}
		data, err := fs.ReadFile(c.Workspace(), f.Path)
		if err != nil {
			return nil, err
		}
		for _, line := range strings.Split(string(data), "\n") {
			if p, ok := read(line); ok {
				p.Type, p.Properties = "library", []property{{"fx:namedIn", f.Path}}
				list = append(list, p)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b component) int { return strings.Compare(a.PURL, b.PURL) })
	return slices.CompactFunc(list, func(a, b component) bool { return a.PURL == b.PURL }), nil
}

// pinned is a requirement as PEP 508 has it: name, extras, and a version if it is
// one alone ("==").
var pinned = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:={2,3}\s*([A-Za-z0-9.!+_-]+)\s*(?:$|[;#\\]|--))?`)

var separators = regexp.MustCompile(`[-_.]+`) // all the same in a name (PEP 503)

// requirement reads a line of a requirements file; options, URLs and comments
// are none.
func requirement(line string) (component, bool) {
	line = strings.TrimSpace(line)
	m := pinned.FindStringSubmatch(line)
	if m == nil {
		return component{}, false
	}
	if rest := strings.TrimSpace(line[len(m[1]):]); rest != "" && !strings.ContainsRune("[=<>!~;@#\\", rune(rest[0])) {
		return component{}, false // a URL or a path
	}
	name := separators.ReplaceAllString(strings.ToLower(m[1]), "-")
	p := component{Name: name, Version: m[2], PURL: "pkg:pypi/" + name}
	if p.Version != "" {
		p.PURL += "@" + p.Version
	}
	return p, true
}

var required = regexp.MustCompile(`^(?:require\s+)?([a-z0-9][A-Za-z0-9._~/-]*\.[A-Za-z0-9._~/-]+)\s+(v[0-9][A-Za-z0-9.+-]*)\s*(?://.*)?$`)

// module reads a line of a go.mod that requires a module.
func module(line string) (component, bool) {
	m := required.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return component{}, false
	}
	return component{Name: m[1], Version: m[2], PURL: "pkg:golang/" + m[1] + "@" + m[2]}, true
}
