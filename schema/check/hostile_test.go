package check

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A plan that is large, and wrong throughout, is answered in
// seconds.
func TestHostilePlans(t *testing.T) {
	base := plan(t)
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	tests := []struct{ name, plan string }{
		{"unknown sections", base + many(20_000, "s%d: {}\n")},
		{"unknown settings", strings.Replace(base, "    db_store_rounds: 2\n", many(25_000, "    k%d: 1\n"), 1)},
		{"unknown settings over defaults", strings.Replace(base, "    client_reconnect_interval: 5\n", many(25_000, "    k%d: 1\n"), 1)},
		{"unknown sections with defaults", base + many(7_000, "s%d: {defaults: plan/defaults/network.yaml}\n")},
		{"one metric many times", strings.Replace(base, "metrics: [loss]", "metrics: ["+strings.TrimSuffix(many(100_000, "loss, %.0s"), ", ")+"]", 1)},
		{"unused tasks", base + many(15_000, "  t%d: {function: validate_task}\n")},
		{"unknown tasks in a group", strings.Replace(base, "tasks: [aggregated_model_validation,", "tasks: ["+many(40_000, "t%d, "), 1)},
		{"one task many times", strings.Replace(base, "tasks: [aggregated_model_validation,", "tasks: ["+many(40_000, "train, %.0s"), 1)},
		{"groups", strings.Replace(base, "    - name: learning", many(10_000, "    - {name: g%d, percentage: 0, tasks: [train]}\n")+"    - name: learning", 1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			fs := Plan("plan.yaml", []byte(test.plan), nil)
			took := time.Since(start)
			t.Logf("%d bytes, %d findings, %v", len(test.plan), len(fs), took)
			if took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if len(fs) == 0 && test.name != "groups" {
				t.Error("nothing was found")
			}
		})
	}
}
