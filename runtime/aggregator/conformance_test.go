package aggregator

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fx/bundle"
	openflpb "fx/proto"
	"fx/runtime/journal"
	"fx/runtime/tensor"
)

// What OpenFL 1.9's collaborators rely on and no other test says. docs/openfl.md
// lists all of it, with the test or the row of scripts/e2e/openfl.sh for each.

// A difference is asked for with the tags in OpenFL's order, and answered with
// them sorted. It leads from the model of the round before to that of the round,
// also one round later and after a restart, as long as the plan keeps two rounds.
func TestConformanceDifferences(t *testing.T) {
	b := &testbed{t: t, dir: t.TempDir(), edit: func(f *bundle.Federation) { f.Plan.Aggregator.Rounds = 4 }}
	b.mustStart()
	models := [][]float32{b.model("one", "w", 0)}
	difference := func(round int32) {
		t.Helper()
		for _, lossless := range []bool{false, true} { // OpenFL ignores it here
			got, err := b.fetch("two", "w", round, lossless, "aggregated", "delta", "compressed")
			if err != nil {
				t.Fatal(err)
			}
			if want := []string{"aggregated", "compressed", "delta"}; !slices.Equal(got.GetTags(), want) || got.GetRoundNumber() != round || got.GetReport() {
				t.Errorf("round %d: tags %q of round %d, report %v; want %q", round, got.GetTags(), got.GetRoundNumber(), got.GetReport(), want)
			}
			for i, d := range tensor.Float32s(got.GetDataBytes()) {
				if v := models[round-1][i] + d; v != models[round][i] {
					t.Errorf("round %d: element %d leads to %v, want %v", round, i, v, models[round][i])
				}
			}
		}
	}
	for round := range int32(3) {
		b.playRound(round, models[round], func(_ string, trained *openflpb.NamedTensor) *openflpb.NamedTensor { return trained })
		models = append(models, b.model("one", "w", round+1))
		difference(round + 1)
		b.restart()
		difference(round + 1)
	}
	// In round 0 there is no round before: OpenFL looks the tags up as they are.
	if got, err := b.fetch("two", "w", 0, false, "aggregated", "delta", "compressed"); err == nil || !strings.Contains(err.Error(), "does not have an aggregated tensor") {
		t.Errorf("a difference to nothing: %v, %v, want OpenFL's wording", got, err)
	}
}

// A request for a tensor of a round that does not come waits for a minute, and
// is then answered; OpenFL's collaborators count on more than one attempt.
func TestConformanceWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := journal.OpenDir(filepath.Join(t.TempDir(), "journal"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = dir.Close() }()
		f := federation(t)
		j, err := journal.Open(dir, journal.Federation{Bundle: "b1", FederationID: f.Plan.FederationID, Participant: f.Plan.AggregatorID})
		if err != nil {
			t.Fatal(err)
		}
		a, err := start(f, Options{Journal: j, Output: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for round, want := range []time.Duration{0, time.Minute, time.Minute} {
			began := time.Now()
			if err := a.awaitRound(t.Context(), round); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got != want {
				t.Errorf("a request for round %d waits for %v, want %v", round, got, want)
			}
		}
	})
}
