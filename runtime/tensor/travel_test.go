package tensor_test

import (
	"errors"
	"testing"

	"fx/runtime/tensor"
)

func TestCheckTravel(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shape []int
		ok    bool
	}{
		{"a scalar", nil, true},
		{"empty", []int{0, 1 << 40}, true},
		{"the largest", []int{1 << 14, 1<<14 - 1}, true},
		{"a gibibyte", []int{1 << 14, 1 << 14}, false},
		{"two gibibytes", []int{1 << 29}, false},
		{"beyond counting", []int{1 << 40, 1 << 40}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tensor.CheckTravel(tensor.Info{Name: "w", DType: tensor.F32, Shape: tt.shape})
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, tensor.ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}
