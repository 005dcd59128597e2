package command

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/receipt"
)

func receiptGroup() *cli.Command {
	return &cli.Command{
		Name:        "receipt",
		Usage:       "an aggregator's signed account of a federation: verify, show",
		Subcommands: []*cli.Command{receiptVerify(), receiptShow()},
	}
}

// readReceipt reads a receipt; nothing about it is trusted yet.
func readReceipt(c *cli.Context, file string) (*receipt.Signed, error) {
	data, err := readInput(ui.From(c), file, receipt.MaxBytes)
	if err != nil {
		return nil, err
	}
	r, err := receipt.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read receipt %q: %w", file, err)
	}
	return r, nil
}
