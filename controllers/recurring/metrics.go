package recurring

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Metrics are the metrics of recurring jobs in all queues. Labels name queues, never single
// objects.
type Metrics struct {
	missed, skipped *prometheus.CounterVec
}

// NewMetrics returns the metrics, registered with registry.
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

// count counts what happened between two statuses of a recurring job.
func (m *Metrics) count(ws *v1alpha1.Workspace, before, after *v1alpha1.WorkspaceRecurringJobStatus) {
	if ws == nil {
		return
	}
	queue := v1alpha1.QueueName(ws.Name)
	m.missed.WithLabelValues(queue).Add(float64(max(0, after.MissedRuns-before.MissedRuns)))
	m.skipped.WithLabelValues(queue).Add(float64(max(0, after.SkippedRuns-before.SkippedRuns)))
}
