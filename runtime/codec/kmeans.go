package codec

import (
	"io"
	"math"
	"slices"
	"sort"

	"fx/runtime/tensor"
	"fx/schema"
)

// KC gives every value of a tensor to the nearest of a few (OpenFL: KCPipeline).
//
// OpenFL takes the best of some random attempts at the clustering; here it
// follows from the values alone.
type KC struct{ clusters int }

func newKC(s *schema.Settings) Pipeline {
	share(s, 0.01) // OpenFL takes it and does nothing with it
	return KC{clusters(s)}
}

// clusters reads n_clusters.
func clusters(s *schema.Settings) int { return s.Integer("n_clusters", 6, 2, maxLabels) }

// Lossy implements Pipeline.
func (KC) Lossy() bool { return true }

// Check implements Pipeline.
func (KC) Check(info tensor.Info) error { return checkF32(info) }

// Encode implements Pipeline.
func (p KC) Encode(n tensor.Named, info tensor.Info, data io.Reader, _ uint64) (tensor.NamedSource, error) {
	if err := checkF32(info); err != nil {
		return tensor.NamedSource{}, err
	}
	values, err := read(info, data)
	if err != nil {
		return tensor.NamedSource{}, err
	}
	table, packed, err := encodeLabels(quantize(values, p.clusters))
	if err != nil {
		return tensor.NamedSource{}, err
	}
	n.Metadata = []tensor.Metadata{{IntList: intList(info), IntToFloat: table}, {}}
	return payload(n, packed), nil
}

// Info implements Pipeline.
func (KC) Info(n tensor.Named) (tensor.Info, error) { return labelInfo(n, 2, 0) }

// Decode implements Pipeline.
func (KC) Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	return decodeLabels(n, r, 2, 0)
}

// quantize returns the values with each replaced by the mean of its cluster.
// Fewer values than clusters stay as they are.
func quantize(values []float32, k int) []float32 {
	if len(values) < k {
		return values
	}
	sorted := slices.Sorted(slices.Values(values))
	limits, means := kmeans(sorted, k)
	out := make([]float32, len(values))
	for i, v := range values {
		// The cluster of v is the first whose upper limit is not below it.
		out[i] = means[sort.Search(len(limits), func(c int) bool { return v <= limits[c] })]
	}
	return out
}

// maxSweeps bounds Lloyd's iterations; they end much earlier.
const maxSweeps = 100

// kmeans splits ascending values into at most k clusters: the largest value and
// the mean of each. The start is the best split of a coarse histogram, from
// which Lloyd's iteration goes on over the values.
func kmeans(sorted []float32, k int) (limits, means []float32) {
	sums := make([]float64, len(sorted)+1) // of the first i values
	for i, v := range sorted {
		sums[i+1] = sums[i] + float64(v)
	}
	mean := func(from, to int) float64 { return (sums[to] - sums[from]) / float64(to-from) }
	bounds := coarse(sorted, sums, k) // ends of the clusters
	for range maxSweeps {
		next := make([]int, 0, len(bounds))
		from := 0
		for c, to := range bounds[:len(bounds)-1] {
			middle := (mean(from, to) + mean(to, bounds[c+1])) / 2
			next = append(next, sort.Search(len(sorted), func(i int) bool { return float64(sorted[i]) > middle }))
			from = to
		}
		next = append(next, len(sorted))
		next = nonEmpty(next)
		if slices.Equal(next, bounds) {
			break
		}
		bounds = next
	}
	from := 0
	for _, to := range bounds {
		limits = append(limits, sorted[to-1])
		means = append(means, float32(mean(from, to)))
		from = to
	}
	return limits, means
}

// nonEmpty removes clusters without a value.
func nonEmpty(bounds []int) []int {
	bounds = slices.Compact(bounds)
	if bounds[0] == 0 {
		bounds = bounds[1:]
	}
	return bounds
}

// coarseBins is how many bins of equal width, and how many of equal count, the
// histogram is made of.
const coarseBins = 256

// coarse splits ascending values into at most k clusters, the best that can be
// had with cuts at the edges of bins: of equal width, which finds values far
// out, and of equal count, which finds those that are close together.
func coarse(sorted []float32, sums []float64, k int) []int {
	n := len(sorted)
	low, high := float64(sorted[0]), float64(sorted[n-1])
	edges := []int{n}
	for b := 1; b < coarseBins; b++ {
		limit := low + (high-low)*float64(b)/coarseBins
		edges = append(edges, sort.Search(n, func(i int) bool { return float64(sorted[i]) > limit }))
		// Equal values belong together: the edge is behind the last of them.
		at := sorted[n*b/coarseBins]
		edges = append(edges, sort.Search(n, func(i int) bool { return sorted[i] > at }))
	}
	slices.Sort(edges)
	edges = nonEmpty(edges)
	return bestCuts(edges, squares(sorted, edges), sums, k)
}

// squares are the sums of squares of the values before each edge.
func squares(sorted []float32, edges []int) []float64 {
	out := make([]float64, len(edges))
	sum, from := 0.0, 0
	for e, to := range edges {
		for _, v := range sorted[from:to] {
			sum += float64(v) * float64(v)
		}
		out[e], from = sum, to
	}
	return out
}

// bestCuts chooses at most k of the edges, the last among them, so that the
// squared distances to the means of the clusters add up to least: the textbook's
// dynamic programme, cluster by cluster.
func bestCuts(edges []int, squares, sums []float64, k int) []int {
	m := len(edges)
	cost := func(from, to int) float64 { // of one cluster: edges (from, to], from -1 for the beginning
		start, square := 0, squares[to]
		if from >= 0 {
			start, square = edges[from], square-squares[from]
		}
		sum := sums[edges[to]] - sums[start]
		return max(square-sum*sum/float64(edges[to]-start), 0)
	}
	best := make([]float64, m) // cost of clusters that end at each edge
	for e := range best {
		best[e] = cost(-1, e)
	}
	cuts := [][]int{} // by cluster and edge: the edge before
	for range min(k, m) - 1 {
		row, previous := make([]float64, m), make([]int, m)
		for e := range row {
			row[e], previous[e] = math.Inf(1), -1
			for c := range e {
				if v := best[c] + cost(c, e); v < row[e] {
					row[e], previous[e] = v, c
				}
			}
		}
		best = row
		cuts = append(cuts, previous)
	}
	bounds := []int{edges[m-1]}
	at := m - 1
	for _, previous := range slices.Backward(cuts) {
		if at = previous[at]; at < 0 {
			break
		}
		bounds = append(bounds, edges[at])
	}
	slices.Reverse(bounds)
	return bounds
}
