package recurring

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Metrics of the recurring jobs of all queues. Labels name queues, never single
// objects.
type Metrics struct {
	missed, skipped *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workspace_jobs_missed_runs_total", Help: "Runs that were due by their schedule and were not started.",
		}, []string{"queue"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workspace_jobs_skipped_runs_total", Help: "Scheduled runs that the concurrencyPolicy did not let start.",
		}, []string{"queue"}),
	}
	for _, c := range []prometheus.Collector{m.missed, m.skipped} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) count(ws *v1alpha1.Workspace, missed, skipped int64) {
	if ws == nil {
		return
	}
	queue := v1alpha1.QueueName(ws.Name)
	m.missed.WithLabelValues(queue).Add(float64(max(0, missed)))
	m.skipped.WithLabelValues(queue).Add(float64(max(0, skipped)))
}
