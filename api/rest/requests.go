package rest

import (
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// argsLimit is the largest size of a job's arguments, in bytes.
const argsLimit = 64 << 10

// Template has what a job and the runs of a recurring job have in common.
type Template struct {
	Handler        string     `json:"handler" minLength:"1" maxLength:"100" pattern:"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$" doc:"The handler of the workspace's runner image to run" example:"data-cleanup"`
	Args           *Object    `json:"args,omitempty" doc:"The handler's arguments, at most 64 KiB"`
	Priority       *int32     `json:"priority,omitempty" minimum:"-1000" maximum:"1000" doc:"Higher goes first; 0 unless set"`
	ConcurrencyKey string     `json:"concurrencyKey,omitempty" maxLength:"253" doc:"At most one of the workspace's jobs with the same key runs at a time"`
	Retry          *Retry     `json:"retry,omitempty"`
	Timeout        string     `json:"timeout,omitempty" maxLength:"32" doc:"Limit for each attempt, such as 90s or 1h30m; none unless set"`
	Resources      *Resources `json:"resources,omitempty" doc:"For each attempt; the workspace's unless set"`
	TTL            string     `json:"ttlAfterFinished,omitempty" maxLength:"32" doc:"How long after it has finished the job is deleted"`
}

// Retry says how often and when a failed job is retried.
type Retry struct {
	Limit    *int32 `json:"limit,omitempty" minimum:"0" maximum:"100" doc:"10 unless set"`
	MinDelay string `json:"minDelay,omitempty" maxLength:"32" doc:"Before the first retry; 15s unless set"`
	MaxDelay string `json:"maxDelay,omitempty" maxLength:"32" doc:"Before any retry; 2h unless set"`
	Factor   *int32 `json:"factor,omitempty" minimum:"1" maximum:"10" doc:"Factor by which the delay grows; 2 unless set"`
}

// Parent is a job that a continuation waits for.
type Parent struct {
	Name string                 `json:"name" pattern:"^[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?$"`
	When v1alpha1.ParentOutcome `json:"when,omitempty" enum:"Succeeded,Failed,Deleted,Finished" doc:"How the job must end; Succeeded unless set"`
}

// JobRequest describes a job to create.
type JobRequest struct {
	Template
	Name  string     `json:"name,omitempty" pattern:"^[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?$" patternDescription:"a name: lower-case letters, digits and '-', at most 58" doc:"Made from that of the handler unless set"`
	Delay string     `json:"delay,omitempty" maxLength:"32" doc:"Run this long from now, such as 30m; excludes runAt" example:"30m"`
	RunAt *time.Time `json:"runAt,omitempty" doc:"Run at this time, or at once if it has passed"`
	After []Parent   `json:"after,omitempty" maxItems:"32" nullable:"false" doc:"Run once all of these jobs have ended as they must"`
}

// RecurringJobRequest describes a recurring job.
type RecurringJobRequest struct {
	Template
	Schedule          string                     `json:"schedule" minLength:"1" maxLength:"200" doc:"Five fields, or a macro such as @daily; H spreads load" example:"0 2 * * *"`
	TimeZone          string                     `json:"timeZone,omitempty" maxLength:"64" doc:"A name of the IANA time zone database; Etc/UTC unless set" example:"Asia/Kolkata"`
	ConcurrencyPolicy v1alpha1.ConcurrencyPolicy `json:"concurrencyPolicy,omitempty" enum:"Forbid,Allow,Replace,Queue" doc:"What happens to a run that becomes due while an earlier one is unfinished; Forbid unless set"`
	StartingDeadline  string                     `json:"startingDeadline,omitempty" maxLength:"32" doc:"How late a missed run may still start"`
	History           *History                   `json:"history,omitempty"`
}

// History is how many finished runs are kept.
type History struct {
	Succeeded *int32 `json:"succeeded,omitempty" minimum:"0" maximum:"100" doc:"3 unless set"`
	Failed    *int32 `json:"failed,omitempty" minimum:"0" maximum:"100" doc:"3 unless set"`
}

// reader reads a request's fields and collects what is wrong with them.
type reader struct{ faults []*huma.ErrorDetail }

func (r *reader) fault(location, message string) {
	r.faults = append(r.faults, &huma.ErrorDetail{Location: location, Message: message})
}

// err returns a problem that names every fault; nil if there is none.
func (r *reader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	problem := newProblem(http.StatusUnprocessableEntity, "the request is not valid")
	problem.Errors = r.faults
	return problem
}

func (r *reader) duration(field, text string) *v1alpha1.Duration {
	if text == "" {
		return nil
	}
	duration, err := time.ParseDuration(text)
	if err != nil || duration < 0 {
		r.fault("body."+field, "it must be a duration such as 90s or 1h30m")
	}
	return &v1alpha1.Duration{Duration: duration}
}

func (r *reader) args(location string, args *Object) *apiextensionsv1.JSON {
	if args == nil || len(*args) == 0 {
		return nil
	}
	if len(*args) > argsLimit {
		r.fault(location, fmt.Sprintf("they are %d bytes of JSON, and at most %d (64 KiB) are allowed: store the data in the database and pass its key", len(*args), argsLimit))
	}
	return &apiextensionsv1.JSON{Raw: *args}
}

func (r *reader) template(t Template) v1alpha1.JobTemplate {
	template := v1alpha1.JobTemplate{
		Handler: t.Handler, Args: r.args("body.args", t.Args), Priority: t.Priority, ConcurrencyKey: t.ConcurrencyKey, Resources: r.resources(t.Resources),
		Timeout: r.duration("timeout", t.Timeout), TTLAfterFinished: r.duration("ttlAfterFinished", t.TTL),
	}
	if t.Retry != nil {
		template.Retry = &v1alpha1.RetryPolicy{
			Limit: t.Retry.Limit, MinDelay: r.duration("retry.minDelay", t.Retry.MinDelay),
			MaxDelay: r.duration("retry.maxDelay", t.Retry.MaxDelay), Factor: t.Retry.Factor,
		}
	}
	return template
}

func (r *reader) job(in *JobRequest) *v1alpha1.WorkspaceJob {
	job := &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Name: in.Name}}
	job.Spec = v1alpha1.WorkspaceJobSpec{JobTemplate: r.template(in.Template), Delay: r.duration("delay", in.Delay)}
	if in.RunAt != nil {
		job.Spec.RunAt = new(metav1.NewTime(*in.RunAt))
	}
	for _, parent := range in.After {
		if parent.When == "" {
			parent.When = v1alpha1.AfterSucceeded
		}
		job.Spec.After = append(job.Spec.After, v1alpha1.Parent{Name: parent.Name, When: parent.When})
	}
	return job
}
