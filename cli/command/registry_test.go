package command_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// registry is a small OCI registry for tests: what distribution-spec 1.1 asks of
// pull, push and referrers, and a count of the bytes of blobs that it has sent.
type registry struct {
	mu        sync.Mutex
	blobs     map[string][]byte // by digest
	manifests map[string][]byte // by digest and tag
	sent      int
	noRange   bool
}

// startRegistry is the script command
//
//	registry [no-range]      REGISTRY is the address of a registry on this machine
//	registry sent MOST       it has sent at most MOST bytes of blobs since the last time
//	registry ruin            changes the last byte of every large blob
var running sync.Map // of *registry, by *testscript.TestScript

func startRegistry(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) > 0 && args[0] != "no-range" {
		found, _ := running.Load(ts)
		r := found.(*registry)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch args[0] {
		case "sent":
			var most int
			if _, err := fmt.Sscan(args[1], &most); err != nil || r.sent > most {
				ts.Fatalf("the registry sent %d bytes of blobs, want at most %s", r.sent, args[1])
			}
			r.sent = 0
		case "ruin":
			for _, b := range r.blobs {
				if len(b) > 5000 {
					b[len(b)/2] ^= 1
				}
			}
		}
		return
	}
	r := &registry{blobs: map[string][]byte{}, manifests: map[string][]byte{}, noRange: len(args) > 0}
	server := httptest.NewServer(r)
	ts.Defer(server.Close)
	running.Store(ts, r)
	ts.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	cut := func(kind string) (string, bool) {
		_, rest, ok := strings.Cut(path, "/"+kind+"/")
		return rest, ok
	}
	if name, ok := cut("blobs/uploads"); ok {
		r.upload(w, req, name)
	} else if name, ok := cut("blobs"); ok {
		r.blob(w, req, name)
	} else if name, ok := cut("manifests"); ok {
		r.manifest(w, req, name)
	} else if name, ok := cut("referrers"); ok {
		r.referrers(w, name)
	} else if path != "" {
		http.NotFound(w, req)
	}
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (r *registry) upload(w http.ResponseWriter, req *http.Request, _ string) {
	if req.Method == http.MethodPost {
		w.Header().Set("Location", req.URL.Path+"one")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	data, err := io.ReadAll(req.Body)
	if want := req.URL.Query().Get("digest"); err != nil || digestOf(data) != want {
		http.Error(w, "digest", http.StatusBadRequest)
		return
	}
	r.blobs[digestOf(data)] = data
	w.WriteHeader(http.StatusCreated)
}

func (r *registry) blob(w http.ResponseWriter, req *http.Request, name string) {
	data, ok := r.blobs[name]
	if !ok {
		http.NotFound(w, req)
		return
	}
	if r.noRange {
		req.Header.Del("Range")
	}
	w.Header().Set("Docker-Content-Digest", name)
	w.Header().Set("Content-Type", "application/octet-stream")
	counted := &countingWriter{ResponseWriter: w}
	http.ServeContent(counted, req, "", time.Time{}, bytes.NewReader(data))
	r.sent += counted.n
}

type countingWriter struct {
	http.ResponseWriter
	n int
}

func (c *countingWriter) Write(p []byte) (int, error) {
	c.n += len(p)
	return c.ResponseWriter.Write(p)
}

func (r *registry) manifest(w http.ResponseWriter, req *http.Request, name string) {
	if req.Method == http.MethodPut {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		r.manifests[name], r.manifests[digestOf(data)] = data, data
		var m struct{ Subject *struct{ Digest string } }
		if json.Unmarshal(data, &m) == nil && m.Subject != nil {
			w.Header().Set("OCI-Subject", m.Subject.Digest)
		}
		w.WriteHeader(http.StatusCreated)
		return
	}
	data, ok := r.manifests[name]
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Docker-Content-Digest", digestOf(data))
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if req.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

func (r *registry) referrers(w http.ResponseWriter, subject string) {
	list := []map[string]any{}
	for name, data := range r.manifests {
		var m struct {
			ArtifactType string
			Subject      *struct{ Digest string }
		}
		if strings.HasPrefix(name, "sha256:") && json.Unmarshal(data, &m) == nil && m.Subject != nil && m.Subject.Digest == subject {
			list = append(list, map[string]any{
				"mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": m.ArtifactType, "digest": name, "size": len(data),
			})
		}
	}
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list})
}
