package schema

import "math"

// One class of OpenFL has several class paths: where it is defined, where its
// packages re-export it, and what version 1.6 called it. canonical maps all of
// them to one, so that the runtime's tables have one line per class.
var canonical = canonicalTemplates()

const (
	stragglers19 = "openfl.component.aggregator.straggler_handling."
	stragglers16 = "openfl.component.straggler_handling_functions."
	pipelines    = "openfl.pipelines."
	functions    = "openfl.interface.aggregation_functions."
)

func canonicalTemplates() map[string]string {
	m := map[string]string{}
	for class, file := range map[string]string{"RandomGroupedAssigner": "random_grouped_assigner", "StaticGroupedAssigner": "static_grouped_assigner"} {
		name := "openfl.component." + class
		m["openfl.component.assigner."+class] = name
		m["openfl.component.assigner."+file+"."+class] = name
	}
	for class, old := range map[string][2]string{
		"WaitForAllPolicy": {},
		"CutoffTimePolicy": {"cutoff_time_based_straggler_handling", "CutoffTimeBasedStragglerHandling"},
		"PercentagePolicy": {"percentage_based_straggler_handling", "PercentageBasedStragglerHandling"},
	} {
		name := stragglers19 + class
		m["openfl.component."+class] = name
		m["openfl.component.aggregator."+class] = name
		if old[0] != "" {
			m[stragglers16+old[1]] = name
			m[stragglers16+old[0]+"."+old[1]] = name
		}
	}
	for class, file := range map[string]string{
		"NoCompressionPipeline": "no_compression_pipeline", "RandomShiftPipeline": "random_shift_pipeline", "KCPipeline": "kc_pipeline",
		"SKCPipeline": "skc_pipeline", "STCPipeline": "stc_pipeline", "EdenPipeline": "eden_pipeline",
	} {
		m[pipelines+file+"."+class] = pipelines + class
	}
	for class, file := range map[string]string{
		"WeightedAverage": "weighted_average", "Median": "median", "GeometricMedian": "geometric_median",
		"FedCurvWeightedAverage": "fedcurv_weighted_average", "FedBaggingXGBoost": "fed_bagging", "SecureWeightedAverage": "secure_weighted_average",
		"AdagradAdaptiveAggregation": "adagrad_adaptive_aggregation", "AdamAdaptiveAggregation": "adam_adaptive_aggregation",
		"YogiAdaptiveAggregation": "yogi_adaptive_aggregation",
	} {
		m[functions+file+"."+class] = functions + class
	}
	return m
}

// CanonicalTemplate is the class path under which the runtime's tables know a
// template. A path that has no other spelling is returned as it is.
func CanonicalTemplate(template string) string {
	if name, ok := canonical[template]; ok {
		return name
	}
	return template
}

// straggler turns a cut-off policy whose time never comes, OpenFL 1.6's default,
// into what it amounts to: waiting for all.
func straggler(c Component) Component {
	if c.Template != stragglers19+"CutoffTimePolicy" {
		return c
	}
	if limit, set := c.Settings["straggler_cutoff_time"]; set && limit != math.Inf(1) {
		return c
	}
	for key, value := range c.Settings {
		switch least, ok := value.(int); {
		case key == "straggler_cutoff_time":
		case key == "minimum_reporting" && ok && least > 0:
		case key == "round_start_time" && value == nil:
		default:
			return c
		}
	}
	return Component{Template: defaultStraggler, Settings: map[string]any{}}
}
