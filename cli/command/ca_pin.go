package command

import (
	"context"

	"fx/cli/ui"
)

// pin obtains the PIN of a token, which exists already: from where a passphrase
// would come, or it is typed once.
func pin(ctx context.Context, k *ui.Console, file string) ([]byte, error) {
	p, found, err := givenPassphrase(file)
	if err != nil || found {
		return p, err
	}
	return ask(ctx, k, k.Secret, "PIN of the token:", passphraseOption)
}
