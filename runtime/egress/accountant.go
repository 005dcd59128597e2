package egress

import "math"

// DefaultDelta is the delta at which epsilon is reported where a noise filter
// names none.
const DefaultDelta = 1e-5

// Privacy is what noised results have cost, as Gaussian differential privacy:
// an observer of all of them, who knows everything but which of two sets of
// data the site has, cannot tell the two apart better than a single draw from
// N(0, 1) from one of N(Mu, 1). Its unit is a site's whole data: a change is
// clipped to a norm C before noise of standard deviation m·C is added, so with
// any two sets of data it differs by at most 2·C, and one result has mu 2/m.
// Results compose by the root of their squares (Dong, Roth and Su 2019,
// arXiv:1905.02383, corollary 2), whatever later results were made from
// earlier ones.
type Privacy struct {
	Mu       float64 `json:"mu"`       // of this result alone
	Releases int     `json:"releases"` // noised results so far, this one included
	TotalMu  float64 `json:"total_mu"` // of all of them
	Delta    float64 `json:"delta"`
	Epsilon  float64 `json:"epsilon"` // of all of them, at that delta
}

// after is the account once one more result of that mu has left.
func (p Privacy) after(mu, delta float64) Privacy {
	total := math.Hypot(p.TotalMu, mu)
	return Privacy{Mu: mu, Releases: p.Releases + 1, TotalMu: total, Delta: delta, Epsilon: Epsilon(total, delta)}
}

// Delta is the least delta for which what is mu-GDP is (epsilon, delta)
// differentially private: Φ(−ε/μ + μ/2) − e^ε·Φ(−ε/μ − μ/2) (Balle and Wang
// 2018, arXiv:1805.06530, theorem 8). mu and epsilon are at least 0.
func Delta(mu, epsilon float64) float64 {
	if !(mu > 0) {
		return 0
	}
	a, b := epsilon/mu-mu/2, epsilon/mu+mu/2
	// e^ε·φ(b) = φ(a), so e^ε·Φ(−b) is φ(a)·R(b), in which nothing overflows.
	density := math.Exp(-a*a/2) / math.Sqrt(2*math.Pi)
	if a > 4 { // both terms are tiny: take the difference before the factor
		return density * math.Max(mills(a)-mills(b), 0)
	}
	return math.Min(math.Max(math.Erfc(a/math.Sqrt2)/2-density*mills(b), 0), 1)
}

// mills is R(x) = (1 − Φ(x))/φ(x) for x ≥ 0.
func mills(x float64) float64 {
	if x < 12 {
		return math.Erfc(x/math.Sqrt2) / 2 * math.Sqrt(2*math.Pi) * math.Exp(x*x/2)
	}
	// The continued fraction of Laplace, 1/(x+ 1/(x+ 2/(x+ 3/(x+ …)))), from the
	// far end. From 12 on 40 steps are exact to the last bits.
	f := x
	for k := 40; k >= 1; k-- {
		f = x + float64(k)/f
	}
	return 1 / f
}

// Epsilon is the least epsilon for which what is mu-GDP is (epsilon, delta)
// differentially private, rounded up; delta is above 0 and below 1. It grows
// with mu and shrinks with delta.
func Epsilon(mu, delta float64) float64 {
	if !(mu > 0) || Delta(mu, 0) <= delta {
		return 0
	}
	low, high := 0.0, mu*mu/2+mu*math.Sqrt(-2*math.Log(delta)) // the bound by zero-concentrated privacy
	for Delta(mu, high) > delta {                              // it holds, but for rounding
		high *= 1 + 1e-9
	}
	for range 200 {
		middle := low + (high-low)/2
		if middle <= low || middle >= high {
			break
		}
		if Delta(mu, middle) > delta {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
