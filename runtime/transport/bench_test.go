package transport_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"testing"

	openflpb "fx/proto"
	"fx/runtime/transport"
)

func BenchmarkPing(b *testing.B) {
	for _, bm := range []struct {
		name   string
		perReq bool
	}{{"new connection", true}, {"lasting connection", false}} {
		b.Run(bm.name, func(b *testing.B) {
			p := newPKI(b, fedName)
			srv := serve(b, p, newService("one"), serverSetup{})
			c := dial(b, p, srv.port, clientSetup{options: func(o *transport.ClientOptions) { o.NewConnectionPerRequest = bm.perReq }})
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Ping(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sink is a service that throws uploads away.
type sink struct {
	openflpb.UnimplementedAggregatorServer
	fed transport.Federation
}

func (s sink) SendLocalTaskResults(stream openflpb.Aggregator_SendLocalTaskResultsServer) error {
	if _, err := transport.Receive(stream, io.Discard, 1<<40); err != nil {
		return err
	}
	return stream.SendAndClose(&openflpb.SendLocalTaskResultsResponse{Header: s.fed.ReplyHeader(&openflpb.MessageHeader{Sender: "one"})})
}

// BenchmarkUpload sends 128 MiB in one request, and beside it the same bytes
// through bare TLS, which is the limit.
func BenchmarkUpload(b *testing.B) {
	const size = 128 << 20
	data := make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		b.Fatal(err)
	}
	b.Run("fx", func(b *testing.B) {
		p := newPKI(b, fedName)
		srv := serve(b, p, sink{fed: newService().fed}, serverSetup{})
		c := dial(b, p, srv.port, clientSetup{})
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Send(context.Background(), bytes.NewReader(data), size); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare TLS", func(b *testing.B) {
		l := tls.NewListener(listen(b), &tls.Config{Certificates: []tls.Certificate{outsider(b, "x")}})
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}()
		b.SetBytes(size)
		for b.Loop() {
			c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Write(data); err != nil {
				b.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				b.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
			_ = c.Close()
		}
	})
}
