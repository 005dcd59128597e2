package check

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Aliases that stand for much more than is written: refused, or, where what they
// stand for is just within the bounds, checked in bounded time and memory.
func TestAliasBombs(t *testing.T) {
	nested := func(levels, times int) string {
		text := "&a0 [x, x, x, x, x, x, x, x, x, x]"
		for i := range levels {
			text = fmt.Sprintf("&a%d [%s%s]", i+1, text, strings.Repeat(fmt.Sprintf(", *a%d", i), times-1))
		}
		return text
	}
	big := nested(4, 9) // about 75,000 values
	base := plan(t)
	tests := []struct {
		name, plan string
		valid      bool
	}{
		{"billions in free settings", strings.Replace(base, "batch_size: 32", "bomb: "+nested(9, 10), 1), false},
		{"many in free settings", strings.Replace(strings.Replace(base, "fx.builtin.CSVDataLoader", "src.a.B", 1), "batch_size: 32", "bomb: "+big, 1), false},
		{"many for a number", strings.Replace(base, "rounds_to_train: 10", "rounds_to_train: "+big, 1), false},
		{"many for a list of tasks", strings.Replace(base, "tasks: [aggregated_model_validation", "tasks: ["+big+", aggregated_model_validation", 1), false},
		{"many metrics", strings.Replace(base, "metrics: [loss]", "metrics: "+big, 1), false},
		{"one group many times", strings.Replace(base, "    - name: learning", "    - &g {name: g, percentage: 0, tasks: [train]}\n"+strings.Repeat("    - *g\n", 10_000)+"    - name: learning", 1), false},
		{"one map merged many times", strings.Replace(base, "      lr: 0.1", "      <<: [&m {lr: 0.1}"+strings.Repeat(", *m", 10_000)+"]", 1), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.plan == base {
				t.Fatal("the plan is unchanged")
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			found := Plan("plan.yaml", []byte(test.plan), nil)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			used := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d bytes, %d findings, %v, %d MiB", len(test.plan), len(found), took, used)
			if (found.Err() == nil) != test.valid {
				t.Errorf("got %v", first(strings.Split(found.Error(), "\n"), 3))
			}
			if took > 20*time.Second || used > 1024 {
				t.Errorf("took %v and %d MiB", took, used)
			}
		})
	}
}
