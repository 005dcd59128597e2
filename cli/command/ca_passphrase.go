package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

const (
	passphraseVariable = "FX_CA_PASSPHRASE"
	passphraseOption   = "--passphrase-file"
)

func passphraseFlag() cli.Flag {
	return &cli.StringFlag{
		Name:      "passphrase-file",
		Usage:     "file whose first line is the passphrase of the CA keys (/dev/fd/N works); else " + passphraseVariable + " or a prompt",
		TakesFile: true,
	}
}

// newPassphrase obtains the passphrase of keys that are about to be made; at a
// terminal it is typed twice.
func newPassphrase(ctx context.Context, k *ui.Console, file string) ([]byte, error) {
	p, found, err := givenPassphrase(file)
	if err != nil {
		return nil, err
	}
	if !found {
		if p, err = ask(ctx, k, k.Secret, "New passphrase for the CA keys:", passphraseOption); err != nil {
			return nil, err
		}
		again, err := ask(ctx, k, k.Secret, "The same passphrase again:", passphraseOption)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(p, again) {
			return nil, errors.New("cannot use the passphrase: the two differ")
		}
	}
	if err := issuer.CheckPassphrase(p); err != nil {
		return nil, ui.Usagef("cannot use the passphrase%s: %v", source(file, found), err)
	}
	return p, nil
}

// source says where a passphrase that nobody typed comes from.
func source(file string, found bool) string {
	switch {
	case file != "":
		return fmt.Sprintf(" in %q", file)
	case found:
		return " in the variable " + passphraseVariable
	}
	return ""
}

// passphrase obtains the passphrase of keys that exist.
func passphrase(ctx context.Context, k *ui.Console, file string) ([]byte, error) {
	p, found, err := givenPassphrase(file)
	if err != nil || found {
		return p, err
	}
	return ask(ctx, k, k.Secret, "Passphrase of the CA keys:", passphraseOption)
}

// givenPassphrase reads the file or the environment variable.
func givenPassphrase(file string) (p []byte, found bool, err error) {
	if file == "" {
		v, ok := os.LookupEnv(passphraseVariable)
		return []byte(v), ok, nil
	}
	f, err := os.Open(file) // not identity.ReadFile: a pipe is welcome here
	if err != nil {
		return nil, false, fmt.Errorf("cannot read the passphrase: %v", err)
	}
	buf := make([]byte, 4097)
	n := 0
	for n < len(buf) && err == nil && !bytes.ContainsRune(buf[:n], '\n') {
		var m int
		m, err = f.Read(buf[n:])
		n += m
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, false, fmt.Errorf("cannot read the passphrase: %v", err)
	}
	line, _, _ := bytes.Cut(buf[:n], []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > 4096 || len(line) == 0 {
		return nil, false, identity.Invalidf("cannot use the passphrase in %q: its first line is empty or longer than 4096 bytes", file)
	}
	return line, true, nil
}
