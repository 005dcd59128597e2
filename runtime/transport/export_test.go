package transport

import "google.golang.org/grpc/encoding"

// Wire is the codec of both ends.
func Wire() encoding.CodecV2 { return newWire() }
