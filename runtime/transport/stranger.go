package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// strangers are crypto/tls's words, which have no type, for peers that cannot be
// collaborators.
var strangers = []struct {
	contains, detail string
	cause            Cause
}{
	{"client didn't provide a certificate", "the peer shows no certificate: a proxy that inspects TLS is in between, or it is no collaborator", CauseIntercepted},
	{"client offered only unsupported versions", "the peer does not speak TLS 1.3", CauseNotTLS},
	{"client requested unsupported application protocols", "the peer does not speak HTTP/2", CauseNotTLS},
}

// peerGone is the cause of a handshake that failed for another reason than the
// client's certificate. own is what this aggregator has shown, serverName whom
// the peer asked for ("" for an address).
func peerGone(err error, own *x509.Certificate, serverName string, now time.Time) (Cause, string) {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return CauseNotTLS, "the peer does not speak TLS"
	}
	for _, s := range strangers {
		if strings.Contains(err.Error(), s.contains) {
			return s.cause, s.detail
		}
	}
	alert, ok := remoteAlert(err)
	if !ok {
		return networkCause(err)
	}
	switch alert {
	case alertUnknownCA, alertCertificateUnknown, alertBadCertificate, alertUnsupportedCertificate:
		return refusedByPeer(own, serverName, now)
	case alertCertificateExpired:
		return CauseExpired, "the peer says that this aggregator's certificate is expired"
	case alertCertificateRevoked:
		return CauseRevoked, "the peer says that this aggregator's certificate is revoked"
	}
	return CauseInternal, "the peer ended the handshake: " + clean(err.Error())
}

// refusedByPeer says why a peer does not accept this aggregator's certificate.
// Clients that are made with crypto/tls say the same one word for every reason,
// so what the own certificate is decides, and which host was asked for.
func refusedByPeer(own *x509.Certificate, serverName string, now time.Time) (Cause, string) {
	const refused = "the peer does not accept this aggregator's certificate"
	switch {
	case own == nil:
	case now.After(own.NotAfter), now.Before(own.NotBefore):
		cause, detail := peerValidity(own, nil, now)
		return cause, refused + ": " + detail
	case serverName != "" && own.VerifyHostname(serverName) != nil:
		return CauseNameMismatch, fmt.Sprintf("%s: it asks for host %q, and the certificate is for %s", refused, clean(serverName), hosts(own))
	}
	return CauseWrongCA, refused + ", which is in order here: the peer's chain is another CA's, its list revokes the certificate, or its clock is wrong"
}
