package transport

import (
	"crypto/x509"
	"errors"
	"net"
	"reflect"
	"time"

	"fx/ca/identity"
)

// TLS alert descriptions (RFC 8446, section 6.2) that say something about the
// cause; crypto/tls does not export them.
const (
	alertHandshakeFailure       = 40
	alertBadCertificate         = 42
	alertUnsupportedCertificate = 43
	alertCertificateRevoked     = 44
	alertCertificateExpired     = 45
	alertCertificateUnknown     = 46
	alertUnknownCA              = 48
	alertProtocolVersion        = 70
	alertInternalError          = 80
	alertUnrecognizedName       = 112
	alertCertificateRequired    = 116
	alertNoApplicationProtocol  = 120
)

// certificateAlerts are those that a certificate causes which is known to be out
// of order, but for the one that is about time, of which there are two clocks.
var certificateAlerts = []uint8{
	alertBadCertificate, alertUnsupportedCertificate, alertCertificateRevoked, alertCertificateUnknown, alertUnknownCA,
}

// remoteAlert finds the TLS alert that the peer sent. crypto/tls wraps its
// unexported uint8 in a net.OpError with the operation "remote error".
func remoteAlert(err error) (uint8, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return uint8(v.Uint()), true
}

// notAggregator describes a TLS server that cannot be an aggregator.
const notAggregator = "the port answers TLS, but not TLS 1.3 with HTTP/2 as an aggregator does"

// refusedByAlert says why the aggregator refused our side of the handshake. In
// TLS 1.3 a client learns that only from an alert, after its own handshake is
// complete; the alert is one number, so what the own certificate is decides
// between causes that share a number.
func refusedByAlert(alert uint8, own *x509.Certificate, now time.Time) (Cause, string) {
	mine := "own certificate " + subject(own)
	role := roleOf(own)
	switch alert {
	case alertUnknownCA, alertCertificateUnknown:
		if role == identity.Publisher || role == identity.Reviewer { // another CA of the same federation issues these
			return wrongRole(mine, role)
		}
		return CauseWrongCA, "the aggregator does not know the CA of " + mine + ", issued by " + issuer(own)
	case alertCertificateRequired:
		return CauseWrongCA, "the aggregator wants a certificate of its own federation's CA and was shown none"
	case alertCertificateExpired:
		return ownValidity(own, now)
	case alertCertificateRevoked:
		return CauseRevoked, "the aggregator says that " + mine + " is revoked"
	case alertUnsupportedCertificate:
		return CauseWrongRole, "the aggregator says that " + mine + " is not for a collaborator"
	case alertBadCertificate:
		if role != "" && role != identity.Collaborator {
			return wrongRole(mine, role)
		}
		if own != nil && !forClients(own) {
			return CauseWrongRole, mine + " is not for TLS clients"
		}
		return CauseRevoked, "the aggregator does not accept " + mine + ", although its role is right: it is probably revoked"
	case alertUnrecognizedName:
		return CauseNameMismatch, "the server has no certificate for this host name"
	case alertHandshakeFailure, alertProtocolVersion, alertNoApplicationProtocol:
		return CauseNotTLS, notAggregator
	case alertInternalError:
		return CauseUnavailable, "the aggregator reports an internal error in the handshake"
	}
	return CauseInternal, "the aggregator ended the handshake"
}

// refusedInSilence is for a server that hangs up after the handshake without an
// alert. OpenFL's aggregator does so when it does not accept a certificate, and
// any server may when it is just ending; only what the own certificate proves
// by itself decides against a retry.
func refusedInSilence(own *x509.Certificate, now time.Time) (Cause, string) {
	const hungUp = "the aggregator hung up right after the handshake"
	if own == nil {
		return CauseReset, hungUp
	}
	if role := roleOf(own); role != "" && role != identity.Collaborator {
		return wrongRole(hungUp+": own certificate "+subject(own), role)
	}
	if !atItsTime(own, now) {
		cause, detail := ownValidity(own, now)
		return cause, hungUp + ": " + detail
	}
	return CauseReset, hungUp + ": it is ending, or does not accept own certificate " + subject(own) + ", issued by " + issuer(own)
}

func wrongRole(mine string, role identity.Role) (Cause, string) {
	return CauseWrongRole, mine + " is for role " + string(role) + ", and the aggregator serves collaborators"
}

// forClients says whether a certificate may be used by a TLS client; one
// without any extended key usage (OpenFL's own) may.
func forClients(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}
