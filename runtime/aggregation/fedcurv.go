package aggregation

import (
	"strings"

	"fx/schema"
)

// fedCurv is OpenFL's FedCurvWeightedAverage (Shoham et al., 2019): tensors
// whose names end in _u, _v or _w hold Fisher information of the sites and are
// added up; all others are averaged.
type fedCurv struct{}

func newFedCurv(*schema.Settings) *Algorithm { return &Algorithm{rule: fedCurv{}} }

func (fedCurv) fold(t Tensor, emit Emit) error {
	if !strings.HasSuffix(t.Name, "_u") && !strings.HasSuffix(t.Name, "_v") && !strings.HasSuffix(t.Name, "_w") {
		return weightedAverage{}.fold(t, emit)
	}
	return columns(t, emit, sum)
}
