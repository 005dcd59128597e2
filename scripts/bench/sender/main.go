// Command sender plays the collaborators of a federation for the benchmarks: it
// downloads the model, and uploads as much, without any work in between. It
// measures the aggregator meanwhile, whoever wrote that.
//
//	sender model -tensors 10 -elements 2621440 -o init.pbuf
//	sender round -certs cert -port 12345 -federation ID -aggregator ID -tensors 10 -elements 2621440 -watch PID one two
//	sender limit -bytes 104857600 -collaborators 8
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sender: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to do: model, round or limit")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	m := model{}
	flags.IntVar(&m.tensors, "tensors", 10, "tensors of the model")
	flags.IntVar(&m.elements, "elements", 1<<18, "float32 values of each")
	switch args[0] {
	case "model":
		out := flags.String("o", "init.pbuf", "file to write")
		_ = flags.Parse(args[1:]) // which exits
		return m.write(*out)
	case "round":
		o := options{model: &m}
		flags.StringVar(&o.certs, "certs", "cert", "folder of the collaborators' certificates")
		flags.IntVar(&o.port, "port", 0, "the aggregator's port on localhost")
		flags.StringVar(&o.federation, "federation", "", "federation id")
		flags.StringVar(&o.aggregator, "aggregator", "", "aggregator id")
		flags.IntVar(&o.watch, "watch", 0, "process id of the aggregator")
		_ = flags.Parse(args[1:]) // which exits
		figures, err := o.round(ctx, flags.Args())
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(figures)
	case "limit":
		size := flags.Int64("bytes", 100<<20, "bytes each way, of each collaborator")
		n := flags.Int("collaborators", 8, "collaborators")
		_ = flags.Parse(args[1:]) // which exits
		figures, err := limit(ctx, *size, *n)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(figures)
	}
	return fmt.Errorf("%q is none of model, round, limit", args[0])
}
