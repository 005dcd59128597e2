package egress

import (
	"math"
	"testing"
)

// Values of the exact formula, computed with 60 digits (mpmath 1.4.1);
// scripts/peers/accountant.sh does it again.
func TestDeltaIsExact(t *testing.T) {
	tests := []struct{ mu, epsilon, want float64 }{
		{1, 0, 0.38292492254802621},
		{1, 1, 0.12693673750664395},
		{0.5, 3, 3.4009117356735288e-10},
		{2, 10, 9.9402028161181528e-6},
		{0.1, 0.5, 6.8565824558387266e-9},
		{0.01, 0.05, 5.4814402007468775e-10},
		{10, 80, 0.001010969051618483},
		{100, 5400, 3.0384531680825816e-5},
		{0.001, 0.0001, 0.00035095286201566588},
		{5, 60, 3.5768112906306078e-22},
		{1000, 500000, 0.49960105811853965},
	}
	for _, tt := range tests {
		if got := Delta(tt.mu, tt.epsilon); math.Abs(got-tt.want) > 1e-9*tt.want {
			t.Errorf("Delta(%v, %v) = %v, want %v", tt.mu, tt.epsilon, got, tt.want)
		}
	}
}

func TestEpsilonIsExact(t *testing.T) {
	tests := []struct{ mu, delta, want float64 }{
		{0.1, 1e-5, 0.340669364684326},
		{0.5, 1e-5, 1.99309140441512},
		{1, 1e-5, 4.37717809568122},
		{1.818181818181818, 1e-5, 8.89523213717881},
		{2, 1e-5, 9.9972561464343},
		{4, 1e-6, 26.3569639253258},
		{20, 1e-5, 284.391849497742},
		{500, 1e-10, 128179.676760387},
		{0.01, 1e-8, 0.044294784757683},
	}
	for _, tt := range tests {
		if got := Epsilon(tt.mu, tt.delta); math.Abs(got-tt.want) > 1e-9*tt.want {
			t.Errorf("Epsilon(%v, %v) = %v, want %v", tt.mu, tt.delta, got, tt.want)
		}
	}
}

// Figure 4 of Bu, Dong, Long and Su, "Deep learning with Gaussian differential
// privacy", Harvard Data Science Review 2(3), 2020: epsilon at delta 1e-5 of mu
// 0.35 and 1.78, which are rounded there.
func TestEpsilonAsPublished(t *testing.T) {
	for mu, want := range map[float64]float64{0.35: 1.34, 1.78: 8.68} {
		low, high := Epsilon(mu-0.005, 1e-5), Epsilon(mu+0.005, 1e-5)
		if want < low || want > high {
			t.Errorf("mu %v: epsilon %v to %v, published is %v", mu, low, high, want)
		}
	}
}

// TestEpsilonIsBelowKnownBounds: T results of noise multiplier m are sqrt(T)·2/m
// GDP. Their epsilon is below what Rényi differential privacy gives (Mironov
// 2017, arXiv:1702.07476, proposition 3 and corollary 3), and not far below.
func TestEpsilonIsBelowKnownBounds(t *testing.T) {
	for _, m := range []float64{0.5, 1.1, 4, 20} {
		var account Privacy
		for releases := 1; releases <= 200; releases++ {
			account = account.after(2/m, 1e-5)
			rdp := math.Inf(1)
			for order := 1.01; order < 500; order *= 1.02 {
				rdp = min(rdp, order*float64(releases)*2/(m*m)+math.Log(1e5)/(order-1))
			}
			if account.Epsilon > rdp || account.Epsilon < 0.6*rdp {
				t.Errorf("multiplier %v, %d results: epsilon %v, Rényi's bound is %v", m, releases, account.Epsilon, rdp)
			}
			if want := 2 / m * math.Sqrt(float64(releases)); math.Abs(account.TotalMu-want) > 1e-9*want || account.Releases != releases {
				t.Errorf("multiplier %v: %+v, want mu %v", m, account, want)
			}
		}
	}
}

// TestEpsilonAndDeltaAgree, grow with mu, shrink with each other, and are
// numbers, however large or small.
func TestEpsilonAndDeltaAgree(t *testing.T) {
	deltas := []float64{0.4, 1e-2, 1e-5, 1e-10, 1e-30}
	for _, delta := range deltas {
		last := 0.0
		for mu := 1e-6; mu < 1e6; mu *= 1.3 {
			e := Epsilon(mu, delta)
			if math.IsNaN(e) || math.IsInf(e, 0) || e < last {
				t.Fatalf("epsilon of mu %v at delta %v is %v, that of a smaller mu %v", mu, delta, e, last)
			}
			last = e
			if got := Delta(mu, e); got > delta {
				t.Errorf("mu %v: delta %v at the epsilon for %v", mu, got, delta)
			}
			if got := Delta(mu, e*(1-1e-6)); e > 0 && got <= delta {
				t.Errorf("mu %v: epsilon %v is not the least for delta %v", mu, e, delta)
			}
		}
	}
	for mu := 1e-3; mu < 1e3; mu *= 2 {
		last := 1.0
		for epsilon := 0.0; epsilon < 1e4; epsilon = 1.5*epsilon + 0.01 {
			d := Delta(mu, epsilon)
			if !(d >= 0 && d <= last) {
				t.Fatalf("delta of mu %v at epsilon %v is %v, after %v", mu, epsilon, d, last)
			}
			last = d
		}
	}
	if Delta(0, 0) != 0 || Epsilon(0, 1e-5) != 0 {
		t.Error("nothing costs something")
	}
}
