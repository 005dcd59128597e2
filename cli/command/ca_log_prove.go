package command

import (
	"encoding/pem"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/cli/ui"
)

func caLogProve() *cli.Command {
	return &cli.Command{
		Name:      "prove",
		Usage:     "write a proof that a certificate is in the log, for anybody to verify",
		ArgsUsage: "CERTIFICATE",
		Description: `Examples:
   fxctl ca log prove hospital-a.answer -o hospital-a.proof
   fxctl cert verify cert/client/col_hospital-a.crt --role collaborator --log-proof hospital-a.proof`,
		Flags: []cli.Flag{documentFlag("write it to `FILE` (- is standard output)"), caFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "CERTIFICATE")
			if err != nil {
				return nil, err
			}
			if err := ui.Require(c, "output"); err != nil {
				return nil, err
			}
			if err := checkOutput(c); err != nil {
				return nil, err
			}
			return runCALogProve(ui.From(c), c.String("ca"), args[0], c.String("output"))
		}),
	}
}

type caLogProveResult struct {
	File   string `json:"file"`
	Index  int64  `json:"index"` // of the record
	Serial string `json:"serial"`
	Name   string `json:"name"`
	Size   int64  `json:"size"` // of the log that the checkpoint is of
}

func runCALogProve(k *ui.Console, dir, certificate, file string) (*caLogProveResult, error) {
	data, err := readInput(k, certificate, identity.MaxCRL)
	if err != nil {
		return nil, err
	}
	blocks, err := identity.ParsePEM(data, 64)
	if err != nil {
		return nil, fmt.Errorf("cannot prove %q: %w", certificate, err)
	}
	certs, err := identity.ParseCertificates(pem.EncodeToMemory(blocks[0])) // an answer begins with the participant's
	if err != nil {
		return nil, fmt.Errorf("cannot prove %q: %w", certificate, err)
	}
	l, err := readLog(k, dir, "", "")
	if err != nil {
		return nil, err
	}
	p, err := l.Prove(certs[0])
	if err != nil {
		return nil, fmt.Errorf("cannot prove %q: %w", certificate, err)
	}
	out, err := p.Encode()
	if err != nil {
		return nil, err
	}
	if err := writeDocument(k, "proof", file, out); err != nil || file == "-" {
		return nil, err
	}
	r := l.Records[p.Index]
	return &caLogProveResult{File: file, Index: p.Index, Serial: r.Serial, Name: r.Name, Size: l.Checkpoint().Size}, nil
}

// Text is the result for people.
func (r *caLogProveResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s is record %d of %d; the proof: %s\n", r.Name, r.Index, r.Size, r.File)
	return err
}
