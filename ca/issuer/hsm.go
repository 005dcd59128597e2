package issuer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"fx/ca/identity"
)

// A key in an HSM has a key file like others, in which stands where the key is:
// one line, a PKCS #11 URI (RFC 7512) without a PIN. The PIN takes the place of
// the passphrase. Only the build with the tag pkcs11 can use such keys.

const hsmScheme = "pkcs11:"

// ErrNoHSM says that this program was built without PKCS #11.
var ErrNoHSM error = noHSMError{}

type noHSMError struct{}

func (noHSMError) Error() string {
	return "the key is in an HSM, and this program was built without PKCS #11"
}

// Hint is what can be done.
func (noHSMError) Hint() string {
	return "use fxctl-hsm; from the source: CGO_ENABLED=1 go build -tags pkcs11,urfave_cli_no_docs -o fxctl-hsm ./cli/fxctl"
}

// CheckHSM says what is wrong with the URI of a token in which keys are to be
// made, such as pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=fx.
func CheckHSM(uri string) error {
	attributes, ok := strings.CutPrefix(uri, hsmScheme)
	switch {
	case !ok:
		return identity.Invalidf("%q is no PKCS #11 URI: it begins with %s", redact(uri, nil), hsmScheme)
	case strings.Contains(uri, "pin-"):
		return identity.Invalidf("the PIN is not part of the URI, where everybody sees it: --passphrase-file takes it")
	case strings.ContainsAny(uri, "?\r\n") || len(uri) > 1024:
		return identity.Invalidf("%q is no PKCS #11 URI of a token", uri)
	}
	token := false
	for a := range strings.SplitSeq(attributes, ";") {
		name, value, _ := strings.Cut(a, "=")
		if value == "" {
			return identity.Invalidf("%q has the attribute %q without a value", uri, name)
		}
		switch name {
		case "module-path", "max-sessions":
		case "token", "serial", "slot-id":
			token = true
		default:
			return identity.Invalidf("%q has the attribute %q; there are module-path, token, serial, slot-id, max-sessions", uri, name)
		}
	}
	if !token {
		return identity.Invalidf("%q names no token: give token=LABEL, serial=NUMBER or slot-id=NUMBER", uri)
	}
	return nil
}

// CheckHSMKeyType refuses keys that tokens cannot make.
func CheckHSMKeyType(t identity.KeyType) error {
	switch t {
	case identity.P256, identity.P384, identity.RSA3072:
		return nil
	}
	return identity.Invalidf("keys of type %s cannot be made in an HSM; there are p256, p384, rsa3072", t)
}

// writeKeyReference stores where a key is.
func writeKeyReference(path, uri string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot create key folder: %v", err)
	}
	return identity.CreateFile(path, []byte(uri+"\n"), 0o600)
}

// keyReference reads a key file that says where the key is; "" if it is the key
// itself.
func keyReference(path string) (string, error) {
	data, err := identity.ReadFile(path, maxKeyFile)
	if err != nil || !bytes.HasPrefix(data, []byte(hsmScheme)) {
		return "", err
	}
	uri := strings.TrimSuffix(string(data), "\n")
	if strings.ContainsAny(uri, "\r\n?") || strings.Contains(uri, "pin-") {
		return "", identity.Invalidf("cannot use %q: it does not say where in an HSM the key is", path)
	}
	return uri, nil
}

// tokenOf is the token in which the key of a key file is; "" if it is in none.
func tokenOf(path string) (string, error) {
	uri, err := keyReference(path)
	if err != nil || uri == "" {
		return "", err
	}
	attributes := strings.Split(strings.TrimPrefix(uri, hsmScheme), ";")
	attributes = slices.DeleteFunc(attributes, func(a string) bool { return strings.HasPrefix(a, "id=") || strings.HasPrefix(a, "object=") })
	token := hsmScheme + strings.Join(attributes, ";")
	if err := CheckHSM(token); err != nil {
		return "", fmt.Errorf("cannot use %q: %w", path, err)
	}
	return token, nil
}

var pinAttribute = regexp.MustCompile(`pin-(value|source)=[^&;\s"]*`)

// redact takes PINs out of what a module or its library says.
func redact(text string, pin []byte) string {
	if len(pin) > 0 {
		text = strings.ReplaceAll(text, string(pin), "***")
	}
	return pinAttribute.ReplaceAllString(text, "pin-$1=***")
}

// hsmError says what became of an attempt to use a key, without the PIN.
func hsmError(what string, err error, pin []byte) error {
	text := redact(err.Error(), pin)
	for _, wrong := range []string{"CKR_PIN_INCORRECT", "CKR_PIN_LEN_RANGE", "CKR_PIN_INVALID"} {
		if strings.Contains(text, wrong) {
			return fmt.Errorf("cannot %s: %w (the module says %s)", what, errPIN, wrong)
		}
	}
	return fmt.Errorf("cannot %s: %s", what, text)
}

var errPIN = pinError{}

// pinError is [ErrPassphrase] in the words of an HSM.
type pinError struct{}

func (pinError) Error() string {
	return "the PIN is wrong; most tokens lock themselves after a few wrong ones"
}
func (pinError) Is(target error) bool { return target == ErrPassphrase }
