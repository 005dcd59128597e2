//go:build pkcs11

package issuer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// When a CA cannot be put in its place, its keys do not stay in the token either.
// scripts/hsm.sh runs this with a token and looks into it before and after.
func TestHSMKeepsNoKeyOfACAThatIsNotMade(t *testing.T) {
	token, pin := os.Getenv("FX_HSM_TOKEN"), os.Getenv("FX_HSM_PIN")
	if token == "" {
		t.Skip("FX_HSM_TOKEN names no token")
	}
	dir := filepath.Join(t.TempDir(), "ca")
	_, err := Create(context.Background(), CreateOptions{
		Dir: dir, Federation: "undone.example.org", HSM: token, Passphrase: []byte(pin),
		Now: func() time.Time { // asked for in the middle of it: somebody takes the folder's name
			if err := os.MkdirAll(filepath.Join(dir, "taken"), 0o755); err != nil {
				t.Error(err)
			}
			return time.Now()
		},
	})
	if err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
}
