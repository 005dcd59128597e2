package command

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/receipt"
)

func receiptShow() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show what a receipt says, without verifying it",
		ArgsUsage: "RECEIPT",
		Description: `Examples:
   fxctl receipt show state/aggregator/receipt.json
   fxctl receipt show receipt.json --json | jq -r '.receipt.rounds[].model_sha256'`,
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "RECEIPT")
			if err != nil {
				return nil, err
			}
			r, err := readReceipt(c, args[0])
			if err != nil {
				return nil, err
			}
			return &receiptShowResult{File: args[0], Signer: r.Leaf.Subject.CommonName, Receipt: r.Receipt}, nil
		}),
	}
}

type receiptShowResult struct {
	File    string           `json:"file"`
	Signer  string           `json:"signer"` // the certificate's common name, which nobody has verified
	Receipt *receipt.Receipt `json:"receipt"`
}

// Text is the result for people.
func (r *receiptShowResult) Text(w io.Writer) error {
	s := r.Receipt
	if _, err := fmt.Fprintf(w, "%s: not verified here (fxctl receipt verify %s)\n", ui.Clean(r.File), ui.Clean(r.File)); err != nil {
		return err
	}
	rows := [][]string{{"signer", r.Signer}}
	rows = append(rows, receiptRows(s)...)
	for _, a := range s.Signatures {
		rows = append(rows, []string{a.Role, strings.TrimSuffix(fmt.Sprintf("%s, signed %s %s", a.Name, a.SignedAt, a.Decision), " ")})
	}
	rows = append(rows, []string{"policy", strings.TrimSpace(s.Policy.Name + " " + s.Policy.SHA256)})
	for _, t := range s.Tasks {
		rows = append(rows, []string{"task " + t.Name, t.Algorithm})
	}
	for _, m := range s.Roster {
		var sums []string
		for _, c := range m.Certificates {
			sums = append(sums, c.SHA256)
		}
		rows = append(rows, []string{"collaborator " + m.Name, strings.Join(sums, ", ")})
	}
	if err := ui.Table(w, nil, rows); err != nil {
		return err
	}
	rows = [][]string{}
	for _, n := range s.Rounds {
		rows = append(rows, []string{strconv.Itoa(n.Round), strconv.Itoa(len(n.Results)), strings.Join(n.Done, ","), strings.Join(n.Stragglers, ","), n.Model})
	}
	return ui.Table(w, []string{"ROUND", "RESULTS", "DONE", "LATE", "MODEL IT LED TO (SHA-256)"}, rows)
}

// receiptRows is what show and verify both say of a receipt.
func receiptRows(s *receipt.Receipt) [][]string {
	state := fmt.Sprintf("%d rounds closed, not complete", len(s.Rounds))
	if s.Complete {
		state = fmt.Sprintf("complete after %d rounds", len(s.Rounds))
	}
	if s.TaskGroup != "" {
		state += ", task group " + s.TaskGroup
	}
	rows := [][]string{
		{"federation", s.FederationID + ", " + state},
		{"bundle", fmt.Sprintf("%s %s, %s", s.Bundle.Name, s.Bundle.Version, s.Bundle.ID)},
	}
	if s.Best != nil {
		rows = append(rows, []string{"best model", fmt.Sprintf("%s, of round %d", s.Best.SHA256, s.Best.Round)})
	}
	rows = append(rows, []string{"final model", s.Final.SHA256})
	for _, u := range s.Unproven {
		rows = append(rows, []string{"not proven", u})
	}
	return rows
}
