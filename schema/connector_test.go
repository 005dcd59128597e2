package schema

import (
	"strings"
	"testing"
)

// The ports of a connector that are auto, as the Python package openfl 1.9 fills
// them in for this plan: each from the hash of the plan with those before it.
func TestConnectorPorts(t *testing.T) {
	const plan = `
aggregator: {settings: {rounds_to_train: 1}}
network: {settings: {agg_addr: agg.example.org, agg_port: auto}}
connector:
  defaults: plan/defaults/connector_flower.yaml
  settings: {exec_api_port: 9093, flwr_app_name: app-pytorch, last_port: auto}
tasks:
  defaults: plan/defaults/tasks_flower.yaml
`
	p, err := ReadPlan("plan.yaml", []byte(plan))
	if err != nil {
		t.Fatal(err)
	}
	ids, config, err := p.Identify(ResolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ids.FederationID != "plan.yaml_0d0a919f" || ids.Port != 55203 {
		t.Errorf("got %s, port %d", ids.FederationID, ids.Port)
	}
	got := string(Dump(config))
	for _, want := range []string{
		"    agg_port: 55203\n",
		"    serverappio_api_port: 52735\n", "    fleet_api_port: 55300\n", "    exec_api_port: 9093\n", "    last_port: 59749\n",
		"    interop_server_port: 51413\n", "    clientappio_api_port: 58349\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if p.Config().At("connector", "settings", "last_port").Text != "auto" {
		t.Error("the plan itself has changed")
	}
}

// A connector is not supported, and what is wrong with it is said all the same.
func TestConnectorFindings(t *testing.T) {
	const plan = "connector:\n  template: openfl.component.ConectorFlower\n  settings:\n    fleet_api_port: 70000\n    insecure: maybe\n"
	p, err := ReadPlan("plan.yaml", []byte(plan))
	if err != nil {
		t.Fatal(err)
	}
	text := p.Findings().Error()
	for _, want := range []string{
		"plan.yaml:1:1: connector: connectors to other frameworks (Flower) are not supported",
		`plan.yaml:2:13: connector.template: there is no such template (found string "openfl.component.ConectorFlower"; allowed openfl.component.ConnectorFlower; did you mean "openfl.component.ConnectorFlower")`,
		"plan.yaml:4:21: connector.settings.fleet_api_port: the value is out of range (found integer 70000; allowed from 1 to 65535, or auto)",
		"plan.yaml:5:15: connector.settings.insecure: wrong type",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
