package aggregator

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	openflpb "fx/proto"
)

// A collaborator of a plan with a connector is told that this federation has
// none; anybody else learns nothing.
func TestInteropRelayIsRefused(t *testing.T) {
	b := newTestbed(t, t.TempDir())
	for _, tt := range []struct {
		name, as, federation string
		code                 codes.Code
		text                 string
	}{
		{"a collaborator", "one", b.plan.FederationID, codes.Unimplemented, "has no connector to another framework"},
		{"of another federation", "one", "elsewhere", codes.FailedPrecondition, "wrong-federation: "},
		{"a stranger", "four", b.plan.FederationID, codes.PermissionDenied, "not-in-roster: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc, err := grpc.NewClient("passthrough:///"+b.address, grpc.WithTransportCredentials(credentials.NewTLS(b.pki.config(tt.as))), grpc.WithAuthority("localhost"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cc.Close() })
			_, err = openflpb.NewAggregatorClient(cc).InteropRelay(t.Context(), &openflpb.InteropMessage{
				Header:   &openflpb.MessageHeader{Sender: tt.as, Receiver: b.plan.AggregatorID, FederationUuid: tt.federation},
				Message:  &openflpb.DataStream{Size: 5, Npbytes: []byte("hello")},
				Metadata: map[string]string{"grpc-message-name": "flwr.proto.Fleet"},
			})
			if st := status.Convert(err); st.Code() != tt.code || !strings.Contains(st.Message(), tt.text) {
				t.Errorf("got %v, want %v: %s", err, tt.code, tt.text)
			}
		})
	}
}
