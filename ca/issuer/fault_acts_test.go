//go:build faults && unix

package issuer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fx/ca/identity"
)

// act is something that a CA does and that outlives its process.
type act struct {
	do    func(dir string) error
	again func(dir string) error // what a custodian does who finds it interrupted; nil: nothing
	name  string                 // whose request there is; "" is site-1
	old   bool                   // the CA is one of an older version, without a log
	least int                    // moments that there are at least
}

// acts are what the commands do, in the same order.
var acts = map[string]act{
	"init": {do: func(dir string) error {
		_, err := Create(context.Background(), CreateOptions{Dir: filepath.Join(dir, "ca"), Federation: "fed.example.org"})
		return err
	}, least: 40},
	"sign":           {do: signOne, again: signOne, least: 10},
	"renew":          {do: signOne, again: signOne, name: "site-0", least: 10},
	"migrate":        {do: signOne, again: signOne, old: true, least: 7},
	"revoke":         {do: revokeOne, again: revokeOne, least: 40},
	"crl":            {do: makeLists, again: makeLists, least: 35},
	"rotate-network": {do: rotate(Network), again: rotateAgain(Network), least: 45},
	"rotate-root":    {do: rotate(Root), again: rotateAgain(Root), least: 60},
	"batch": {do: func(dir string) error {
		ca, err := openUnlocked(dir, Network)
		if err != nil {
			return err
		}
		var records []*Record
		for i := range 100 {
			records = append(records, &Record{Format: recordFormat, Kind: KindCRL, Issuer: Signing, Number: int64(i + 1), Federation: "fed.example.org", IssuedAt: then})
		}
		return ca.appendRecords(records...)
	}, least: 5},
}

func openUnlocked(dir string, kinds ...Kind) (*CA, error) {
	ca, err := Open(filepath.Join(dir, "ca"), nil)
	for _, k := range kinds {
		if err == nil {
			err = ca.Unlock(k, nil)
		}
	}
	return ca, err
}

// signOne signs as `fxctl ca sign --replace` does: the answer is written last.
func signOne(dir string) error {
	ca, err := openUnlocked(dir, Network)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "csr"))
	if err != nil {
		return err
	}
	req, err := ParseRequest(data)
	if err != nil {
		return err
	}
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, Options{Replace: true})
	if err != nil {
		return err
	}
	return identity.CreateFile(filepath.Join(dir, "answer"), issued.Answer.Encode(), 0o644)
}

// revokeOne is `fxctl ca revoke site-0`; if that is recorded, `fxctl ca crl`.
func revokeOne(dir string) error {
	ca, err := openUnlocked(dir, Network, Signing)
	if err != nil {
		return err
	}
	entries, err := ca.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name == "site-0" && e.Status == Valid {
			_, err = ca.Revoke(context.Background(), []string{e.Serial}, "keyCompromise")
		}
	}
	if err != nil {
		return err
	}
	lists, err := ca.IssueCRLs(context.Background(), ListOptions{})
	if err == nil && (len(lists) != 2 || lists[0].Record.Entries != 1) {
		err = fmt.Errorf("%d lists, the first with %d entries", len(lists), lists[0].Record.Entries)
	}
	return err
}

// makeLists is `fxctl ca crl --root`.
func makeLists(dir string) error {
	ca, err := openUnlocked(dir)
	if err != nil {
		return err
	}
	o := ListOptions{Root: true}
	if err := ca.UnlockLists(nil, o); err != nil {
		return err
	}
	_, err = ca.IssueCRLs(context.Background(), o)
	return err
}

// rotate is `fxctl ca rotate`.
func rotate(k Kind) func(dir string) error {
	return func(dir string) error {
		ca, err := openUnlocked(dir)
		if err != nil {
			return err
		}
		_, err = ca.Rotate(context.Background(), k, nil)
		return err
	}
}

// rotateAgain rotates if the interrupted rotation does not count, and publishes;
// either way the CA signs with its new key afterwards.
func rotateAgain(k Kind) func(dir string) error {
	return func(dir string) error {
		ca, err := openUnlocked(dir)
		if err != nil {
			return err
		}
		if ca.State.generationOf(k) == 1 {
			if err := rotate(k)(dir); err != nil {
				return err
			}
		}
		return errors.Join(makeLists(dir), signOne(dir))
	}
}
