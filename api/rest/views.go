package rest

import (
	"encoding/json"
	"net/url"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Job is a job as the API shows it.
type Job struct {
	Name      string `json:"name"`
	Workspace string `json:"workspace"`
	// Queue is workspace_<workspace>.
	Queue          string            `json:"queue"`
	Handler        string            `json:"handler" doc:"Empty for a triggered run until the operator has seen it"`
	Args           Object            `json:"args,omitempty"`
	RecurringJob   string            `json:"recurringJob,omitempty" doc:"The recurring job that this is a run of"`
	State          v1alpha1.JobState `json:"state" enum:"Scheduled,Awaiting,Enqueued,Processing,Succeeded,Failed,Deleted"`
	Message        string            `json:"message" doc:"Why the job is in its state"`
	Cancelled      bool              `json:"cancelled,omitempty"`
	CreatedBy      string            `json:"createdBy,omitempty" doc:"The user who created the job, if the client said so"`
	RequeuedBy     string            `json:"requeuedBy,omitempty" doc:"The user who requeued the job, if that was the latest change and the client said so"`
	CancelledBy    string            `json:"cancelledBy,omitempty" doc:"The user who cancelled the job, if that was the latest change and the client said so"`
	Delay          string            `json:"delay,omitempty"`
	RunAt          *time.Time        `json:"runAt,omitempty"`
	After          []Parent          `json:"after,omitempty" nullable:"false"`
	Priority       int32             `json:"priority"`
	ConcurrencyKey string            `json:"concurrencyKey,omitempty"`
	Retry          *Retry            `json:"retry,omitempty"`
	Timeout        string            `json:"timeout,omitempty"`
	Resources      *Resources        `json:"resources,omitempty"`
	TTL            string            `json:"ttlAfterFinished,omitempty"`
	Run            int32             `json:"run" doc:"Number of the run, from 1; each requeue is a new run"`
	Attempts       []Attempt         `json:"attempts" nullable:"false" doc:"The last 20 attempts, oldest first"`
	Result         json.RawMessage   `json:"result,omitempty" doc:"What the handler returned"`
	CreatedAt      time.Time         `json:"createdAt"`
	NextAttemptAt  *time.Time        `json:"nextAttemptAt,omitempty"`
	EnqueuedAt     *time.Time        `json:"enqueuedAt,omitempty"`
	StartedAt      *time.Time        `json:"startedAt,omitempty"`
	FinishedAt     *time.Time        `json:"finishedAt,omitempty"`
	RequeueAt      *time.Time        `json:"requeueAt,omitempty"`
	Links          JobLinks          `json:"links"`
}

// Attempt is one try of a run.
type Attempt struct {
	Number     int32                   `json:"number" doc:"Number of the attempt, from 1 over all runs"`
	Run        int32                   `json:"run"`
	CreatedAt  time.Time               `json:"createdAt"`
	StartedAt  *time.Time              `json:"startedAt,omitempty"`
	FinishedAt *time.Time              `json:"finishedAt,omitempty"`
	Outcome    v1alpha1.AttemptOutcome `json:"outcome,omitempty" enum:"Succeeded,Failed,PermanentFailure,TimedOut,Interrupted,NotStarted,Lost,Cancelled,Replaced"`
	ExitCode   *int32                  `json:"exitCode,omitempty"`
	Error      string                  `json:"error,omitempty"`
}

// JobLinks are paths.
type JobLinks struct {
	Self         string `json:"self"`
	Workspace    string `json:"workspace"`
	Events       string `json:"events"`
	Logs         string `json:"logs"`
	RecurringJob string `json:"recurringJob,omitempty"`
}

// JobList is a page of jobs.
type JobList struct {
	Items    []Job  `json:"items" nullable:"false"`
	Continue string `json:"continue,omitempty" doc:"Token for the next page; absent on the last"`
}

// RecurringJob is a recurring job as the API shows it.
type RecurringJob struct {
	ID                string                     `json:"id"`
	Workspace         string                     `json:"workspace"`
	Schedule          string                     `json:"schedule"`
	EffectiveSchedule string                     `json:"effectiveSchedule,omitempty" doc:"The schedule with a number for each H"`
	TimeZone          string                     `json:"timeZone"`
	ConcurrencyPolicy v1alpha1.ConcurrencyPolicy `json:"concurrencyPolicy" enum:"Forbid,Allow,Replace,Queue"`
	StartingDeadline  string                     `json:"startingDeadline,omitempty"`
	Paused            bool                       `json:"paused"`
	CreatedBy         string                     `json:"createdBy,omitempty" doc:"The user who created the recurring job, if the client said so"`
	PausedBy          string                     `json:"pausedBy,omitempty" doc:"The user who paused it, if that was the latest change and the client said so"`
	ResumedBy         string                     `json:"resumedBy,omitempty" doc:"The user who resumed it, if that was the latest change and the client said so"`
	History           *History                   `json:"history,omitempty"`
	Handler           string                     `json:"handler"`
	Args              Object                     `json:"args,omitempty"`
	Priority          *int32                     `json:"priority,omitempty"`
	ConcurrencyKey    string                     `json:"concurrencyKey,omitempty"`
	Retry             *Retry                     `json:"retry,omitempty"`
	Timeout           string                     `json:"timeout,omitempty"`
	Resources         *Resources                 `json:"resources,omitempty"`
	TTL               string                     `json:"ttlAfterFinished,omitempty"`
	Ready             bool                       `json:"ready" doc:"The schedule is valid and active"`
	Message           string                     `json:"message" doc:"Why the recurring job is ready or not"`
	CreatedAt         time.Time                  `json:"createdAt"`
	NextScheduledAt   *time.Time                 `json:"nextScheduledAt,omitempty"`
	LastScheduledAt   *time.Time                 `json:"lastScheduledAt,omitempty"`
	LastSucceededAt   *time.Time                 `json:"lastSucceededAt,omitempty"`
	LastMissedAt      *time.Time                 `json:"lastMissedAt,omitempty"`
	MissedRuns        int64                      `json:"missedRuns"`
	SkippedRuns       int64                      `json:"skippedRuns"`
	Failures          int32                      `json:"consecutiveFailures"`
	Active            []string                   `json:"active" nullable:"false" doc:"Unfinished runs, oldest first"`
	LastRun           *LastRun                   `json:"lastRun,omitempty"`
	Links             RecurringLinks             `json:"links"`
}

// LastRun is the last run that has finished.
type LastRun struct {
	Name       string            `json:"name"`
	State      v1alpha1.JobState `json:"state" enum:"Succeeded,Failed,Deleted"`
	FinishedAt time.Time         `json:"finishedAt"`
}

// RecurringLinks are paths.
type RecurringLinks struct {
	Self      string `json:"self"`
	Workspace string `json:"workspace"`
}

// RecurringJobList is a page of recurring jobs.
type RecurringJobList struct {
	Items    []RecurringJob `json:"items" nullable:"false"`
	Continue string         `json:"continue,omitempty" doc:"Token for the next page; absent on the last"`
}

// Workspace is a workspace that the caller may see.
type Workspace struct {
	Name        string         `json:"name"`
	Namespace   string         `json:"namespace"`
	Queue       string         `json:"queue"`
	Ready       bool           `json:"ready"`
	Suspended   bool           `json:"suspended" doc:"Nothing new starts"`
	Concurrency int32          `json:"concurrency" doc:"How many jobs may be processing at once"`
	Jobs        JobCounts      `json:"jobs" doc:"Up to ten seconds old"`
	Links       WorkspaceLinks `json:"links"`
}

// JobCounts are the numbers of a workspace's jobs by state.
type JobCounts struct {
	Scheduled  int32 `json:"scheduled"`
	Awaiting   int32 `json:"awaiting"`
	Enqueued   int32 `json:"enqueued"`
	Processing int32 `json:"processing"`
	Succeeded  int32 `json:"succeeded"`
	Failed     int32 `json:"failed"`
	Deleted    int32 `json:"deleted"`
}

// WorkspaceLinks are paths.
type WorkspaceLinks struct {
	Self      string `json:"self"`
	Jobs      string `json:"jobs"`
	Recurring string `json:"recurring"`
	Events    string `json:"events"`
}

// WorkspaceList has all workspaces that the caller may see.
type WorkspaceList struct {
	Items []Workspace `json:"items" nullable:"false"`
}

func pathOf(workspace string, more ...string) string {
	path := "/api/workspaces/" + url.PathEscape(workspace)
	for _, each := range more {
		path += "/" + url.PathEscape(each)
	}
	return path
}

func viewOfJob(workspace string, job *v1alpha1.WorkspaceJob) Job {
	spec, status := job.Spec, job.Status
	view := Job{
		Name: job.Name, Workspace: workspace, Queue: v1alpha1.QueueName(workspace), RecurringJob: job.Series(),
		State: status.State, Message: status.Message, Cancelled: spec.Cancelled,
		CreatedBy: job.Annotations[v1alpha1.AnnotationCreatedBy], RequeuedBy: v1alpha1.Author(job, v1alpha1.AnnotationRequeuedBy),
		CancelledBy: v1alpha1.Author(job, v1alpha1.AnnotationCancelledBy),
		Delay:       durationText(spec.Delay), RunAt: timeOf(spec.RunAt), Priority: job.Priority(), TTL: durationText(job.TTLAfterFinished()),
		Run: max(1, status.Run), Attempts: []Attempt{}, Result: raw(status.Result),
		CreatedAt: job.CreationTimestamp.UTC(), NextAttemptAt: timeOf(status.NextAttemptAt), EnqueuedAt: timeOf(status.EnqueuedAt),
		StartedAt: timeOf(status.StartedAt), FinishedAt: timeOf(status.FinishedAt), RequeueAt: timeOf(spec.RequeueAt),
		Links: JobLinks{
			Self: pathOf(workspace, "jobs", job.Name), Workspace: pathOf(workspace),
			Events: pathOf(workspace, "jobs", job.Name, "events"), Logs: pathOf(workspace, "jobs", job.Name, "logs"),
		},
	}
	if view.RecurringJob != "" {
		view.Links.RecurringJob = pathOf(workspace, "recurring", view.RecurringJob)
	}
	if view.State == "" {
		view.State, view.Message = stateToBe(job), "the operator has not seen it yet"
	}
	if template := job.Template(); template != nil {
		view.Handler, view.Args, view.ConcurrencyKey = template.Handler, Object(raw(template.Args)), template.ConcurrencyKey
		view.Retry, view.Timeout, view.Resources = viewOfRetry(template.Retry), durationText(template.Timeout), viewOfResources(template.Resources)
	}
	for _, parent := range spec.After {
		view.After = append(view.After, Parent{Name: parent.Name, When: parent.When})
	}
	for _, a := range status.Attempts {
		view.Attempts = append(view.Attempts, Attempt{
			Number: a.Number, Run: a.Run, CreatedAt: a.CreatedAt.UTC(), StartedAt: timeOf(a.StartedAt), FinishedAt: timeOf(a.FinishedAt),
			Outcome: a.Outcome, ExitCode: a.ExitCode, Error: a.Error,
		})
	}
	return view
}

// stateToBe returns the state that the operator will give a new job.
func stateToBe(job *v1alpha1.WorkspaceJob) v1alpha1.JobState {
	switch {
	case len(job.Spec.After) > 0:
		return v1alpha1.StateAwaiting
	case job.Spec.Delay != nil && job.Spec.Delay.Duration > 0, job.Spec.RunAt != nil:
		return v1alpha1.StateScheduled
	}
	return v1alpha1.StateEnqueued
}

func viewOfRetry(retry *v1alpha1.RetryPolicy) *Retry {
	if retry == nil {
		return nil
	}
	return &Retry{Limit: retry.Limit, MinDelay: durationText(retry.MinDelay), MaxDelay: durationText(retry.MaxDelay), Factor: retry.Factor}
}

func durationText(d *v1alpha1.Duration) string {
	if d == nil {
		return ""
	}
	return d.Duration.String()
}

func timeOf(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

func raw(value *apiextensionsv1.JSON) json.RawMessage {
	if value == nil {
		return nil
	}
	return value.Raw
}
