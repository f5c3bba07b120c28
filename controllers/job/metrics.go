package job

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// The gauges count recurring jobs too.
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs,verbs=list;watch

// scrapeLimit bounds how long one scrape may list objects, which the cache answers.
const scrapeLimit = 5 * time.Second

// Metrics are the metrics of all queues. Labels name queues, never single objects.
type Metrics struct {
	attempts *prometheus.CounterVec
	queued   *prometheus.HistogramVec
	late     *prometheus.HistogramVec
	ran      *prometheus.HistogramVec
	gauges   gauges
	reader   client.Reader
	clock    clock.PassiveClock
}

// gauges are computed at each scrape, so nothing has to keep them up to date.
type gauges struct{ jobs, limit, oldest, recurring, failing *prometheus.Desc }

// NewMetrics registers the metrics; reader is the manager's cache.
func NewMetrics(registry prometheus.Registerer, reader client.Reader, clock clock.PassiveClock) (*Metrics, error) {
	// From a tenth of a second to a day.
	buckets := []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workspace_jobs_attempts_total", Help: "Attempts that ended, by outcome.",
		}, []string{"queue", "outcome"}),
		queued: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "workspace_jobs_queue_seconds", Help: "Time from when a run was due to when its handler started.", Buckets: buckets,
		}, []string{"queue"}),
		late: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "workspace_jobs_schedule_lateness_seconds", Help: "Time from when a schedule's run was due to when its handler first started.", Buckets: buckets,
		}, []string{"queue"}),
		ran: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "workspace_jobs_run_seconds", Help: "Time that an attempt's handler ran.", Buckets: buckets,
		}, []string{"queue", "outcome"}),
		gauges: gauges{
			jobs:      prometheus.NewDesc("workspace_jobs_jobs", "WorkspaceJobs that exist, by state.", []string{"queue", "state"}, nil),
			limit:     prometheus.NewDesc("workspace_jobs_queue_limit", "Attempts that may run at once; 0 while the workspace is suspended.", []string{"queue"}, nil),
			oldest:    prometheus.NewDesc("workspace_jobs_oldest_waiting_seconds", "For how long the Enqueued job that has waited longest has been due; 0 if none waits.", []string{"queue"}, nil),
			recurring: prometheus.NewDesc("workspace_jobs_recurring_jobs", "WorkspaceRecurringJobs that exist.", []string{"queue"}, nil),
			failing:   prometheus.NewDesc("workspace_jobs_recurring_jobs_failing", "WorkspaceRecurringJobs of which no run has succeeded since one failed.", []string{"queue"}, nil),
		},
		reader: reader,
		clock:  clock,
	}
	for _, c := range []prometheus.Collector{m.attempts, m.queued, m.late, m.ran, m} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{m.gauges.jobs, m.gauges.limit, m.gauges.oldest, m.gauges.recurring, m.gauges.failing} {
		ch <- desc
	}
}

// Collect reports each workspace's queue as it is now. Each kind is listed once and not
// copied, so that a scrape of a thousand workspaces stays cheap.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	var workspaces v1alpha1.WorkspaceList
	var jobs v1alpha1.WorkspaceJobList
	var recurring v1alpha1.WorkspaceRecurringJobList
	for _, list := range []client.ObjectList{&workspaces, &jobs, &recurring} {
		if err := m.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			// The other metrics are worth having without these.
			ctrl.Log.Error(err, "list what the gauges count", "list", fmt.Sprintf("%T", list))
			return
		}
	}
	loads := loadsOf(m.clock.Now(), workspaces.Items, jobs.Items, recurring.Items)
	for i := range loads {
		m.gauges.send(ch, &loads[i])
	}
}

func (g *gauges) send(ch chan<- prometheus.Metric, l *load) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{l.queue}, labels...)...)
	}
	for _, state := range v1alpha1.JobStates() {
		gauge(g.jobs, float64(l.states[state]), string(state))
	}
	gauge(g.limit, float64(l.limit))
	gauge(g.oldest, l.oldest.Seconds())
	gauge(g.recurring, float64(l.recurring))
	gauge(g.failing, float64(l.failing))
}

// load is what one workspace's queue holds.
type load struct {
	queue     string
	limit     int32
	states    map[v1alpha1.JobState]int
	oldest    time.Duration // of the waiting jobs; 0: none waits
	recurring int
	failing   int // of the recurring jobs
}

// loadsOf returns one load for each workspace, in their order. Objects in a namespace
// without a workspace belong to no queue.
func loadsOf(now time.Time, workspaces []v1alpha1.Workspace, jobs []v1alpha1.WorkspaceJob, recurring []v1alpha1.WorkspaceRecurringJob) []load {
	loads := make([]load, len(workspaces))
	of := make(map[string]*load, len(workspaces))
	for i := range workspaces {
		ws := &workspaces[i]
		loads[i] = load{queue: v1alpha1.QueueName(ws.Name), limit: ws.Limit(), states: map[v1alpha1.JobState]int{}}
		if ws.Spec.Suspend {
			loads[i].limit = 0
		}
		if ws.Status.Namespace != "" {
			of[ws.Status.Namespace] = &loads[i]
		}
	}
	for i := range jobs {
		if l := of[jobs[i].Namespace]; l != nil {
			l.states[jobs[i].Status.State]++
			l.oldest = max(l.oldest, waited(now, &jobs[i].Status))
		}
	}
	for i := range recurring {
		if l := of[recurring[i].Namespace]; l != nil {
			l.recurring++
			l.failing += min(1, int(recurring[i].Status.ConsecutiveFailures))
		}
	}
	return loads
}

// waited returns how long an Enqueued job has been due, and 0 for any other. A retry has
// waited since it was due itself, not since its run was.
func waited(now time.Time, status *v1alpha1.WorkspaceJobStatus) time.Duration {
	if status.State != v1alpha1.StateEnqueued || status.EnqueuedAt == nil {
		return 0
	}
	since := status.EnqueuedAt.Time
	if n := len(status.Attempts); n > 0 && status.RunAttempts > 0 {
		switch last := status.Attempts[n-1]; {
		case last.FinishedAt != nil:
			since = last.FinishedAt.Time
		case status.RunAttempts > 1:
			since = last.CreatedAt.Time
		}
	}
	if next := status.NextAttemptAt; next != nil && next.After(since) {
		since = next.Time
	}
	return max(0, now.Sub(since))
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
		if one.late != nil {
			m.late.WithLabelValues(queue).Observe(one.late.Seconds())
		}
		if one.outcome != "" {
			m.attempts.WithLabelValues(queue, string(one.outcome)).Inc()
		}
		if one.outcome != "" && one.ran > 0 {
			m.ran.WithLabelValues(queue, string(one.outcome)).Observe(one.ran.Seconds())
		}
	}
}
