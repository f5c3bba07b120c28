package job

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// scrapeLimit bounds the listing behind one scrape. The cache answers it.
const scrapeLimit = 5 * time.Second

// Metrics of all queues. Labels name queues, never single objects.
type Metrics struct {
	attempts *prometheus.CounterVec
	queued   *prometheus.HistogramVec
	ran      *prometheus.HistogramVec
	jobs     *prometheus.Desc
	reader   client.Reader
}

// NewMetrics registers the metrics; reader is the manager's cache.
func NewMetrics(registry prometheus.Registerer, reader client.Reader) (*Metrics, error) {
	// From a tenth of a second to a day.
	buckets := []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workspace_jobs_attempts_total", Help: "Attempts that ended, by outcome.",
		}, []string{"queue", "outcome"}),
		queued: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "workspace_jobs_queue_seconds", Help: "Time from when a run was due to when its handler started.", Buckets: buckets,
		}, []string{"queue"}),
		ran: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "workspace_jobs_run_seconds", Help: "Time that an attempt's handler ran.", Buckets: buckets,
		}, []string{"queue", "outcome"}),
		jobs:   prometheus.NewDesc("workspace_jobs_jobs", "WorkspaceJobs that exist, by state.", []string{"queue", "state"}, nil),
		reader: reader,
	}
	for _, c := range []prometheus.Collector{m.attempts, m.queued, m.ran, m} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Describe is part of prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.jobs }

// Collect counts the jobs of each workspace by state.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	var workspaces v1alpha1.WorkspaceList
	if err := m.reader.List(ctx, &workspaces); err != nil {
		ch <- prometheus.NewInvalidMetric(m.jobs, err)
		return
	}
	for i := range workspaces.Items {
		ws := &workspaces.Items[i]
		var jobs v1alpha1.WorkspaceJobList
		if err := m.reader.List(ctx, &jobs, client.InNamespace(ws.NamespaceName()), client.UnsafeDisableDeepCopy); err != nil {
			ch <- prometheus.NewInvalidMetric(m.jobs, err)
			return
		}
		counts := map[v1alpha1.JobState]float64{}
		for j := range jobs.Items {
			counts[jobs.Items[j].Status.State]++
		}
		for _, state := range v1alpha1.JobStates() {
			ch <- prometheus.MustNewConstMetric(m.jobs, prometheus.GaugeValue, counts[state], v1alpha1.QueueName(ws.Name), string(state))
		}
	}
}

func (m *Metrics) count(ws *v1alpha1.Workspace, measures []measure) {
	if ws == nil {
		return
	}
	queue := v1alpha1.QueueName(ws.Name)
	for _, one := range measures {
		if one.queued != nil {
			m.queued.WithLabelValues(queue).Observe(one.queued.Seconds())
		}
		if one.outcome != "" {
			m.attempts.WithLabelValues(queue, string(one.outcome)).Inc()
		}
		if one.outcome != "" && one.ran > 0 {
			m.ran.WithLabelValues(queue, string(one.outcome)).Observe(one.ran.Seconds())
		}
	}
}
