package collaborator

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"fx/ca/identity"
	openflpb "fx/proto"
	"fx/runtime/egress"
	"fx/runtime/journal"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// plan is what the tests' collaborator approved.
var plan = &schema.Resolved{
	FederationID: "plan.yaml_12345678", AggregatorID: "aggregator_plan.yaml_12345678",
	Aggregator: schema.AggregatorSettings{Rounds: 2},
	Tasks: []schema.Task{
		{Name: "aggregated_model_validation", Function: "validate_task", Kwargs: map[string]any{"apply": "global", "metrics": []any{"acc"}}},
		{Name: "train", Function: "train_task", Kwargs: map[string]any{"metrics": []any{"loss"}}},
		{Name: "locally_tuned_model_validation", Function: "validate_task", Kwargs: map[string]any{"apply": "local", "metrics": []any{"acc"}}},
	},
}

var modelInfo = tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{2}}

// script is an aggregator that answers GetTasks with one entry after the other,
// then with quit.
type script struct {
	openflpb.UnimplementedAggregatorServer
	answers  []*openflpb.GetTasksResponse
	tensor   *openflpb.NamedTensor                                                     // nil: w = [1, 2]
	give     func(*openflpb.GetAggregatedTensorRequest) (*openflpb.NamedTensor, error) // nil: tensor
	missing  map[int32]bool                                                            // rounds whose model is not there
	arrived  func() error                                                              // called with each result; nil: it is taken
	seen     func(r *openflpb.TaskResults) error                                       // the same
	received []*openflpb.TaskResults
}

func header(h *openflpb.MessageHeader) *openflpb.MessageHeader {
	return &openflpb.MessageHeader{Sender: h.GetReceiver(), Receiver: h.GetSender(), FederationUuid: h.GetFederationUuid()}
}

func (s *script) GetTasks(_ context.Context, req *openflpb.GetTasksRequest) (*openflpb.GetTasksResponse, error) {
	if len(s.answers) == 0 {
		return &openflpb.GetTasksResponse{Header: header(req.GetHeader()), Quit: true, RoundNumber: 2}, nil
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	next.Header = header(req.GetHeader())
	return next, nil
}

func (s *script) GetAggregatedTensor(_ context.Context, req *openflpb.GetAggregatedTensorRequest) (*openflpb.GetAggregatedTensorResponse, error) {
	if s.give != nil {
		t, err := s.give(req)
		return &openflpb.GetAggregatedTensorResponse{Header: header(req.GetHeader()), RoundNumber: req.GetRoundNumber(), Tensor: t}, err
	}
	t := s.tensor
	if s.missing[req.GetRoundNumber()] {
		return nil, status.Error(codes.Unknown, "Exception calling application: Aggregator does not have an aggregated tensor for …")
	}
	if t == nil {
		t = &openflpb.NamedTensor{
			Name: req.GetTensorName(), RoundNumber: req.GetRoundNumber(), Lossless: true, Tags: []string{"compressed", "model"},
			TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{2}}}, DataBytes: tensor.AppendFloat32s(nil, []float32{1, 2}),
		}
	}
	return &openflpb.GetAggregatedTensorResponse{Header: header(req.GetHeader()), RoundNumber: req.GetRoundNumber(), Tensor: t}, nil
}

func (s *script) SendLocalTaskResults(stream openflpb.Aggregator_SendLocalTaskResultsServer) error {
	var b bytes.Buffer
	if _, err := transport.Receive(stream, &b, 1<<20); err != nil {
		return err
	}
	r := &openflpb.TaskResults{}
	if err := proto.Unmarshal(b.Bytes(), r); err != nil {
		return err
	}
	if s.arrived != nil {
		if err := s.arrived(); err != nil {
			return err
		}
	}
	if s.seen != nil {
		if err := s.seen(r); err != nil {
			return err
		}
	}
	s.received = append(s.received, r)
	return stream.SendAndClose(&openflpb.SendLocalTaskResultsResponse{Header: header(r.GetHeader())})
}

func work(tasks ...string) *openflpb.GetTasksResponse {
	r := &openflpb.GetTasksResponse{}
	for _, t := range tasks {
		r.Tasks = append(r.Tasks, &openflpb.Task{Name: t})
	}
	return r
}

// runner doubles the model when it trains, and counts what it was asked to do.
type runner struct {
	t      *testing.T
	ran    []string
	output []tensor.Source // nil: the doubled input
	metric string          // "": what the task lists

	metadata map[string]string // of the output
	extra    []byte            // behind it
}

func (r *runner) Init(context.Context, string) error { return errors.New("not needed") }
func (r *runner) Close() error                       { return nil }

func (r *runner) Run(_ context.Context, job taskrunner.Job) (taskrunner.Result, error) {
	in := readTensor(r.t, job.Inputs)
	r.ran = append(r.ran, fmt.Sprintf("%s%v", job.Task.Name, in))
	metric := job.Task.Kwargs["metrics"].([]any)[0].(string)
	if r.metric != "" {
		metric = r.metric
	}
	result := taskrunner.Result{Metrics: []taskrunner.Metric{{Name: metric, Value: 0.1}}, DataSize: 7}
	if job.Task.Name != "train" {
		return result, nil
	}
	out := r.output
	if out == nil {
		out = []tensor.Source{{Info: modelInfo, Data: bytes.NewReader(tensor.AppendFloat32s(nil, []float32{2 * in[0], 2 * in[1]}))}}
	}
	f, err := os.Create(job.Output)
	if err != nil {
		return result, err
	}
	result.Tensors = true
	err = tensor.WriteSafetensors(f, r.metadata, out)
	_, err2 := f.Write(r.extra)
	return result, errors.Join(err, err2, f.Close())
}

func readTensor(t *testing.T, path string) []float32 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tensor.OpenSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Section("w")
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, s.Size())
	if _, err := s.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return tensor.Float32s(data)
}

// site is a collaborator's state across runs.
type site struct {
	t      *testing.T
	dir    string
	plan   *schema.Resolved
	runner *runner
	task   taskrunner.Runner // nil: runner

	site    schema.Egress
	pytorch bool // the runner is OpenFL's for PyTorch

	ctx      context.Context // nil: the test's
	interval time.Duration   // 0: a millisecond
}

func newSite(t *testing.T) *site {
	return &site{t: t, dir: t.TempDir(), plan: plan, runner: &runner{t: t}}
}

// run lets the site take part in what the aggregator's script says.
func (s *site) run(agg *script) (Report, error) {
	s.t.Helper()
	store, err := journal.OpenDir(filepath.Join(s.dir, "journal"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	ledger, err := egress.OpenLedger(filepath.Join(s.dir, "egress.jsonl"), time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }()
	config := selfSigned(s.t)
	server := transport.NewServer(transport.ServerOptions{TLS: config,
		Verify: func([]*x509.Certificate, time.Time) (identity.Identity, error) {
			return identity.Identity{Role: identity.Collaborator, Name: "hospital-a"}, nil
		}}, agg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	served := make(chan error)
	go func() { served <- server.Serve(ctx, l) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			s.t.Error(err)
		}
	}()
	work := s.ctx
	if work == nil {
		work = s.t.Context()
	}
	task := s.task
	if task == nil {
		task = s.runner
	}
	return Run(work, Options{
		Name: "hospital-a", Plan: s.plan, Model: []tensor.Info{modelInfo}, Runner: task, Store: store,
		Scratch: s.t.TempDir(), Ledger: ledger, Site: s.site, PyTorch: s.pytorch, PollInterval: cmp.Or(s.interval, time.Millisecond),
		Client: transport.NewClient(transport.ClientOptions{
			Host: "localhost", Port: l.Addr().(*net.TCPAddr).Port, TLS: config, Sender: "hospital-a",
			FederationID: plan.FederationID, AggregatorID: plan.AggregatorID, NewConnectionPerRequest: true,
		}),
		Retry: transport.RetryPolicy{Interval: time.Millisecond, Max: time.Millisecond},
		Log:   slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	})
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}},
	}
}

var all = []string{"aggregated_model_validation", "train", "locally_tuned_model_validation"}

func TestARound(t *testing.T) {
	s := newSite(t)
	agg := &script{answers: []*openflpb.GetTasksResponse{{}, work(all...)}}
	report, err := s.run(agg)
	if err != nil {
		t.Fatal(err)
	}
	if report.Rounds != 1 || report.Tasks != 3 || report.Connections != report.Requests {
		t.Errorf("report %+v, want 1 round, 3 tasks, a connection for each request", report)
	}
	want := []string{"aggregated_model_validation[1 2]", "train[1 2]", "locally_tuned_model_validation[2 4]"}
	if !slices.Equal(s.runner.ran, want) {
		t.Errorf("ran %q, want %q: local validation judges what was trained here", s.runner.ran, want)
	}
	wantTags := map[string][]string{
		"aggregated_model_validation":    {"compressed", "metric", "validate_agg"},
		"train":                          {"compressed", "metric"},
		"locally_tuned_model_validation": {"compressed", "metric", "validate_local"},
	}
	for _, r := range agg.received {
		metric := r.GetTensors()[0]
		if !slices.Equal(metric.GetTags(), wantTags[r.GetTaskName()]) || !metric.GetReport() || len(metric.GetTransformerMetadata()) != 1 {
			t.Errorf("metric of %s: %v", r.GetTaskName(), metric)
		}
		if r.GetDataSize() != 7 || r.GetHeader().GetSender() != "hospital-a" || r.GetHeader().GetReceiver() != plan.AggregatorID {
			t.Errorf("result of %s: size %d, header %v", r.GetTaskName(), r.GetDataSize(), r.GetHeader())
		}
	}
	w := agg.received[1].GetTensors()[1]
	if got := tensor.Float32s(w.GetDataBytes()); !slices.Equal(got, []float32{2, 4}) || !slices.Equal(w.GetTags(), []string{"compressed", "trained"}) {
		t.Errorf("trained tensor %v with tags %q", got, w.GetTags())
	}
}

func TestEverythingThatLeavesIsRecorded(t *testing.T) {
	s := newSite(t)
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{work(all...)}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, "egress.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(b), "\n"); got != 4 {
		t.Errorf("%d lines in the ledger, want 4: three metrics and a tensor", got)
	}
	if !strings.Contains(string(b), `"kind":"tensor","name":"w","shape":[2],"bytes":8`) {
		t.Errorf("the ledger does not have the tensor: %s", b)
	}
	if !strings.Contains(string(b), `"value":0.10000000149011612`) {
		t.Errorf("the ledger does not have the metric as the float32 that left: %s", b)
	}
}

func TestATaskThatThePlanDoesNotHaveIsRefused(t *testing.T) {
	s := newSite(t)
	agg := &script{answers: []*openflpb.GetTasksResponse{work("exfiltrate")}}
	if _, err := s.run(agg); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), `"exfiltrate"`) {
		t.Errorf("error %v, want a refusal that names the task", err)
	}
	if len(s.runner.ran) > 0 || len(agg.received) > 0 {
		t.Errorf("ran %q and sent %d results, want nothing", s.runner.ran, len(agg.received))
	}
}

func TestWhatLeavesIsRecordedFirst(t *testing.T) {
	s := newSite(t)
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
	agg.arrived = func() error {
		b, err := os.ReadFile(filepath.Join(s.dir, "egress.jsonl"))
		if got := bytes.Count(b, []byte("\n")); err != nil || got != 2 {
			t.Errorf("when the result arrives the ledger has %d lines, %v; want 2: a metric and a tensor", got, err)
		}
		return nil
	}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
}

func TestARefusedResultEndsIt(t *testing.T) {
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train"), work("train")}}
	agg.arrived = func() error { return status.Error(codes.InvalidArgument, "result of task \"train\" refused: why") }
	if _, err := newSite(t).run(agg); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "refused: why") {
		t.Errorf("error %v, want one with the aggregator's reason", err)
	}
}

func TestResultsOfEarlierRoundsAreRemoved(t *testing.T) {
	s := newSite(t)
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{work("train"), inRound(1, work("train"))}}); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]int{"000000/*": 0, "000001/*": 2} {
		if got, err := filepath.Glob(filepath.Join(s.dir, "journal/rounds", pattern)); err != nil || len(got) != want {
			t.Errorf("rounds/%s: %q, %v; want %d files", pattern, got, err, want)
		}
	}
}

func inRound(round int32, r *openflpb.GetTasksResponse) *openflpb.GetTasksResponse {
	r.RoundNumber = round
	return r
}

// TestTheAggregatorKeepsToThePlan: what it asks for beyond the approved rounds
// would be more questions to the data than anybody approved.
func TestTheAggregatorKeepsToThePlan(t *testing.T) {
	tests := map[string]struct {
		answer *openflpb.GetTasksResponse
		want   string
	}{
		"a round after the last": {inRound(2, work("train")), "in round 2, the approved plan has rounds 0 to 1"},
		"a negative round":       {inRound(-1, work("train")), "in round -1"},
		"an early end":           {inRound(1, &openflpb.GetTasksResponse{Quit: true}), "ends the federation in round 1 of 2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{tt.answer}}); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
			if len(s.runner.ran) > 0 {
				t.Errorf("ran %q, want nothing", s.runner.ran)
			}
		})
	}
}

// TestAnEarlyEndThatThePlanAllows is a good one.
func TestAnEarlyEndThatThePlanAllows(t *testing.T) {
	s := newSite(t)
	withTarget := *s.plan
	withTarget.Rounds.Stop = &schema.StopRule{Metric: "accuracy", Target: 0.9}
	s.plan = &withTarget
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{inRound(1, &openflpb.GetTasksResponse{Quit: true})}}); err != nil {
		t.Errorf("error %v, want none: the plan has a target", err)
	}
}

// TestAnAggregatorThatLostItsStateIsFollowed back to the first round, although
// it has just asked for work on a model that it does not have any more.
func TestAnAggregatorThatLostItsStateIsFollowed(t *testing.T) {
	s := newSite(t)
	agg := &script{
		answers: []*openflpb.GetTasksResponse{inRound(0, work("train")), inRound(1, work("train")), inRound(0, work("train"))},
		missing: map[int32]bool{1: true},
	}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if len(agg.received) != 2 || agg.received[1].GetRoundNumber() != 0 {
		t.Errorf("%d results, want two of round 0: before the loss and after", len(agg.received))
	}
}

func TestWhatWasTakenIsNotSentAgainAtOnce(t *testing.T) {
	s := newSite(t)
	s.interval = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	s.ctx = ctx
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train", "train"), work("train")}}
	if _, err := s.run(agg); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that it still waits", err)
	}
	if len(agg.received) != 1 {
		t.Errorf("%d results sent, want one", len(agg.received))
	}
}

func TestPausesAreKeptWithinLimits(t *testing.T) {
	for seconds, want := range map[int32]time.Duration{-5: time.Second, 0: time.Second, 10: 10 * time.Second, math.MaxInt32: 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c := &collaborator{}
			began := time.Now()
			if err := c.wait(t.Context(), seconds); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got < want*9/10 || got > want*11/10 {
				t.Errorf("asked to wait for %d s: waited for %v, want about %v", seconds, got, want)
			}
		})
	}
}

func TestNothingUndeclaredLeaves(t *testing.T) {
	extra := tensor.Info{Name: "patients", DType: tensor.F32, Shape: []int{1}}
	tests := map[string]func(r *runner){
		"an extra tensor": func(r *runner) {
			r.output = []tensor.Source{
				{Info: extra, Data: bytes.NewReader(make([]byte, 4))},
				{Info: modelInfo, Data: bytes.NewReader(make([]byte, 8))},
			}
		},
		"an extra metric": func(r *runner) { r.metric = "age" },
	}
	for name, hostile := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			hostile(s.runner)
			agg := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
			if _, err := s.run(agg); !errors.Is(err, egress.ErrRefused) || !errors.Is(err, ErrIncomplete) {
				t.Errorf("error %v, want a refusal", err)
			}
			if len(agg.received) > 0 {
				t.Errorf("%d results left, want none", len(agg.received))
			}
		})
	}
}

func TestFinishedWorkIsNotDoneAgain(t *testing.T) {
	s := newSite(t)
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{work("train")}}); err != nil {
		t.Fatal(err)
	}
	s.runner.ran = nil
	agg := &script{answers: []*openflpb.GetTasksResponse{work("train", "locally_tuned_model_validation")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if want := []string{"locally_tuned_model_validation[2 4]"}; !slices.Equal(s.runner.ran, want) {
		t.Errorf("the second process ran %q, want %q only", s.runner.ran, want)
	}
	if len(agg.received) != 2 || agg.received[0].GetTaskName() != "train" {
		t.Errorf("the second process sent %d results, want the stored one and the new one", len(agg.received))
	}
}

func TestResultsOfAnotherInputAreNotReused(t *testing.T) {
	s := newSite(t)
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{work("train")}}); err != nil {
		t.Fatal(err)
	}
	s.runner.ran = nil
	other := &openflpb.NamedTensor{
		Name: "w", Tags: []string{"compressed", "model"}, DataBytes: tensor.AppendFloat32s(nil, []float32{5, 5}),
		TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{2}}},
	}
	if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{work("train")}, tensor: other}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"train[5 5]"}; !slices.Equal(s.runner.ran, want) {
		t.Errorf("with another model the second process ran %q, want %q", s.runner.ran, want)
	}
}

func TestLostTrainingIsDoneAgainForLocalValidation(t *testing.T) {
	s := newSite(t)
	agg := &script{answers: []*openflpb.GetTasksResponse{work("locally_tuned_model_validation")}}
	if _, err := s.run(agg); err != nil {
		t.Fatal(err)
	}
	if want := []string{"train[1 2]", "locally_tuned_model_validation[2 4]"}; !slices.Equal(s.runner.ran, want) {
		t.Errorf("ran %q, want %q", s.runner.ran, want)
	}
	if len(agg.received) != 1 {
		t.Errorf("%d results sent, want only the one that was asked for", len(agg.received))
	}
}

func TestTensorsThatAreNotTheApprovedModelsAreRefused(t *testing.T) {
	good := func() *openflpb.NamedTensor {
		return &openflpb.NamedTensor{
			Name: "w", Tags: []string{"compressed", "model"}, DataBytes: make([]byte, 8),
			TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{2}}},
		}
	}
	tests := map[string]func(n *openflpb.NamedTensor){
		"another name":  func(n *openflpb.NamedTensor) { n.Name = "v" },
		"another round": func(n *openflpb.NamedTensor) { n.RoundNumber = 3 },
		"another shape": func(n *openflpb.NamedTensor) { n.TransformerMetadata[0].IntList = []int32{1, 2} },
		"short":         func(n *openflpb.NamedTensor) { n.DataBytes = n.DataBytes[:4] },
		"lossy":         func(n *openflpb.NamedTensor) { n.Tags = []string{"lossy_compressed", "model"} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			n := good()
			change(n)
			s := newSite(t)
			if _, err := s.run(&script{answers: []*openflpb.GetTasksResponse{work("train")}, tensor: n}); !errors.Is(err, ErrIncomplete) {
				t.Errorf("error %v, want a refusal", err)
			}
			if len(s.runner.ran) > 0 {
				t.Errorf("ran %q on a tensor that is not the model's", s.runner.ran)
			}
		})
	}
}
