package prometheus

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	root    = "../../.."
	runbook = "https://github.com/openradius/workspace-jobs/blob/main/docs/operations.md#"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// strict decodes an object as the API server does: the case of field names matters.
func strict(t *testing.T, path string, into any) {
	t.Helper()
	text, err := yaml.YAMLToJSON(read(t, path))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	faults, err := json.UnmarshalStrict(text, into)
	if err := errors.Join(append(faults, err)...); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// alerts reads the PrometheusRule as the Prometheus operator and Prometheus do.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	const path = "config/prometheus/prometheusrule.yaml"
	strict(t, path, &monitoringv1.PrometheusRule{})
	var object struct{ Spec map[string]any }
	if err := yaml.Unmarshal(read(t, path), &object); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	var rules []rulefmt.Rule
	for _, group := range groups.Groups {
		rules = append(rules, group.Rules...)
	}
	if t.Failed() || len(rules) == 0 {
		t.Fatalf("%s has %d rules that Prometheus accepts", path, len(rules))
	}
	return rules
}

func TestAlertsNameWhatExists(t *testing.T) {
	t.Parallel()
	e := all(t)
	for _, rule := range alerts(t) {
		c := newChecker(e)
		has := c.check(rule.Expr)
		for _, text := range rule.Annotations {
			c.named(alertLabel, text, has)
		}
		for _, fault := range c.faults {
			t.Errorf("%s: %s", rule.Alert, fault)
		}
	}
}

// TestAlertsLeadToHelp checks that the pages say what each alert means and what to do.
func TestAlertsLeadToHelp(t *testing.T) {
	t.Parallel()
	operations, monitoring := string(read(t, "docs/operations.md")), string(read(t, "docs/monitoring.md"))
	for _, rule := range alerts(t) {
		if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
			t.Errorf("%s: severity %q", rule.Alert, rule.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if rule.Annotations[name] == "" {
				t.Errorf("%s has no %s", rule.Alert, name)
			}
		}
		if want := runbook + strings.ToLower(rule.Alert); rule.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", rule.Alert, rule.Annotations["runbook_url"], want)
		}
		if !strings.Contains(operations, "\n### "+rule.Alert+"\n") {
			t.Errorf("docs/operations.md has no section %s", rule.Alert)
		}
		if !strings.Contains(monitoring, "`"+rule.Alert+"`") {
			t.Errorf("docs/monitoring.md does not mention %s", rule.Alert)
		}
	}
}

// TestTheServiceMonitorFindsTheService checks the selector, because nothing reports one that
// matches nothing.
func TestTheServiceMonitorFindsTheService(t *testing.T) {
	t.Parallel()
	var monitor monitoringv1.ServiceMonitor
	strict(t, "config/prometheus/servicemonitor.yaml", &monitor)
	var service corev1.Service
	strict(t, "config/manager/service.yaml", &service)
	if monitor.Namespace != service.Namespace {
		t.Errorf("it selects from %q, the Service is in %q", monitor.Namespace, service.Namespace)
	}
	for name, value := range monitor.Spec.Selector.MatchLabels {
		if service.Labels[name] != value {
			t.Errorf("it selects %s=%q, the Service has %q", name, value, service.Labels[name])
		}
	}
	if got := service.Labels[monitor.Spec.JobLabel]; got != "workspace-jobs" {
		t.Errorf("job is %q, but the alerts select workspace-jobs", got)
	}
	for _, endpoint := range monitor.Spec.Endpoints {
		named := func(port corev1.ServicePort) bool { return port.Name == endpoint.Port }
		if !slices.ContainsFunc(service.Spec.Ports, named) {
			t.Errorf("the Service has no port %q", endpoint.Port)
		}
	}
	if len(monitor.Spec.Endpoints) == 0 {
		t.Error("it has no endpoint")
	}
}
