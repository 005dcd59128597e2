package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/journal"
	"fx/schema"
)

func journalCommand() *cli.Command {
	return &cli.Command{
		Name:  "journal",
		Usage: "look at the durable record of an aggregator or a collaborator",
		Description: `Everything that survives a restart is in STATE/journal. The command only reads,
also while the participant runs.`,
		Subcommands: []*cli.Command{journalShow()},
	}
}

func journalShow() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "list rounds, results, models and what is damaged",
		ArgsUsage: "DIR",
		Description: `DIR is a state folder, or the journal in it. Exit code 3 if something is damaged;
everything else is shown nevertheless.

Examples:
   fxrun journal show state/plan.yaml_12345678/aggregator
   fxrun journal show agg/journal --digests
   fxrun journal show agg --json | jq '.rounds[-1].results'`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "digests", Usage: "read every file whole and compare it with the records"}},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "DIR")
			if err != nil {
				return nil, err
			}
			r, err := runJournalShow(c, args[0], c.Bool("digests"))
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type journalShowResult struct {
	Journal string `json:"journal"`
	*journal.Survey
}

func runJournalShow(c *cli.Context, dir string, digests bool) (*journalShowResult, error) {
	if filepath.Base(filepath.Clean(dir)) != "journal" {
		dir = filepath.Join(dir, "journal")
	}
	store, err := journal.OpenReadOnly(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = ui.Hint(err, "name the folder of --state, by default state/FEDERATION/aggregator or state/FEDERATION/NAME")
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }() // read only
	survey, err := store.Survey(c.Context, digests)
	if err != nil {
		return nil, err
	}
	r := &journalShowResult{dir, survey}
	if n := len(survey.Damage); n > 0 {
		d := survey.Damage[0]
		err = fmt.Errorf("%d files of the journal %q are damaged, the first is %q: %s: %w", n, dir, d.Name, d.Reason, schema.ErrInvalid)
	}
	return r, err
}

// Text is the result for people.
func (r *journalShowResult) Text(w io.Writer) error {
	rows := [][]string{
		{"participant", r.Federation.Participant}, {"federation", r.Federation.FederationID}, {"bundle", r.Federation.Bundle},
		{"size", ui.Bytes(r.Bytes)},
	}
	if len(r.Told) > 0 {
		rows = append(rows, []string{"told to leave", strings.Join(r.Told, ", ")})
	}
	if err := ui.Table(w, nil, rows); err != nil {
		return err
	}
	rows = [][]string{}
	for _, n := range r.Rounds {
		closed := n.State
		if n.ClosedAt != nil {
			closed += " " + n.ClosedAt.Format(time.RFC3339)
		}
		rows = append(rows, []string{strconv.Itoa(n.Round), closed, strings.Join(n.Done, ","), strings.Join(n.Stragglers, ","),
			fmt.Sprintf("%d kept, %d removed", len(n.Results), n.Removed), short(n.Model)})
	}
	if err := table(w, []string{"ROUND", "STATE", "DONE", "LATE", "RESULTS", "LED TO MODEL"}, rows); err != nil {
		return err
	}
	rows = [][]string{}
	for _, n := range r.Rounds {
		for _, f := range n.Results {
			rows = append(rows, []string{strconv.Itoa(n.Round), f.Task, f.Collaborator, f.WrittenAt.Format(time.RFC3339), strconv.Itoa(int(f.Samples)), ui.Bytes(f.Bytes), short(f.SHA256)})
		}
	}
	if err := table(w, []string{"ROUND", "TASK", "COLLABORATOR", "ACCEPTED", "SAMPLES", "SIZE", "SHA-256"}, rows); err != nil {
		return err
	}
	rows = [][]string{}
	for _, f := range r.Files {
		rows = append(rows, []string{f.Name, f.WrittenAt.Format(time.RFC3339), ui.Bytes(f.Bytes), short(f.SHA256)})
	}
	if err := table(w, []string{"FILE", "WRITTEN", "SIZE", "SHA-256"}, rows); err != nil {
		return err
	}
	rows = [][]string{}
	for _, d := range r.Damage {
		rows = append(rows, []string{d.Name, d.Reason})
	}
	return table(w, []string{"DAMAGED", "REASON"}, rows)
}

// table is a table with an empty line before it, or nothing without rows.
func table(w io.Writer, header []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return ui.Table(w, header, rows)
}

// short is the beginning of a digest, for people.
func short(sum string) string { return sum[:min(16, len(sum))] }
