package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/workspace"
	"fx/ca/identity"
	"fx/cli/ui"
	"fx/schema"
	"fx/schema/check"
)

func bundleCreate() *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "pack a workspace into one file and sign it",
		ArgsUsage: "WORKSPACE",
		Description: `Certificates, keys, data, logs and caches never travel; .fxignore in the
workspace lists what else stays behind. Examples:
   fxctl bundle create ward -o ward.fxb --as alice
   fxctl bundle create ward -o ward-1.1.fxb --as alice --version 1.1.0`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to create; signatures go beside it", TakesFile: true},
			&cli.StringFlag{Name: "as", Usage: "`NAME` of the publisher who signs"},
			&cli.StringFlag{Name: "name", Usage: "name of the bundle (default: the workspace folder's)"},
			&cli.StringFlag{Name: "version", Value: "0.1.0", Usage: "version of the bundle"},
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "WORKSPACE")
			if err == nil {
				err = ui.Require(c, "output", "as")
			}
			if err != nil {
				return nil, err
			}
			return runBundleCreate(c, bundleCreateOptions{
				workspace: args[0], output: c.String("output"), as: c.String("as"), name: c.String("name"),
				version: c.String("version"), certDir: c.String("cert-dir"),
			})
		}),
	}
}

type bundleCreateOptions struct {
	workspace, output, as, name, version, certDir string
}

type bundleCreateResult struct {
	File         string               `json:"file"`
	Sidecar      string               `json:"sidecar"`
	BundleID     string               `json:"bundle_id"`
	FileSHA256   string               `json:"file_sha256"`
	TreeSHA256   string               `json:"tree_sha256"`
	Name         string               `json:"name"`
	Version      string               `json:"version"`
	FederationID string               `json:"federation_id"`
	Publisher    string               `json:"publisher"`
	Files        int                  `json:"files"`
	FileBytes    int64                `json:"file_bytes"`
	Excluded     []workspace.Excluded `json:"excluded"`
}

func runBundleCreate(c *cli.Context, o bundleCreateOptions) (r *bundleCreateResult, err error) {
	if o.output == "-" {
		return nil, ui.Usagef("a bundle needs a file, because its signatures go beside it; found -o -")
	}
	sidecarPath := approval.SidecarPath(o.output)
	if _, err := os.Lstat(sidecarPath); err == nil {
		return nil, fmt.Errorf("cannot create bundle %q: %q exists, and its signatures are of another bundle", o.output, sidecarPath)
	}
	if o.name == "" {
		abs, err := filepath.Abs(o.workspace)
		if err != nil {
			return nil, fmt.Errorf("cannot name the bundle: %v", err)
		}
		o.name = filepath.Base(abs)
	}
	judges, err := newJudges(o.output, o.certDir, "", true)
	if err != nil {
		return nil, err
	}
	publisher, err := readSigner(o.certDir, identity.Publisher, o.as, judges.anchors, time.Now())
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.workspace)
	if err != nil {
		return nil, fmt.Errorf("cannot open workspace: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	model, err := checkWorkspace(root.FS(), o.workspace)
	if err != nil {
		return nil, err
	}
	tree, excluded, err := workspace.Pack(root.FS(), workspace.PackOptions{Models: []string{model}})
	if err != nil {
		return nil, err
	}
	if err := packBundle(c, tree, o); err != nil {
		return nil, err
	}
	r, err = signBundle(c, o, publisher)
	if err != nil { // nothing half-done stays behind
		return nil, errors.Join(err, os.Remove(o.output))
	}
	if r.Excluded = excluded; excluded == nil {
		r.Excluded = []workspace.Excluded{}
	}
	return r, nil
}

// checkWorkspace refuses a workspace that no runtime would run, before it is
// packed, and returns the path of the initial model.
func checkWorkspace(tree fs.FS, dir string) (model string, err error) {
	name := filepath.ToSlash(filepath.Join(dir, bundle.PlanPath))
	data, err := fs.ReadFile(tree, bundle.PlanPath)
	if err != nil {
		return "", ui.Hint(fmt.Errorf("cannot read the plan %q of the workspace: %w", name, err), "fxctl workspace create DIR --template digits")
	}
	cols := filepath.ToSlash(filepath.Join(dir, bundle.RosterPath))
	list, err := fs.ReadFile(tree, bundle.RosterPath)
	if err != nil {
		return "", fmt.Errorf("cannot read the list of collaborators %q: %w", cols, err)
	}
	names, err := schema.ReadCols(cols, list)
	if err != nil {
		return "", fmt.Errorf("cannot bundle a workspace whose list of collaborators is invalid:\n%w", err)
	}
	if err := check.Plan(name, data, &check.Roster{Names: names}).Err(); err != nil {
		return "", fmt.Errorf("cannot bundle a workspace whose plan is invalid:\n%w", err)
	}
	plan, err := schema.ParsePlan(name, data)
	if err != nil {
		return "", fmt.Errorf("cannot bundle a workspace whose plan is invalid:\n%w", err)
	}
	if err := modelFindings(plan, dir).Err(); err != nil {
		return "", fmt.Errorf("cannot bundle a workspace whose plan does not fit its model:\n%w", err)
	}
	resolved, err := plan.Resolve(schema.ResolveOptions{})
	if err != nil {
		return "", fmt.Errorf("cannot bundle a workspace whose plan is not complete:\n%w", err)
	}
	model = path.Clean(resolved.Aggregator.InitStatePath)
	info, err := fs.Stat(tree, model)
	if err != nil || !info.Mode().IsRegular() {
		return "", ui.Hint(fmt.Errorf("%w: cannot bundle %q: the initial model %q, which the plan names, is not there", schema.ErrInvalid, dir, model),
			"%s", makeModel(resolved.TaskRunner.Template, dir))
	}
	return model, nil
}

func packBundle(c *cli.Context, tree fs.FS, o bundleCreateOptions) error {
	var total int64
	if err := fs.WalkDir(tree, ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	}); err != nil {
		return fmt.Errorf("cannot read the workspace: %w", err)
	}
	progress := ui.From(c).Progress("packing", total)
	defer progress.Close()
	_, err := bundle.CreateFile(c.Context, o.output, tree, bundle.Options{Name: o.name, Version: o.version, Progress: progress.Add})
	return err
}

// signBundle reads the finished file back, verifies it completely, and signs
// what it found there.
func signBundle(c *cli.Context, o bundleCreateOptions, publisher *signer) (r *bundleCreateResult, err error) {
	checked, err := checkToSign(c, o.output)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, checked.Close()) }()
	federation, err := checked.Federation("")
	if err != nil {
		return nil, fmt.Errorf("cannot sign a bundle that no runtime would run: %w", err)
	}
	if _, err := federation.Model.Infos(); err != nil {
		return nil, fmt.Errorf("cannot sign a bundle that no runtime would run: %w", err)
	}
	subject, err := subjectOf(checked)
	if err != nil {
		return nil, err
	}
	release, err := approval.SignRelease(publisher.key, publisher.leaf, subject, approval.Release{
		Name: subject.Name, Version: subject.Version, TreeSHA256: subject.TreeSHA256,
		CreatedAt: approval.Time(time.Now()), Tool: "fxctl",
	})
	if err != nil {
		return nil, fmt.Errorf("cannot sign bundle %q: %w", o.output, err)
	}
	sidecar, err := (&approval.Sidecar{}).Add(release)
	if err == nil {
		err = sidecar.Write(approval.SidecarPath(o.output))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign bundle %q: %w", o.output, err)
	}
	return &bundleCreateResult{
		File: o.output, Sidecar: approval.SidecarPath(o.output), BundleID: subject.BundleID, FileSHA256: subject.FileSHA256,
		TreeSHA256: subject.TreeSHA256, Name: subject.Name, Version: subject.Version, FederationID: federation.Plan.FederationID,
		Publisher: publisher.id.Name, Files: subject.Files, FileBytes: subject.Bytes,
	}, nil
}

// subjectOf is what signatures are about, the digest of the whole file included.
func subjectOf(c *bundle.Checked) (approval.Subject, error) {
	s := c.Subject()
	sum, err := c.FileSHA256()
	if err != nil {
		return s, err
	}
	s.FileSHA256 = fmt.Sprintf("%x", sum)
	s.OCISHA256, err = c.OCISHA256()
	return s, err
}

// Text is the result for people.
func (r *bundleCreateResult) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s, %d files, %s, signed by publisher %s\n", r.File, r.Name, r.Version, r.Files, ui.Bytes(r.FileBytes), r.Publisher)
	fmt.Fprintf(&b, "bundle id   %s\nfederation  %s\nsignatures  %s\n", r.BundleID, r.FederationID, r.Sidecar)
	if len(r.Excluded) > 0 {
		fmt.Fprintf(&b, "left out:\n")
		for _, e := range r.Excluded {
			fmt.Fprintf(&b, "  %s (%s)\n", e.Path, e.Reason)
		}
	}
	_, err := io.WriteString(w, ui.Clean(b.String()))
	return err
}
