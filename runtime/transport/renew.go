package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Credentials are what a client proves itself with, and whom it trusts, at one
// moment.
type Credentials struct {
	TLS *tls.Config       // own certificate, CAs, server name; required
	Own *x509.Certificate // own leaf, to explain refusals with; may be nil

	// Check says what is wrong with the own certificate as this side sees it, in
	// the errors of package trust; nil: nothing is known to be.
	Check func(at time.Time) error
}

// ownFlaw is what is wrong with the own certificate by this side's own clock,
// CAs and revocation lists. That is a matter for a person; it is false for what
// waiting mends, and for a list that is too old to tell.
func (cr Credentials) ownFlaw(now time.Time) (cause Cause, detail string, found bool) {
	if cr.Check == nil || cr.Own == nil {
		return "", "", false
	}
	err := cr.Check(now)
	if err == nil || isStale(err) {
		return "", "", false
	}
	cause, detail, ok := rejection(err, cr.Own, nil, now)
	if !ok || remedies[cause].retry {
		return "", "", false
	}
	return cause, "own " + detail, true
}

// flawLog says once that the own certificate is not in order, and once more if
// it is not for another reason.
type flawLog struct {
	log  *slog.Logger
	last atomic.Pointer[Cause]
}

func (l *flawLog) note(cause Cause, addr, detail string) {
	if before := l.last.Swap(&cause); before != nil && *before == cause || cause == "" {
		return
	}
	l.log.Warn("own certificate is not in order, the aggregator will refuse it", slog.Any("", newFailure(cause, addr, detail, nil)))
}

// instead is the failure that says what a person has to mend, where the network
// alone would be waited for in vain. Evidence against a clock stands: by that
// clock the own certificate is out of order, too.
func (cr Credentials) instead(f *Failure, now time.Time) *Failure {
	if !f.Retry() || f.Cause == CauseClockSkew || f.Cause == CauseNotYetValid {
		return f
	}
	cause, detail, found := cr.ownFlaw(now)
	if !found {
		return f
	}
	return newFailure(cause, f.Addr, fmt.Sprintf("%s (and %s: %s)", detail, f.Cause, f.Detail), f.Err)
}

// hardened makes a server's changing configuration as strict as its first.
func hardened(get func(*tls.ClientHelloInfo) (*tls.Config, error)) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := get(hello)
		if err != nil || c == nil {
			return nil, err
		}
		return serverTLS(c), nil
	}
}

// judgedLater lets a peer past the handshake if all that is wrong is that this
// server's revocation list is too old: each request is refused then, which can
// say so, whereas an alert would tell the peer that it is revoked.
func judgedLater(verify func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if verify == nil {
		return nil
	}
	return func(s tls.ConnectionState) error {
		if err := verify(s); !isStale(err) {
			return err
		}
		return nil
	}
}

// ownLeaf is the certificate that a server's configuration presents now, or nil.
func ownLeaf(c *tls.Config) *x509.Certificate {
	if c.GetConfigForClient != nil {
		if now, err := c.GetConfigForClient(&tls.ClientHelloInfo{}); err == nil && now != nil {
			c = now
		}
	}
	if len(c.Certificates) == 0 {
		return nil
	}
	return c.Certificates[0].Leaf
}
