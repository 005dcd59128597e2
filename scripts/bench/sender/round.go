package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
	openflpb "fx/proto"
	"fx/runtime/tensor"
	"fx/runtime/transport"
)

type options struct {
	*model
	certs                  string
	port                   int
	federation, aggregator string
	watch                  int
}

// round plays the collaborators of these names until they are told to leave.
func (o *options) round(ctx context.Context, names []string) (*figures, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := watch(o.watch)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			if errs[i] = o.collaborate(ctx, name); errs[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
	}
	return w.stop()
}

func (o *options) collaborate(ctx context.Context, name string) error {
	config, _, err := trust.ClientTLS(trust.Config{CertDir: o.certs, Role: identity.Collaborator, Name: name}, "localhost")
	if err != nil {
		return err
	}
	client := transport.NewClient(transport.ClientOptions{
		Host: "localhost", Port: o.port, TLS: config, Sender: name, FederationID: o.federation, AggregatorID: o.aggregator,
		NewConnectionPerRequest: true,
	})
	defer func() { _ = client.Close() }()
	header := &openflpb.MessageHeader{Sender: name, Receiver: o.aggregator, FederationUuid: o.federation}
	for {
		work, err := client.Tasks(ctx)
		if err != nil {
			return err
		}
		if work.GetQuit() {
			return nil
		}
		for _, task := range work.GetTasks() {
			if err := o.perform(ctx, client, header, work.GetRoundNumber(), task.GetName()); err != nil {
				return fmt.Errorf("task %q: %w", task.GetName(), err)
			}
		}
		if len(work.GetTasks()) == 0 {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// perform downloads the model and uploads as much.
func (o *options) perform(ctx context.Context, c *transport.Client, header *openflpb.MessageHeader, round int32, task string) error {
	for i := range o.tensors {
		d, err := c.Download(ctx, transport.TensorRequest{Name: o.name(i), Round: round, Tags: tensor.ModelTags(), RequireLossless: true, Limit: o.bytes()})
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, io.NewSectionReader(d, 0, d.Size()))
		d.Free()
		if err != nil || n != o.bytes() {
			return fmt.Errorf("tensor %q has %d bytes, want %d (%v)", o.name(i), n, o.bytes(), err)
		}
	}
	results, err := o.results(header, round, task)
	if err != nil {
		return err
	}
	return c.Send(ctx, results, results.size)
}
