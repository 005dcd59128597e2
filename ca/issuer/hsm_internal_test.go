package issuer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fx/ca/identity"
)

func TestCheckHSM(t *testing.T) {
	for uri, want := range map[string]string{
		"pkcs11:token=fx": "",
		"pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=fx": "",
		"pkcs11:slot-id=5;max-sessions=4":                             "",
		"pkcs11:serial=1a2b":                                          "",
		"yubikey:slot-id=9c":                                          "it begins with pkcs11:",
		"awskms:region=x":                                             "it begins with pkcs11:",
		"token=fx":                                                    "it begins with pkcs11:",
		"pkcs11:module-path=/x.so":                                    "names no token",
		"pkcs11:token=":                                               "without a value",
		"pkcs11:token=fx;object=key":                                  `attribute "object"`,
		"pkcs11:token=fx?pin-value=73519028":                          "PIN is not part",
		"pkcs11:token=fx;pin-source=/pin":                             "PIN is not part",
		"pkcs11:token=fx?module-name=x":                               "no PKCS #11 URI",
		"pkcs11:token=fx\n":                                           "no PKCS #11 URI",
		"pkcs11:token=" + strings.Repeat("x", 1100):                   "no PKCS #11 URI",
	} {
		err := CheckHSM(uri)
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, identity.ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", uri, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "73519028") {
			t.Errorf("%q: the PIN is said: %v", uri, err)
		}
	}
}

func TestPINsAreNotSaid(t *testing.T) {
	pin := []byte("73519028")
	for _, text := range []string{
		"pkcs11:token=fx?pin-value=73519028 failed",
		`cannot open "pkcs11:token=fx?pin-value=99999999"`,
		"key with uri pkcs11:token=fx?pin-source=/secret/99999999&x=1 is not valid",
		"C_Login(73519028): CKR_PIN_INCORRECT",
		"login: CKR_DEVICE_ERROR 73519028",
	} {
		got := hsmError("open the HSM", errors.New(text), pin).Error()
		if strings.Contains(got, "73519028") || strings.Contains(got, "99999999") {
			t.Errorf("%q says the PIN", got)
		}
	}
	if err := hsmError("open the HSM", errors.New("CKR_PIN_INCORRECT"), pin); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a wrong PIN is no wrong passphrase: %v", err)
	}
}

// A key file with a reference needs a PIN, and this build says what can open it.
func TestKeyReference(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private", "network-ca.key")
	if err := writeKeyReference(path, "pkcs11:token=fx;id=00;object=x"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if locked, err := keyIsEncrypted(path); err != nil || !locked {
		t.Errorf("locked %v, %v", locked, err)
	}
	if _, err := openKey(path, []byte("0000")); !HasHSM && !errors.Is(err, ErrNoHSM) {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"pkcs11:token=fx?pin-value=1", "pkcs11:token=fx\nmore", "pkcs11:token=fx;pin-source=/x"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openKey(path, nil); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// A key in an HSM gets its successor in the token where it is itself.
func TestTokenOfAKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private", "network-ca.key")
	if err := writeKeyReference(path, "pkcs11:module-path=/m.so;token=fx;id=00ff;object=fx-fed.example.org-network-ca"); err != nil {
		t.Fatal(err)
	}
	if token, err := tokenOf(path); err != nil || token != "pkcs11:module-path=/m.so;token=fx" {
		t.Errorf("got %q, %v", token, err)
	}
	if err := os.WriteFile(path, []byte("pkcs11:id=00ff;object=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tokenOf(path); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a key in no token: got %v", err)
	}
	if err := os.WriteFile(path, []byte("-----BEGIN PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, err := tokenOf(path); err != nil || token != "" {
		t.Errorf("a key in a file: got %q, %v", token, err)
	}
}
