package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
	"fx/runtime/journal"
	"fx/runtime/transport"
	"fx/schema"
)

// participantFlags are what every command needs to know which bundle it may run.
func participantFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bundle", Usage: "the approved bundle `FILE`; its signatures are in FILE.sigs.jsonl"},
		&cli.StringFlag{Name: "cert-dir", Value: "cert", Usage: "certificates, keys and chains are in `DIR`"},
		&cli.StringFlag{Name: "policy", Usage: "whose approvals this site demands is in `FILE` (default: one publisher and one other reviewer)"},
	}
}

func openFLFlag() cli.Flag {
	return &cli.BoolFlag{Name: "openfl-certs", Usage: "also accept certificates that OpenFL itself has made, own and peer's: they do not say what they are for"}
}

func nameFlag() cli.Flag {
	return &cli.StringFlag{Name: "name", Aliases: []string{"n"}, Usage: "this collaborator's `NAME`, as in its certificate and in plan/cols.yaml"}
}

func dataFlag() cli.Flag {
	return &cli.StringFlag{Name: "data", Aliases: []string{"d"}, Usage: "this site's data is at `PATH`"}
}

// dataPath is the site's data, which must be there: a missing disk is better
// noticed now than when the first task fails.
func dataPath(c *cli.Context) (string, error) {
	path := c.String("data")
	if path == "" {
		return "", nil // a plan may need none
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("cannot use this site's data: %v", err)
	}
	return path, nil
}

func stateFlag() cli.Flag {
	return &cli.StringFlag{Name: "state", Usage: "keep what must survive a restart in `DIR` (default: state/FEDERATION/PARTICIPANT)"}
}

// participant is a bundle that this site's policy lets run, and what it says.
type participant struct {
	*bundle.Federation
	verified *bundle.Verified
	sidecar  *approval.Sidecar // whose signatures were judged
	certDir  string
}

// open verifies the bundle completely and reads what it says. host is this
// host's name where the plan may leave the aggregator's address open, else "".
func open(ctx context.Context, c *cli.Context, host string) (*participant, error) {
	if err := ui.Require(c, "bundle"); err != nil {
		return nil, err
	}
	path, certDir := c.String("bundle"), c.String("cert-dir")
	anchors, err := trust.Load(filepath.Join(certDir, identity.SigningChainFile), filepath.Join(certDir, identity.CRLFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Hint(ui.Code(ui.Untrusted, fmt.Errorf("cannot verify bundle %q without the federation's signing chain: %w", path, err)),
			"fxctl cert import ANSWER puts it in place; --cert-dir names another folder")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot verify bundle %q: %w", path, err)
	}
	policy := approval.Policy{}
	if file := c.String("policy"); file != "" {
		if policy, err = approval.ReadPolicy(file); err != nil {
			return nil, err
		}
	}
	policy = policy.ForSite(c.String("name")) // a collaborator's; the aggregator's is in its policy
	sidecar, err := approval.ReadSidecar(approval.SidecarPath(path))
	if err != nil {
		return nil, fmt.Errorf("cannot verify bundle %q: %w", path, err)
	}
	b, err := bundle.OpenFile(path)
	if err != nil {
		return nil, err
	}
	p, err := verify(ctx, b, anchors, policy, sidecar, host)
	if err != nil {
		return nil, unapproved(errors.Join(fmt.Errorf("cannot run bundle %q: %w", path, err), b.Close()), path)
	}
	p.certDir, p.sidecar = certDir, sidecar
	return p, nil
}

func verify(ctx context.Context, b *bundle.Bundle, anchors *trust.Anchors, policy approval.Policy, sidecar *approval.Sidecar, host string) (*participant, error) {
	v, err := b.Verify(ctx, anchors, policy, sidecar, time.Now())
	if err != nil {
		return nil, err
	}
	f, err := v.Federation(host)
	if err != nil {
		return nil, err
	}
	if err := authenticates(f.Plan.Network); err != nil {
		return nil, err
	}
	return &participant{Federation: f, verified: v}, nil
}

// authenticates refuses a plan under which a peer would not have to prove who
// it is. fxctl does not pack such a plan, but somebody else might.
func authenticates(n schema.NetworkSettings) error {
	if !n.TLS || !n.RequireClientAuth {
		return unusable("the plan switches off TLS or client authentication (network.settings: use_tls, require_client_auth), without which nobody knows who is talking")
	}
	return nil
}

// Close closes the bundle.
func (p *participant) Close() error { return p.verified.Close() }

// stateDir is where a participant keeps its state.
func (p *participant) stateDir(c *cli.Context, name string) string {
	if dir := c.String("state"); dir != "" {
		return dir
	}
	return filepath.Join("state", p.Plan.FederationID, name)
}

// journal opens the participant's journal, which belongs to this bundle alone.
func (p *participant) journal(dir, participant string) (*journal.Journal, *journal.Dir, error) {
	store, err := journal.OpenDir(filepath.Join(dir, "journal"))
	if err != nil {
		return nil, nil, err
	}
	j, err := journal.Open(store, journal.Federation{
		Bundle: p.verified.ID().String(), FederationID: p.Plan.FederationID, Participant: participant,
	})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return j, store, nil
}

// client makes the connection to the plan's aggregator as the collaborator name.
func (p *participant) client(c *cli.Context, name string) (*transport.Client, error) {
	if err := identity.CheckName(identity.Collaborator, name); err != nil {
		return nil, ui.Code(ui.Usage, err)
	}
	network := p.Plan.Network
	config := trust.Config{CertDir: p.certDir, Role: identity.Collaborator, Name: name, OpenFLCompat: c.Bool("openfl-certs")}
	log, err := newLog(c)
	if err != nil {
		return nil, err
	}
	certificates, err := newRenewal(config, network.Host, log)
	if err != nil {
		return nil, uncertified(fmt.Errorf("cannot connect as %q: %w", name, err), config)
	}
	warnOfOpenKey(log, config)
	warnOfOpenFL(log, config)
	return transport.NewClient(transport.ClientOptions{
		Host: network.Host, Port: network.Port, Renew: certificates.get,
		Sender: name, FederationID: p.Plan.FederationID, AggregatorID: p.Plan.AggregatorID,
		NewConnectionPerRequest: network.NewConnectionPerRequest, Log: log,
	}), nil
}

// warnOfOpenFL says so where a certificate need not say what it is for.
func warnOfOpenFL(log *slog.Logger, config trust.Config) {
	if config.OpenFLCompat {
		log.Warn("certificates made by OpenFL are accepted: nothing in them says whether the holder is an aggregator or a collaborator")
	}
}

// warnOfOpenKey says so if other users of this machine have access to the key.
func warnOfOpenKey(log *slog.Logger, config trust.Config) {
	_, key, _ := identity.Files(config.CertDir, config.Role, config.Name)
	if info, err := os.Stat(key); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users of this machine have access to the private key", "file", key, "mode", info.Mode().Perm().String(), "hint", "chmod 600 "+key)
	}
}

// warnOfOpenState says so if other users of this machine can change the state.
func warnOfOpenState(log *slog.Logger, dir string) {
	for _, folder := range []string{dir, filepath.Join(dir, "journal")} {
		if info, err := os.Stat(folder); err == nil && info.Mode().Perm()&0o022 != 0 {
			log.Warn("other users of this machine can change the state", "folder", folder, "mode", info.Mode().Perm().String(), "hint", "chmod go-w "+folder)
		}
	}
}

// hostName is this host's name for plans that leave the aggregator's address
// open. OpenFL asks for the fully qualified name; what the system says is the
// nearest that works without a resolver.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return strings.ToLower(name)
}
