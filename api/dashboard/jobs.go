package dashboard

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// jobRow is a job in a list.
type jobRow struct {
	Name, URL, Handler, Message string
	State                       v1alpha1.JobState
	Attempts                    int32
	Created, Started, Finished  *moment
	// Next is when the job or its next attempt is due.
	Next *moment
	Took string
}

func jobRowOf(s *scope, job *v1alpha1.WorkspaceJob) jobRow {
	row := jobRow{
		Name: job.Name, URL: s.path("jobs", job.Name), Handler: handlerOf(job), State: job.Status.State, Attempts: job.Status.RunAttempts,
		Message: printable.Text(job.Status.Message), Created: at(job.CreationTimestamp), Started: at(job.Status.StartedAt), Finished: at(job.Status.FinishedAt),
		Next: at(job.Status.NextAttemptAt), Took: between(job.Status.StartedAt, job.Status.FinishedAt),
	}
	if row.Next == nil && job.Status.State == v1alpha1.StateScheduled {
		row.Next = at(job.Spec.RunAt)
	}
	return row
}

// handlerOf returns the handler of a job or of its recurring job.
func handlerOf(job *v1alpha1.WorkspaceJob) string {
	if template := job.Template(); template != nil {
		return template.Handler
	}
	return ""
}

// tab is one of the tabs above the list of jobs.
type tab struct {
	Name    string
	URL     string
	Count   int32
	Counted bool
	Current bool
}

type jobsData struct {
	base
	paging
	resourceVersion string
	State           string
	Handler, Key    string
	Namespace       string
	Tabs            []tab
	Rows            []jobRow
	Whole           bool
	// Here is the page to return to after an action.
	Here string
}

func (d *jobsData) version() string { return d.resourceVersion }

// loadJobs lists a page of jobs. The API server orders by name. A list of one page is sorted
// here, newest first.
func loadJobs(ctx context.Context, s *scope, _ rights) (pageData, error) {
	query := s.request.URL.Query()
	data := &jobsData{base: base{Title: "Jobs"}, Namespace: s.namespace(), Handler: query.Get("handler"), Key: query.Get("key")}
	if state := v1alpha1.JobState(query.Get("state")); slices.Contains(v1alpha1.JobStates(), state) {
		data.State, data.Title = string(state), string(state)+" jobs"
	}
	list, err := s.jobs.List(ctx, client.ListOptions{
		State: v1alpha1.JobState(data.State), Handler: data.Handler, ConcurrencyKey: data.Key, Limit: pageSize, Continue: query.Get("continue"),
	})
	if err != nil {
		return nil, err
	}
	data.resourceVersion, data.paging = list.ResourceVersion, pagingOf(s, list.Continue)
	data.Whole = data.Next == "" && data.First == ""
	if data.Whole {
		newestFirst(list.Items)
	}
	for i := range list.Items {
		data.Rows = append(data.Rows, jobRowOf(s, &list.Items[i]))
	}
	data.Tabs, data.Here = tabs(s, data), s.request.URL.RequestURI()
	data.Here = strings.Replace(data.Here, s.root()+"/live/", s.root()+"/", 1)
	return data, nil
}

func newestFirst(jobs []v1alpha1.WorkspaceJob) {
	slices.SortStableFunc(jobs, func(a, b v1alpha1.WorkspaceJob) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
}

// tabs returns a tab for each state, with the operator's counts unless a handler or key is
// selected.
func tabs(s *scope, data *jobsData) []tab {
	filter := url.Values{}
	for key, value := range map[string]string{"handler": data.Handler, "key": data.Key} {
		if value != "" {
			filter.Set(key, value)
		}
	}
	counts := countsOf(s.workspace)
	all := []tab{{Name: "All", URL: pathWith(s.path("jobs"), filter), Current: data.State == ""}}
	for _, state := range v1alpha1.JobStates() {
		filter.Set("state", string(state))
		t := tab{Name: string(state), URL: pathWith(s.path("jobs"), filter), Current: data.State == string(state)}
		if counts != nil && data.Handler == "" && data.Key == "" {
			t.Count, t.Counted = counts[state], true
		}
		all = append(all, t)
	}
	return all
}

// countsOf returns the numbers of the workspace's jobs by state; nil until the operator has
// counted them.
func countsOf(ws *v1alpha1.Workspace) map[v1alpha1.JobState]int32 {
	c := ws.Status.Jobs
	if c == nil {
		return nil
	}
	return map[v1alpha1.JobState]int32{
		v1alpha1.StateScheduled: c.Scheduled, v1alpha1.StateAwaiting: c.Awaiting, v1alpha1.StateEnqueued: c.Enqueued,
		v1alpha1.StateProcessing: c.Processing, v1alpha1.StateSucceeded: c.Succeeded, v1alpha1.StateFailed: c.Failed, v1alpha1.StateDeleted: c.Deleted,
	}
}

func pathWith(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

type retriesData struct {
	base
	paging
	resourceVersion string
	Rows            []jobRow
	Here            string
}

func (d *retriesData) version() string { return d.resourceVersion }

// loadRetries lists the jobs that wait for another attempt.
func loadRetries(ctx context.Context, s *scope, _ rights) (pageData, error) {
	list, err := s.jobs.List(ctx, client.ListOptions{Retrying: true, Limit: pageSize, Continue: s.request.URL.Query().Get("continue")})
	if err != nil {
		return nil, err
	}
	data := &retriesData{base: base{Title: "Retries"}, Here: s.path("retries"), resourceVersion: list.ResourceVersion, paging: pagingOf(s, list.Continue)}
	for i := range list.Items {
		data.Rows = append(data.Rows, jobRowOf(s, &list.Items[i]))
	}
	return data, nil
}

// errNotAllowed matches every [notAllowed].
var errNotAllowed = errors.New("not allowed")
