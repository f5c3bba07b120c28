package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/schedule"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// recurringRow is a recurring job in the list.
type recurringRow struct {
	Name, URL, Schedule, Zone, Handler string
	Next, Last                         *moment
	LastState                          v1alpha1.JobState
	LastURL, LastName                  string
	Failures                           int32
	Active                             int
	Paused                             bool
	// Problem says why its schedule is not active.
	Problem string
}

func recurringRowOf(s *scope, r *v1alpha1.WorkspaceRecurringJob) recurringRow {
	row := recurringRow{
		Name: r.Name, URL: s.path("recurring", r.Name), Schedule: printable.Text(r.Spec.Schedule), Zone: printable.Text(zoneOf(r)), Handler: r.Spec.Template.Handler,
		Next: inZone(r.Status.NextScheduledAt, zoneOf(r)), Failures: r.Status.ConsecutiveFailures, Active: len(r.Status.Active), Paused: r.Spec.Suspend,
		Last: at(r.Status.LastScheduledAt),
	}
	if last := r.Status.LastRun; last != nil {
		row.LastState, row.LastName, row.LastURL, row.Last = last.State, last.Name, s.path("jobs", last.Name), at(last.FinishedAt)
	}
	ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Status == "False" && !r.Spec.Suspend && ready.Reason != v1alpha1.ReasonSuspended {
		row.Problem = printable.Text(ready.Message)
	}
	return row
}

func zoneOf(r *v1alpha1.WorkspaceRecurringJob) string { return cmp.Or(r.Spec.TimeZone, "Etc/UTC") }

// inZone shows a time in a time zone.
func inZone(t *metav1.Time, zone string) *moment {
	if t == nil {
		return nil
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		location = time.UTC
	}
	return dateTime(t.In(location))
}

type recurringJobsData struct {
	base
	paging
	resourceVersion string
	Namespace       string
	Rows            []recurringRow
}

func (d *recurringJobsData) version() string { return d.resourceVersion }

func loadRecurringJobs(ctx context.Context, s *scope, may rights) (pageData, error) {
	if !may.Recurring {
		return nil, errNotAllowedTo(listRecurring)
	}
	list, err := s.jobs.ListRecurring(ctx, pageSize, s.request.URL.Query().Get("continue"))
	if err != nil {
		return nil, err
	}
	data := &recurringJobsData{base: base{Title: "Recurring jobs"}, Namespace: s.namespace(), resourceVersion: list.ResourceVersion, paging: pagingOf(s, list.Continue)}
	for i := range list.Items {
		data.Rows = append(data.Rows, recurringRowOf(s, &list.Items[i]))
	}
	return data, nil
}

type recurringJobData struct {
	base
	resourceVersion string
	Row             recurringRow
	// CreatedBy, PausedBy and ResumedBy are the names of users, "" if not known.
	CreatedBy, PausedBy, ResumedBy string

	Policy          string
	Deadline        string
	Args            string
	Missed, Skipped int64
	LastSucceeded   *moment
	Runs            []jobRow
	Preview         preview
}

func (d *recurringJobData) version() string { return d.resourceVersion }

func loadRecurringJob(ctx context.Context, s *scope, _ rights) (pageData, error) {
	name := s.request.PathValue("recurring")
	r, err := s.jobs.GetRecurring(ctx, name)
	if err != nil {
		return nil, err
	}
	runs, err := s.runsOf(ctx, name)
	if err != nil {
		return nil, err
	}
	data := &recurringJobData{
		base: base{Title: name}, resourceVersion: r.ResourceVersion, Row: recurringRowOf(s, r), Policy: string(cmp.Or(r.Spec.ConcurrencyPolicy, v1alpha1.PolicyForbid)),
		Args: prettyJSON(r.Spec.Template.Args), Missed: r.Status.MissedRuns, Skipped: r.Status.SkippedRuns, LastSucceeded: at(r.Status.LastSucceededAt),
		CreatedBy: printable.Text(r.Annotations[v1alpha1.AnnotationCreatedBy]),
		PausedBy:  authorOf(r, v1alpha1.AnnotationSuspendedBy), ResumedBy: authorOf(r, v1alpha1.AnnotationResumedBy),
	}
	if r.Spec.StartingDeadline != nil {
		data.Deadline = duration(r.Spec.StartingDeadline.Duration)
	}
	for i := range runs {
		data.Runs = append(data.Runs, jobRowOf(s, &runs[i]))
	}
	query := s.request.URL.Query()
	data.Preview = *previewOf(s, name, cmp.Or(query.Get("schedule"), r.Spec.Schedule), cmp.Or(query.Get("zone"), zoneOf(r)))
	return data, nil
}

// runsOf returns the runs of a recurring job, scheduled and triggered, newest first.
func (s *scope) runsOf(ctx context.Context, name string) ([]v1alpha1.WorkspaceJob, error) {
	var all []v1alpha1.WorkspaceJob
	for _, options := range []client.ListOptions{{ScheduledBy: name}, {TriggeredOf: name}} {
		runs, err := s.newest(ctx, options)
		if err != nil {
			return nil, err
		}
		all = append(all, runs...)
	}
	newestFirst(all)
	// A triggered run may have the label too.
	all = slices.CompactFunc(all, func(a, b v1alpha1.WorkspaceJob) bool { return a.UID == b.UID })
	return all[:min(len(all), pageSize)], nil
}

// newest returns the newest jobs, as many as a page shows. The API server orders by name, so
// the first page of a longer list may have the oldest. Then all names are listed first.
func (s *scope) newest(ctx context.Context, options client.ListOptions) ([]v1alpha1.WorkspaceJob, error) {
	options.Limit = pageSize
	list, err := s.jobs.List(ctx, options)
	if err != nil {
		return nil, err
	}
	if list.Continue == "" {
		return list.Items, nil
	}
	var items []metav1.PartialObjectMetadata
	for options.Limit = namesAtOnce; len(items) < namesAtMost; {
		page, err := s.jobs.ListMetadata(ctx, options)
		if err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	slices.SortStableFunc(items, func(a, b metav1.PartialObjectMetadata) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	var names []string
	for i := range items[:min(len(items), pageSize)] {
		names = append(names, items[i].Name)
	}
	return readAll(ctx, names, s.jobs.Get)
}

// previewed is how many of the next runs are shown.
const previewed = 5

// preview shows the next runs of a schedule that the recurring job may not have yet.
type preview struct {
	base
	URL            string
	Schedule, Zone string
	// Expanded is the schedule with a number for each H; "" if it has none.
	Expanded string
	Problem  string
	Runs     []*moment
}

// PreviewHere returns the preview with the base of its page.
func (d *recurringJobData) PreviewHere() *preview {
	d.Preview.base = d.base
	return &d.Preview
}

func previewOf(s *scope, name, expression, zone string) *preview {
	p := &preview{URL: s.path("recurring", name), Schedule: printable.Text(strings.TrimSpace(expression)), Zone: printable.Text(strings.TrimSpace(zone))}
	parsed, err := schedule.Parse(p.Schedule, p.Zone, s.namespace()+"/"+name)
	if err != nil {
		p.Problem = scheduleProblem(err)
		return p
	}
	if parsed.String() != p.Schedule {
		p.Expanded = parsed.String()
	}
	location, err := time.LoadLocation(p.Zone)
	if err != nil {
		location = time.UTC
	}
	for t := parsed.Next(time.Now().In(location)); !t.IsZero() && len(p.Runs) < previewed; t = parsed.Next(t) {
		p.Runs = append(p.Runs, dateTime(t))
	}
	return p
}

// preview answers while the user types.
func (d *dashboard) preview(w http.ResponseWriter, r *http.Request, s *scope) {
	query := r.URL.Query()
	p := previewOf(s, r.PathValue("recurring"), query.Get("schedule"), query.Get("zone"))
	may, err := s.may(r.Context())
	if err != nil {
		d.fail(w, r, s.user, err)
		return
	}
	p.fill(d, s.user)
	p.inScope(s, page{}, may)
	d.write(w, r, http.StatusOK, "preview", p)
}
