package command

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

// fileOfApproval is an approval and where it was found.
type fileOfApproval struct {
	path string
	data []byte
}

// approvalsByRequest reads the approvals for a folder of requests: files, and
// folders of files *.approval. They are sorted by the fingerprint of the request
// that was approved; whether they count is for the issuer to say.
func approvalsByRequest(k *ui.Console, paths []string) (map[string][]fileOfApproval, error) {
	found := map[string][]fileOfApproval{}
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			entries, err := os.ReadDir(path)
			if err != nil {
				return nil, fmt.Errorf("cannot read the approvals: %v", err)
			}
			files = nil
			for _, e := range entries {
				if !e.IsDir() && filepath.Ext(e.Name()) == ".approval" {
					files = append(files, filepath.Join(path, e.Name()))
				}
			}
			if len(files) == 0 || len(files) > maxBatch*issuer.MaxApprovals {
				return nil, identity.Invalidf("cannot use the approvals in %q: it has %d files .approval", path, len(files))
			}
		}
		for _, f := range files {
			data, err := readInput(k, f, issuer.MaxApproval)
			if err != nil {
				return nil, err
			}
			a, err := issuer.ParseApproval(data)
			if err != nil {
				return nil, fmt.Errorf("cannot use approval %q: %w", f, err)
			}
			m, err := issuer.ParseMotion(a.Proposal)
			if err != nil {
				return nil, fmt.Errorf("cannot use approval %q: its proposal: %w", f, err)
			}
			if found[m.Request] = append(found[m.Request], fileOfApproval{f, data}); len(found[m.Request]) > issuer.MaxApprovals {
				return nil, identity.Invalidf("%d approvals for %s; at most %d are read", len(found[m.Request]), m.Name, issuer.MaxApprovals)
			}
		}
	}
	return found, nil
}

// approvalsOf are those for one request.
func (b *batch) approvalsOf(req *issuer.Request) (approvals [][]byte) {
	for _, a := range b.o.approvals[req.Fingerprint] {
		approvals = append(approvals, a.data)
	}
	return approvals
}

// checkApprovals refuses approvals of what is not in the folder: somebody
// approved something else than what is about to be signed.
func (b *batch) checkApprovals(present map[string]bool) error {
	for _, request := range slices.Sorted(maps.Keys(b.o.approvals)) {
		if !present[request] {
			return identity.Untrustedf("cannot sign %q: the approval %q is for none of its requests",
				b.o.requests, b.o.approvals[request][0].path)
		}
	}
	return nil
}
