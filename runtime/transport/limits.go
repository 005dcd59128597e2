package transport

import "time"

// Sizes are OpenFL's, on both sides of both implementations, except what a
// server takes: an upload comes in chunks, and every other request is small.
const (
	maxMessage  = 1 << 30  // bytes of one gRPC message
	maxAnswer   = 1 << 20  // bytes of an answer to a client, beyond the tensor that it asked for
	maxRequest  = 8 << 20  // bytes of one gRPC message to a server
	maxQuestion = 64 << 10 // bytes of one that is no part of an upload: names, tags and a header
	maxMetadata = 32 << 20 // bytes of one answer's headers
	maxHeaders  = 64 << 10 // bytes of one request's headers: neither implementation sends any of its own
	chunkSize   = 1 << 20  // bytes of an upload per message; OpenFL sends 2 MiB
)

// Times and counts that bound what a peer can hold without doing anything.
const (
	handshakeTimeout = 20 * time.Second // TCP accepted to HTTP/2 ready; gRPC clients use the same
	stopGrace        = 5 * time.Second  // for requests in flight when the server ends
	maxStreams       = 64               // requests at once on one connection
	probeIdle        = 2 * time.Minute  // silence after which the server asks whether a peer is alive
	probeTimeout     = 20 * time.Second // for the answer
)

// Windows are what a peer may send to a server before the server reads it. That
// of a stream stays small, for it is memory that every client can take; it grows
// by itself to the size of the message that is being read. A connection's own is
// never memory, and is large so as not to slow down a long way.
const (
	streamWindow = 128 << 10
	connWindow   = 16 << 20
)
