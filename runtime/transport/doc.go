// Package transport carries the OpenFL service between one aggregator and its
// collaborators over mutually authenticated TLS, says whom a request comes
// from, and names the cause when a connection does not come about.
//
// Three rules shape it. The certificate is the identity: a name in a header is
// only compared with it. A connection is made by this package, not by gRPC,
// which is handed one finished connection and never dials again: so one request
// is one connection, and the cause of a failure is known, not guessed. And what
// retrying cannot mend is not retried.
package transport
