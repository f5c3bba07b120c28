package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// tally counts by name.
type tally map[string]float64

// since subtracts an earlier tally and leaves out counts that have not changed.
func (t tally) since(before tally) tally {
	changed := tally{}
	for name, count := range t {
		if more := count - before[name]; more != 0 {
			changed[name] = more
		}
	}
	return changed
}

func (t tally) sum(names ...string) float64 {
	var all float64
	for _, name := range names {
		all += t[name]
	}
	return all
}

// requests returns how many requests the operator has sent, by HTTP method, as its own
// metrics report it.
func (l *lab) requests(ctx context.Context) (tally, error) {
	text, err := l.operator.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	return count(text, "rest_client_requests_total", func(labels map[string]string) string { return labels["method"] })
}

// answered returns how many requests the API server has answered, of all clients, by names
// such as "POST jobs" and "PATCH workspacejobs/status".
func (l *lab) answered(ctx context.Context) (tally, error) {
	text, err := l.clientset.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("the API server's metrics: %w", err)
	}
	return count(text, "apiserver_request_total", func(labels map[string]string) string {
		name := labels["verb"] + " " + labels["resource"]
		if sub := labels["subresource"]; sub != "" {
			name += "/" + sub
		}
		return name
	})
}

// metricsOf returns the metrics of one name.
func metricsOf(text []byte, name string) ([]*dto.Metric, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	family := families[name]
	if family == nil {
		return nil, fmt.Errorf("there is no metric %s", name)
	}
	return family.GetMetric(), nil
}

// number returns the value of a gauge or a counter that has no labels.
func number(text []byte, metric string) (float64, error) {
	all, err := metricsOf(text, metric)
	if err != nil {
		return 0, err
	}
	return all[0].GetGauge().GetValue() + all[0].GetCounter().GetValue(), nil
}

func count(text []byte, metric string, name func(map[string]string) string) (tally, error) {
	all, err := metricsOf(text, metric)
	if err != nil {
		return nil, err
	}
	counts := tally{}
	for _, one := range all {
		counts[name(labelsOf(one))] += one.GetCounter().GetValue()
	}
	return counts, nil
}

func labelsOf(metric *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, pair := range metric.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}

// usage is what a process uses, as the kernel counts it.
type usage struct {
	// memory is the resident memory in bytes, and peak its highest value.
	memory, peak float64
	// cpu is the CPU time in seconds.
	cpu float64
}

// ticks is the unit of /proc: a hundred a second on every Linux that Go runs on (sysconf(3)).
const ticks = 100

func (l *lab) usage() (usage, error) { return usageOf(l.operator.Process()) }

func usageOf(process int) (usage, error) {
	folder := fmt.Sprintf("/proc/%d/", process)
	status, err := os.ReadFile(folder + "status")
	if err != nil {
		return usage{}, err
	}
	var u usage
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kilobytes, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch name {
		case "VmRSS":
			u.memory = kilobytes * 1024
		case "VmHWM":
			u.peak = kilobytes * 1024
		}
	}
	stat, err := os.ReadFile(folder + "stat")
	if err != nil {
		return usage{}, err
	}
	// The name of the command, in brackets, may hold spaces; user and system time are
	// the 12th and 13th field behind it (proc_pid_stat(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return usage{}, fmt.Errorf("%sstat has %d fields", folder, len(fields))
	}
	for _, field := range fields[11:13] {
		used, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return usage{}, err
		}
		u.cpu += used / ticks
	}
	return u, nil
}
