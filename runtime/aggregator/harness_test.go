package aggregator

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"fx/bundle"
	"fx/ca/identity"
	openflpb "fx/proto"
	"fx/runtime/codec"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// tracePlan is the plan of the worked example that OpenFL's own aggregator was
// observed with: two rounds, three tasks, everybody does everything.
const tracePlan = `
aggregator:
  settings: {best_state_path: save/best.pbuf, db_store_rounds: 2, init_state_path: save/init.pbuf, last_state_path: save/last.pbuf, rounds_to_train: 2}
  template: openfl.component.Aggregator
assigner:
  settings:
    task_groups:
    - {name: learning, percentage: 1.0, tasks: [aggregated_model_validation, train, locally_tuned_model_validation]}
  template: openfl.component.RandomGroupedAssigner
collaborator:
  settings: {use_delta_updates: false, opt_treatment: RESET}
  template: openfl.component.Collaborator
compression_pipeline: {settings: {}, template: openfl.pipelines.NoCompressionPipeline}
data_loader: {settings: {}, template: src.dataloader.Loader}
network:
  settings: {agg_addr: localhost, agg_port: 50000}
  template: openfl.federation.Network
task_runner: {settings: {}, template: src.taskrunner.Runner}
tasks:
  aggregated_model_validation: {function: validate_task, kwargs: {apply: global, metrics: [acc]}}
  train: {function: train_task, kwargs: {metrics: [loss]}}
  locally_tuned_model_validation: {function: validate_task, kwargs: {apply: local, metrics: [acc]}}
`

var traceTasks = []string{"aggregated_model_validation", "train", "locally_tuned_model_validation"}

// federation makes what a bundle would say: the plan above, two collaborators,
// and the model w = 2x3 zeros, b = [0, 1].
func federation(t testing.TB) *bundle.Federation {
	t.Helper()
	plan, err := schema.ParsePlan("plan.yaml", []byte(tracePlan))
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := plan.Resolve(schema.ResolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	model := values{"w": {0, 0, 0, 0, 0, 0}, "b": {0, 1}}
	var pbuf bytes.Buffer
	if err := tensor.WriteModel(&pbuf, []tensor.NamedSource{
		source("b", []int{2}, model["b"]), source("w", []int{2, 3}, model["w"]),
	}); err != nil {
		t.Fatal(err)
	}
	tensors, err := tensor.ScanModel(bytes.NewReader(pbuf.Bytes()), int64(pbuf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return &bundle.Federation{
		Plan: resolved, Roster: []string{"two", "one"},
		Model: &bundle.Model{Tensors: tensors, Data: bytes.NewReader(pbuf.Bytes()), Pipeline: codec.NoCompression{}},
	}
}

type values map[string][]float32

func source(name string, shape []int, v []float32) tensor.NamedSource {
	return tensor.NamedSource{
		Named: tensor.Named{Name: name, Lossless: true, Tags: []string{"compressed", "model"},
			Metadata: tensor.ShapeMetadata(shape), DataSize: int64(4 * len(v))},
		Data: bytes.NewReader(tensor.AppendFloat32s(nil, v)),
	}
}

// testbed is a running aggregator with real connections to it.
type testbed struct {
	t       *testing.T
	dir     string
	store   journal.Store            // nil: a folder under dir
	before  func(step, name string)  // of that folder's durable steps
	edit    func(*bundle.Federation) // nil: the worked example as it is
	roster  string                   // the roster file, "" is the worked example's
	after   func(time.Duration, func()) func() bool
	server  func(*transport.ServerOptions) // nil: every certificate of the test's CA is let in
	group   string                         // the only task group, "" for all
	agg     *Aggregator
	plan    *schema.Resolved
	clients map[string]*transport.Client
	pki     *testPKI
	address string // that it listens on
	stop    func()
}

// newTestbed starts an aggregator whose state is in dir.
func newTestbed(t *testing.T, dir string) *testbed {
	t.Helper()
	b := &testbed{t: t, dir: dir}
	b.mustStart()
	return b
}

func (b *testbed) mustStart() {
	b.t.Helper()
	if err := b.start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.stop() })
}

// start opens the journal and serves.
func (b *testbed) start() error {
	b.t.Helper()
	dir, err := journal.OpenDir(filepath.Join(b.dir, "journal"))
	if err != nil {
		return err
	}
	dir.Before = b.before
	store := journal.Store(dir)
	if b.store != nil {
		store = b.store
	}
	f := federation(b.t)
	if b.edit != nil {
		b.edit(f)
	}
	b.plan = f.Plan
	j, err := journal.Open(store, journal.Federation{Bundle: "b1", FederationID: f.Plan.FederationID, Participant: f.Plan.AggregatorID})
	if err == nil {
		b.agg, err = start(f, Options{
			Journal: j, Output: b.dir, Roster: b.roster, TaskGroup: b.group, AfterFunc: b.after, Log: slog.New(slog.NewTextHandler(b.t.Output(), nil)),
		})
	}
	if err != nil {
		_ = dir.Close()
		b.stop = func() {}
		return err
	}
	pki := newPKI(b.t)
	b.pki = pki
	options := transport.ServerOptions{
		TLS: pki.config("localhost"), Sent: b.agg.Sent,
		Verify: func(chain []*x509.Certificate, _ time.Time) (identity.Identity, error) {
			return identity.Identity{Role: identity.Collaborator, Name: chain[0].Subject.CommonName}, nil
		},
	}
	if b.server != nil {
		b.server(&options)
	}
	server := transport.NewServer(options, b.agg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	b.clients = map[string]*transport.Client{}
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		b.clients[name] = transport.NewClient(transport.ClientOptions{
			Host: "localhost", Port: l.Addr().(*net.TCPAddr).Port, TLS: pki.config(name), Sender: name,
			FederationID: f.Plan.FederationID, AggregatorID: f.Plan.AggregatorID, NewConnectionPerRequest: true,
		})
	}
	b.stop = func() {
		cancel()
		if err := <-served; err != nil {
			b.t.Error(err)
		}
		_ = dir.Close()
		b.stop = func() {}
	}
	return nil
}

// restart stops the aggregator and starts it again from its journal.
func (b *testbed) restart() {
	b.t.Helper()
	b.stop()
	if err := b.start(); err != nil {
		b.t.Fatal(err)
	}
}

// tasks asks for work as a collaborator.
func (b *testbed) tasks(name string) *openflpb.GetTasksResponse {
	b.t.Helper()
	resp, err := b.clients[name].Tasks(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// result is what a collaborator reports for a task.
type result struct {
	round    int32
	task     string
	dataSize int32
	tensors  []*openflpb.NamedTensor
}

func (b *testbed) message(name string, r result) []byte {
	b.t.Helper()
	msg, err := proto.Marshal(&openflpb.TaskResults{
		Header:      &openflpb.MessageHeader{Sender: name, Receiver: b.plan.AggregatorID, FederationUuid: b.plan.FederationID},
		RoundNumber: r.round, TaskName: r.task, DataSize: r.dataSize, Tensors: r.tensors,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return msg
}

// send reports a result as a collaborator.
func (b *testbed) send(name string, r result) error {
	b.t.Helper()
	msg := b.message(name, r)
	return b.clients[name].Send(b.t.Context(), bytes.NewReader(msg), int64(len(msg)))
}

func (b *testbed) mustSend(name string, r result) {
	b.t.Helper()
	if err := b.send(name, r); err != nil {
		b.t.Fatalf("%s, %s, round %d: %v", name, r.task, r.round, err)
	}
}

// model downloads a tensor as a collaborator.
func (b *testbed) model(name, tensorName string, round int32) []float32 {
	b.t.Helper()
	got, err := b.fetch(name, tensorName, round, true, "model")
	if err != nil {
		b.t.Fatal(err)
	}
	return tensor.Float32s(got.GetDataBytes())
}

func named(name string, round int32, report bool, shape []int32, v []float32, tags ...string) *openflpb.NamedTensor {
	return &openflpb.NamedTensor{
		Name: name, RoundNumber: round, Lossless: true, Report: report, Tags: tags,
		TransformerMetadata: []*openflpb.MetadataProto{{IntList: shape}}, DataBytes: tensor.AppendFloat32s(nil, v),
	}
}

// traceResult is what collaborator name of the worked example makes of a task:
// "one" (100 training, 10 validation samples) adds [0..5] to w, "two" (300, 30)
// adds twice that; the local accuracy is half the sum of what was added.
func traceResult(name, task string, round int32, w []float32) result {
	k, n := float32(1), int32(10)
	if name == "two" {
		k, n = 2, 30
	}
	switch task {
	case "aggregated_model_validation":
		return result{round, task, n, []*openflpb.NamedTensor{
			named("acc", round, true, nil, []float32{w[5] / 2}, "compressed", "metric", "validate_agg")}}
	case "locally_tuned_model_validation":
		return result{round, task, n, []*openflpb.NamedTensor{
			named("acc", round, true, nil, []float32{w[5]/2 + 2.5*k}, "compressed", "metric", "validate_local")}}
	}
	next := make([]float32, len(w))
	for i := range next {
		next[i] = w[i] + k*float32(i)
	}
	return result{round, task, 10 * n, []*openflpb.NamedTensor{
		named("loss", round, true, nil, []float32{0.5}, "compressed", "metric"),
		named("w", round, false, []int32{2, 3}, next, "compressed", "trained"),
		named("b", round, false, []int32{2}, []float32{0, 1}, "compressed", "trained")}}
}

// testPKI is a CA for one test.
type testPKI struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newPKI(t testing.TB) *testPKI {
	p := &testPKI{t: t, pool: x509.NewCertPool()}
	p.cert, p.key = p.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	p.pool.AddCert(p.cert)
	return p
}

func (p *testPKI) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if p.cert != nil {
		parent, signer = p.cert, p.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		p.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return cert, key
}

// config is both ends' TLS configuration for the holder of a name.
func (p *testPKI) config(name string) *tls.Config {
	cert, key := p.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}},
		RootCAs:      p.pool, ClientCAs: p.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}
