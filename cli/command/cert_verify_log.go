package command

import (
	"crypto/x509"
	"fmt"

	"github.com/urfave/cli/v2"

	"fx/ca/issuer"
	"fx/ca/trust"
)

func logProofFlag() cli.Flag {
	return &cli.StringFlag{Name: "log-proof", Usage: "`FILE` that proves the certificate to be in the CA's log: fxctl ca log prove", TakesFile: true}
}

// checkLogProof judges --log-proof with the CA certificates that are trusted
// anyway: nothing else is needed, and no connection.
func (r *certVerifyResult) checkLogProof(o certVerifyOptions, c *x509.Certificate, anchors *trust.Anchors) error {
	if o.logProof == "" {
		return nil
	}
	data, err := readInput(o.console, o.logProof, issuer.MaxProof)
	if err != nil {
		return err
	}
	p, err := issuer.ParseProof(data)
	if err == nil {
		_, err = p.Verify(c, anchors.Certificates())
	}
	if err != nil {
		return fmt.Errorf("proof %q: %w", o.logProof, err)
	}
	r.LogIndex = &p.Index
	return nil
}
