package egress

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

// network is a model of two groups of parameters: a.weight, a.bias; b.weight, b.bias.
var network = []tensor.Info{
	{Name: "a.bias", DType: tensor.F32, Shape: []int{3}},
	{Name: "a.weight", DType: tensor.F32, Shape: []int{3, 4}},
	{Name: "b.bias", DType: tensor.F32, Shape: []int{2}},
	{Name: "b.weight", DType: tensor.F32, Shape: []int{2, 3}},
	{Name: "b.num_batches_tracked", DType: "I64", Shape: []int{}},
}

func pytorchContract(t *testing.T, rules schema.Egress) *Contract {
	t.Helper()
	c, err := NewContract(Terms{Tasks: tasks, Model: network, Plan: rules, PyTorch: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// flattened is the state of an optimizer as OpenFL 1.9's PyTorchTaskRunner names
// it with PyTorch 1.13: shaped and numbers are keys, with their kind before them.
func flattened(shaped, numbers []string) []tensor.Info {
	f32 := func(name string, shape []int) tensor.Info {
		return tensor.Info{Name: name, DType: tensor.F32, Shape: shape}
	}
	var list []tensor.Info
	for group, shapes := range [][][]int{{{3, 4}, {3}}, {{2, 3}, {2}}} {
		for i, shape := range shapes {
			for _, key := range shaped {
				list = append(list, f32(fmt.Sprintf("__opt_state_%d_%d_%s", group, i, key), shape))
			}
			for _, key := range numbers {
				one := []int{}
				if strings.HasPrefix(key, "_") { // what is no tensor in Python becomes a list of one
					one = []int{1}
				}
				list = append(list, f32(fmt.Sprintf("__opt_state_%d_%d_%s", group, i, key), one))
			}
		}
	}
	return append(list, f32("__opt_group_lengths", []int{2}))
}

// What the installed package was seen to make, by optimizer.
func TestOptimizersOfPyTorchPass(t *testing.T) {
	tests := map[string][2][]string{
		"SGD":               {},
		"SGD, momentum":     {{"istensor_momentum_buffer"}},
		"Adagrad":           {{"istensor_sum"}, {"istensor_step"}},
		"RMSprop":           {{"istensor_square_avg"}, {"_step"}},
		"RMSprop, all":      {{"istensor_square_avg", "istensor_momentum_buffer", "istensor_grad_avg"}, {"_step"}},
		"Adam":              {{"istensor_exp_avg", "istensor_exp_avg_sq"}, {"istensor_step"}},
		"Adam of PyTorch 1": {{"istensor_exp_avg", "istensor_exp_avg_sq"}, {"_step"}},
		"AdamW, amsgrad":    {{"istensor_exp_avg", "istensor_exp_avg_sq", "istensor_max_exp_avg_sq"}, {"istensor_step"}},
		"Adamax":            {{"istensor_exp_avg", "istensor_exp_inf"}, {"istensor_step"}},
		"NAdam":             {{"istensor_exp_avg", "istensor_exp_avg_sq"}, {"istensor_step", "istensor_mu_product"}},
		"RAdam":             {{"istensor_exp_avg", "istensor_exp_avg_sq"}, {"istensor_step"}},
		"Adadelta":          {{"istensor_square_avg", "istensor_acc_delta"}, {"_step"}},
		"ASGD":              {{"istensor_ax"}, {"istensor_step", "istensor_eta", "istensor_mu"}},
		"Rprop":             {{"istensor_prev", "istensor_step_size"}, {"_step"}},
	}
	for name, keys := range tests {
		made := flattened(keys[0], keys[1])
		leave, dropped, err := pytorchContract(t, schema.Egress{}).Select("train", made)
		if err != nil || len(leave) != len(made) || len(dropped) != 0 {
			t.Errorf("%s: %d of %d tensors leave: %v", name, len(leave), len(made), err)
		}
		var bytes int64
		for _, info := range leave {
			bytes += info.Bytes()
		}
		if most := pytorchContract(t, schema.Egress{}).maxState(network); bytes > most {
			t.Errorf("%s: %d bytes leave, forecast are at most %d", name, bytes, most)
		}
		drop := schema.Egress{Filters: []schema.EgressFilter{{Name: "drop", Settings: map[string]any{"tensors": []any{"__opt_*"}}}}}
		if leave, dropped, err := pytorchContract(t, drop).Select("train", made); err != nil || len(leave) != 0 || len(dropped) != len(made) {
			t.Errorf("%s: %d of %d tensors are dropped: %v", name, len(dropped), len(made), err)
		}
		if _, _, err := pytorchContract(t, schema.Egress{Tensors: []string{"a.*", "b.*"}}).Select("train", made); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: error %v, want a refusal where the plan lists tensors", name, err)
		}
		plain, err := NewContract(Terms{Tasks: tasks, Model: network})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := plain.Select("train", made); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: error %v, want a refusal where the runner is another", name, err)
		}
	}
}

func TestWhatOnlyLooksLikeOptimizerState(t *testing.T) {
	f32 := func(name string, shape ...int) []tensor.Info {
		return []tensor.Info{{Name: name, DType: tensor.F32, Shape: shape}}
	}
	adam := flattened([]string{"istensor_exp_avg", "istensor_exp_avg_sq"}, []string{"istensor_step"})
	tests := map[string]struct {
		made []tensor.Info
		want string
	}{
		"another key":              {f32("__opt_state_0_0_istensor_patients", 3, 4), "which the approved model does not have"},
		"a number for a tensor":    {f32("__opt_state_0_0__exp_avg", 3, 4), "which the approved model does not have"},
		"another kind":             {f32("__opt_state_0_0_islist_exp_avg", 3, 4), "which the approved model does not have"},
		"no group":                 {f32("__opt_state_0_istensor_exp_avg", 3, 4), "which the approved model does not have"},
		"a zero before the number": {f32("__opt_state_00_0_istensor_exp_avg", 3, 4), "which the approved model does not have"},
		"a group too many":         {f32("__opt_state_64_0_istensor_exp_avg", 3, 4), "which the approved model does not have"},
		"a parameter too many":     {f32("__opt_state_0_5_istensor_exp_avg", 3, 4), "which the approved model does not have"},
		"a number without end":     {f32("__opt_state_0_99999999999999999999_istensor_exp_avg", 3, 4), "which the approved model does not have"},
		"text behind it":           {f32("__opt_state_0_0_istensor_exp_avg\nx", 3, 4), "control character"},
		"what OpenFL keeps":        {f32("__opt_state_needed", 1), "which the approved model does not have"},
		"another shape":            {f32("__opt_state_0_0_istensor_exp_avg", 3, 5), "no tensor of the approved model has that shape"},
		"more than a number":       {f32("__opt_state_0_0_istensor_step", 2), "it is one number"},
		"many groups":              {f32("__opt_group_lengths", 65), "at most 64 groups"},
		"groups in a square":       {f32("__opt_group_lengths", 2, 2), "at most 64 groups"},
		"another dtype":            {[]tensor.Info{{Name: "__opt_group_lengths", DType: "I64", Shape: []int{2}}}, "leaves as F32"},
		"two optimizers at once":   {append(f32("__opt_state_0_0_istensor_sum", 3, 4), adam...), "no known optimizer has exp_avg and exp_avg_sq and step and sum"},
		"a state twice":            {append(f32("__opt_state_2_0_istensor_exp_avg", 3, 4), adam...), "more states of that shape"},
		"more parameters": {append(append(f32("__opt_state_3_0_istensor_step"), f32("__opt_state_4_0_istensor_step")...), adam...),
			"more parameters than the model's 5 tensors"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := pytorchContract(t, schema.Egress{}).Select("train", tt.made)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want a refusal that says %q", err, tt.want)
			}
		})
	}
}

// TestOverlap against all names of up to four letters.
func TestOverlap(t *testing.T) {
	var names []string
	for level := []string{""}; len(level[0]) <= 4; {
		names = append(names, level...)
		var next []string
		for _, n := range level {
			next = append(next, n+"a", n+"b")
		}
		level = next
	}
	globs := []string{"", "a", "*", "?", "a*", "*a", "a?", "?b", "*a*", "a*b", "??", "*?", "ab*", "*ba", "?*?", "b", "a*a*"}
	for _, a := range globs {
		for _, b := range globs {
			want := false
			for _, n := range names {
				want = want || match(a, n) && match(b, n)
			}
			if got := overlap(a, b); got != want {
				t.Errorf("overlap(%q, %q) = %v", a, b, got)
			}
		}
	}
}

func FuzzOptimizerState(f *testing.F) {
	f.Add("__opt_state_0_0_istensor_exp_avg", 3, 4)
	f.Add("__opt_group_lengths", 2, -1)
	f.Fuzz(func(t *testing.T, name string, a, b int) {
		info := tensor.Info{Name: name, DType: tensor.F32, Shape: []int{a}}
		if b >= 0 {
			info.Shape = append(info.Shape, b)
		}
		c := pytorchContract(t, schema.Egress{})
		leave, _, err := c.Select("train", []tensor.Info{info})
		if err == nil && len(leave) == 1 && c.tensors[name].Name == "" && leave[0].Elements() > 64 {
			t.Errorf("%q of shape %v leaves", name, info.Shape)
		}
	})
}
