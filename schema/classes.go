package schema

import "slices"

// Classes of OpenFL 1.6 to 1.9 that load data and run tasks, by the module that
// defines them. They are Python: a plan may name them, fxrun cannot run them.
var (
	loaderClasses = [][2]string{
		{"loader", "DataLoader"}, {"loader_fe", "FastEstimatorDataLoader"}, {"loader_flower", "FlowerDataLoader"},
		{"loader_gandlf", "GaNDLFDataLoaderWrapper"}, {"loader_keras", "KerasDataLoader"}, {"loader_pt", "PyTorchDataLoader"},
		{"loader_tf", "TensorFlowDataLoader"}, {"loader_xgb", "XGBoostDataLoader"},
	}
	runnerClasses = [][2]string{
		{"runner", "TaskRunner"}, {"runner_fe", "FastEstimatorTaskRunner"}, {"runner_flower", "FlowerTaskRunner"},
		{"runner_gandlf", "GaNDLFTaskRunner"}, {"runner_keras", "KerasTaskRunner"}, {"runner_pt", "PyTorchTaskRunner"},
		{"runner_tf", "TensorFlowTaskRunner"}, {"runner_xgb", "XGBoostTaskRunner"},
	}
)

// OpenFLClasses lists the class paths of OpenFL that the section data_loader or
// task_runner may name.
func OpenFLClasses(section string) []string {
	switch section {
	case "data_loader":
		return classPaths("openfl.federated.data.", loaderClasses)
	case "task_runner":
		// What defaults files and plans before 1.9 call the class above all runners.
		return append(classPaths("openfl.federated.task.", runnerClasses), "openfl.federated.task_runner.CoreTaskRunner",
			"openfl.federated.task.task_runner.CoreTaskRunner")
	}
	return nil
}

func classPaths(pkg string, classes [][2]string) []string {
	var out []string
	for _, c := range classes {
		out = append(out, pkg+c[1], pkg+c[0]+"."+c[1], "openfl.federated."+c[1])
	}
	slices.Sort(out)
	return out
}

// The connector to Flower, which OpenFL has since 1.8.
var connectorTemplates = []string{"openfl.component.ConnectorFlower", "openfl.component.connector.connector_flower.ConnectorFlower"}

// connector checks the section that hands a federation over to Flower: known, but
// not done by this version.
func (d *decoder) connector() {
	key := d.root.Key("connector")
	if key == nil {
		return
	}
	f := key.finding("unsupported", "connector", "connectors to other frameworks (Flower) are not supported")
	f.Hint = "remove the section and name a task runner"
	*d.out = append(*d.out, f)
	s := d.section("connector", connectorTemplates, true)
	for _, name := range []string{"superlink_host", "flwr_app_name", "federation_name", "flwr_dir"} {
		s.text(name, false)
	}
	for _, name := range []string{"fleet_api_port", "exec_api_port", "serverappio_api_port"} {
		s.port(name, false)
	}
	s.flag("insecure", true)
	s.flag("automatic_shutdown", true)
	s.textKeys()
}
