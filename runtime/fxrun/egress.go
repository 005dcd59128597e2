package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/egress"
	"fx/schema"
)

// ledgerName is where a collaborator keeps its ledger, below its state folder.
const ledgerName = "egress.jsonl"

func egressCommand() *cli.Command {
	return &cli.Command{
		Name:  "egress",
		Usage: "show and verify the record of what left this site",
		Description: `Everything that leaves a site has a line in STATE/egress.jsonl, on disk before the
first byte was sent, and so has every attempt that was refused. Both commands only
read, also while a collaborator runs.`,
		Subcommands: []*cli.Command{egressShow(), egressVerify()},
	}
}

func egressShow() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "list what left, with totals per round",
		ArgsUsage: "[LEDGER]",
		Description: `LEDGER is an egress.jsonl; without it, that of --state, or the only one below state/.
The chain is verified on the way: exit code 3 if it is broken.

Examples:
   fxrun egress show
   fxrun egress show --state /var/lib/fx/hospital-a --round 3
   fxrun egress show egress.jsonl --json`,
		Flags: []cli.Flag{stateFlag(), &cli.IntFlag{Name: "round", Usage: "only what is about round `N`"}},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			path, err := ledgerPath(c)
			if err != nil {
				return nil, err
			}
			round := -1
			if c.IsSet("round") {
				if round = c.Int("round"); round < 0 {
					return nil, ui.Usagef("--round is %d; it must not be negative", round)
				}
			}
			return runEgressShow(c.Context, path, round)
		}),
	}
}

func egressVerify() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "verify the chain of a ledger, and that nothing was cut off",
		ArgsUsage: "[LEDGER]",
		Description: `Prints the head, the digest of the last line. The chain alone does not show that
lines were cut off at the end: note the head, and give it with --head the next
time. Exit code 3 if a line was changed, moved or removed.

Examples:
   fxrun egress verify
   fxrun egress verify egress.jsonl --head 5e1f…`,
		Flags: []cli.Flag{stateFlag(), &cli.StringFlag{Name: "head", Usage: "the ledger has had the head `HASH`"}},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			path, err := ledgerPath(c)
			if err != nil {
				return nil, err
			}
			head := strings.ToLower(c.String("head"))
			if c.IsSet("head") && !hexDigest.MatchString(head) {
				return nil, ui.Usagef("--head is %q; it is the 64 hexadecimal digits that fxrun egress verify printed", c.String("head"))
			}
			return runEgressVerify(c.Context, path, head)
		}),
	}
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ledgerPath finds the ledger that a command is about.
func ledgerPath(c *cli.Context) (string, error) {
	args, err := ui.Args(c, "[LEDGER]")
	switch dir := c.String("state"); {
	case err != nil:
		return "", err
	case args[0] != "" && dir != "":
		return "", ui.Usagef("both LEDGER and --state are given; one of them says which ledger it is")
	case args[0] != "":
		return args[0], nil
	case dir != "":
		return filepath.Join(dir, ledgerName), nil
	}
	found, err := filepath.Glob(filepath.Join("state", "*", "*", ledgerName))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot look for a ledger: %v", err)
	case len(found) == 0:
		return "", ui.Usagef("there is no state/*/*/%s here: name the ledger, or its folder with --state", ledgerName)
	case len(found) > 1:
		return "", ui.Usagef("there are several ledgers here: name one of %s", strings.Join(found, ", "))
	}
	return found[0], nil
}

// readLedger verifies a ledger and hands over its lines.
func readLedger(ctx context.Context, path string, visit func(e egress.Entry, hash string) error) (egress.Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return egress.Summary{}, fmt.Errorf("cannot read the egress ledger: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	s, err := egress.ReadLedger(f, func(e egress.Entry, hash string) error {
		return errors.Join(ctx.Err(), visit(e, hash))
	})
	if err != nil {
		return s, fmt.Errorf("cannot trust the egress ledger %q: %w", path, err)
	}
	return s, nil
}

type egressShowResult struct {
	Ledger string         `json:"ledger"`
	Lines  []egress.Entry `json:"lines"`
	egress.Summary
	round int // the only one that is shown, -1 for all
}

func runEgressShow(ctx context.Context, path string, round int) (*egressShowResult, error) {
	r := &egressShowResult{Ledger: path, Lines: []egress.Entry{}, round: round}
	var err error
	r.Summary, err = readLedger(ctx, path, func(e egress.Entry, _ string) error {
		if round < 0 || e.Round == round {
			r.Lines = append(r.Lines, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if round >= 0 {
		r.Rounds = slices.DeleteFunc(r.Rounds, func(t egress.RoundTotal) bool { return t.Round != round })
	}
	return r, nil
}

// Text is the result for people.
func (r *egressShowResult) Text(w io.Writer) error {
	rows := make([][]string, 0, len(r.Lines))
	for _, e := range r.Lines {
		rows = append(rows, []string{strconv.Itoa(e.Round), e.Task, e.Kind, orDash(e.Name), about(e), strconv.FormatInt(e.Bytes, 10), orDash(strings.Join(e.Filters, ", "))})
	}
	if err := ui.Table(w, []string{"ROUND", "TASK", "KIND", "NAME", "WHAT", "BYTES", "FILTERS"}, rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	rows = nil
	for _, t := range r.Rounds {
		rows = append(rows, []string{"round " + strconv.Itoa(t.Round), ui.Bytes(t.Bytes)})
	}
	rows = append(rows, []string{"the run", fmt.Sprintf("%s in %d lines", ui.Bytes(r.Bytes), r.Entries)})
	return ui.Table(w, nil, append(rows, privacyRows(r.Summary)...))
}

// about is what a line says besides name and bytes.
func about(e egress.Entry) string {
	switch e.Kind {
	case egress.KindMetric:
		return strconv.FormatFloat(e.Value, 'g', 6, 64)
	case egress.KindTensor:
		return fmt.Sprintf("%v, norm %.6g", e.Shape, e.Norm)
	case egress.KindDropped:
		return fmt.Sprint(e.Shape)
	case egress.KindRefused:
		return e.Reason
	case egress.KindPrivacy:
		if e.Privacy != nil {
			return fmt.Sprintf("epsilon %.6g at delta %v", e.Privacy.Epsilon, e.Privacy.Delta)
		}
	}
	return "-"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// privacyRows are the account of noised results, if there are any.
func privacyRows(s egress.Summary) [][]string {
	p := s.Privacy
	if p == nil {
		return nil
	}
	rows := [][]string{{"privacy", fmt.Sprintf("epsilon %.6g at delta %v, of the tensors of %s", p.Epsilon, p.Delta, results(p.Releases, "noised result"))}}
	if s.WithoutNoise > 0 {
		rows = append(rows, []string{"warning", results(s.WithoutNoise, "result") + " left without noise: epsilon says nothing about them"})
	}
	return rows
}

func results(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

type egressVerifyResult struct {
	Ledger string `json:"ledger"`
	OK     bool   `json:"ok"`
	egress.Summary
	HeadLine int64 `json:"head_line,omitempty"` // the line that had the head of --head
}

func runEgressVerify(ctx context.Context, path, head string) (*egressVerifyResult, error) {
	r := &egressVerifyResult{Ledger: path, OK: true}
	var err error
	r.Summary, err = readLedger(ctx, path, func(e egress.Entry, hash string) error {
		if hash == head {
			r.HeadLine = e.Sequence
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case head != "" && r.HeadLine == 0:
		return nil, fmt.Errorf("cannot trust the egress ledger %q: none of its %d lines has the head %s; lines that were there are gone, or it is another ledger: %w",
			path, r.Entries, head, schema.ErrInvalid)
	}
	return r, nil
}

// Text is the result for people.
func (r *egressVerifyResult) Text(w io.Writer) error {
	rows := [][]string{
		{"ledger", r.Ledger},
		{"chain", fmt.Sprintf("whole, %d lines", r.Entries)},
		{"head", orDash(r.Head)},
		{"left", fmt.Sprintf("%s in %d rounds", ui.Bytes(r.Bytes), len(r.Rounds))},
	}
	if r.HeadLine > 0 {
		rows = append(rows, []string{"since --head", fmt.Sprintf("%d lines", r.Entries-r.HeadLine)})
	}
	if r.Unfinished > 0 {
		rows = append(rows, []string{"unfinished", fmt.Sprintf("%d bytes of a line that is being written, or was when power failed", r.Unfinished)})
	}
	return ui.Table(w, nil, append(rows, privacyRows(r.Summary)...))
}
