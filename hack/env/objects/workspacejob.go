package objects

import (
	"encoding/json"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// WorkspaceJobBuilder builds a WorkspaceJob.
type WorkspaceJobBuilder struct{ job v1alpha1.WorkspaceJob }

// MakeWorkspaceJob returns a builder of a job that runs the handler sql now.
func MakeWorkspaceJob(name string) *WorkspaceJobBuilder {
	return &WorkspaceJobBuilder{v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "sql"}},
	}}
}

// Obj returns the job.
func (b *WorkspaceJobBuilder) Obj() *v1alpha1.WorkspaceJob { return b.job.DeepCopy() }

// Template returns what a recurring job with the same fields runs.
func (b *WorkspaceJobBuilder) Template() v1alpha1.JobTemplate {
	return *b.job.Spec.JobTemplate.DeepCopy()
}

// With changes what no other method changes.
func (b *WorkspaceJobBuilder) With(change func(*v1alpha1.WorkspaceJob)) *WorkspaceJobBuilder {
	change(&b.job)
	return b
}

// In sets the namespace.
func (b *WorkspaceJobBuilder) In(namespace string) *WorkspaceJobBuilder {
	b.job.Namespace = namespace
	return b
}

// UID sets metadata.uid.
func (b *WorkspaceJobBuilder) UID(uid types.UID) *WorkspaceJobBuilder { b.job.UID = uid; return b }

// Generation sets metadata.generation.
func (b *WorkspaceJobBuilder) Generation(g int64) *WorkspaceJobBuilder {
	b.job.Generation = g
	return b
}

// Created sets when the job was created.
func (b *WorkspaceJobBuilder) Created(at time.Time) *WorkspaceJobBuilder {
	b.job.CreationTimestamp = metav1.NewTime(at)
	return b
}

// Handler sets what runs.
func (b *WorkspaceJobBuilder) Handler(name string) *WorkspaceJobBuilder {
	b.job.Spec.Handler = name
	return b
}

// Args sets the handler's arguments, a JSON object.
func (b *WorkspaceJobBuilder) Args(raw string) *WorkspaceJobBuilder {
	b.job.Spec.Args = &apiextensionsv1.JSON{Raw: []byte(raw)}
	return b
}

// ArgsOf sets the handler's arguments to a value that encodes to a JSON object.
func (b *WorkspaceJobBuilder) ArgsOf(args any) *WorkspaceJobBuilder {
	raw, err := json.Marshal(args)
	if err != nil {
		panic(err) // the test's own arguments can't be encoded
	}
	return b.Args(string(raw))
}

// Trigger runs a recurring job's template instead of a handler of the job's own.
func (b *WorkspaceJobBuilder) Trigger(recurring string) *WorkspaceJobBuilder {
	b.job.Spec.JobTemplate = v1alpha1.JobTemplate{}
	b.job.Spec.RecurringJobRef = &v1alpha1.RecurringJobRef{Name: recurring}
	return b
}

// Delay sets spec.delay.
func (b *WorkspaceJobBuilder) Delay(d time.Duration) *WorkspaceJobBuilder {
	b.job.Spec.Delay = &v1alpha1.Duration{Duration: d}
	return b
}

// RunAt sets spec.runAt.
func (b *WorkspaceJobBuilder) RunAt(at time.Time) *WorkspaceJobBuilder {
	b.job.Spec.RunAt = new(metav1.NewTime(at))
	return b
}

// RequeueAt sets spec.requeueAt.
func (b *WorkspaceJobBuilder) RequeueAt(at time.Time) *WorkspaceJobBuilder {
	b.job.Spec.RequeueAt = new(metav1.NewTime(at))
	return b
}

// Cancelled sets spec.cancelled.
func (b *WorkspaceJobBuilder) Cancelled() *WorkspaceJobBuilder { b.job.Spec.Cancelled = true; return b }

// After adds parents that must have succeeded.
func (b *WorkspaceJobBuilder) After(parents ...string) *WorkspaceJobBuilder {
	return b.AfterOutcome(v1alpha1.AfterSucceeded, parents...)
}

// AfterOutcome adds parents that must have ended in that way.
func (b *WorkspaceJobBuilder) AfterOutcome(when v1alpha1.ParentOutcome, parents ...string) *WorkspaceJobBuilder {
	for _, name := range parents {
		b.job.Spec.After = append(b.job.Spec.After, v1alpha1.Parent{Name: name, When: when})
	}
	return b
}

// Priority sets spec.priority.
func (b *WorkspaceJobBuilder) Priority(priority int32) *WorkspaceJobBuilder {
	b.job.Spec.Priority = &priority
	return b
}

// ConcurrencyKey sets spec.concurrencyKey.
func (b *WorkspaceJobBuilder) ConcurrencyKey(key string) *WorkspaceJobBuilder {
	b.job.Spec.ConcurrencyKey = key
	return b
}

// Retries sets how often an attempt that failed is tried again, and how long after.
func (b *WorkspaceJobBuilder) Retries(limit int32, delay time.Duration) *WorkspaceJobBuilder {
	b.job.Spec.Retry = &v1alpha1.RetryPolicy{Limit: &limit, MinDelay: &v1alpha1.Duration{Duration: delay}}
	return b
}

// Backoff sets by how much the delay of [WorkspaceJobBuilder.Retries] grows, and up to what.
func (b *WorkspaceJobBuilder) Backoff(factor int32, maxDelay time.Duration) *WorkspaceJobBuilder {
	b.job.Spec.Retry.Factor, b.job.Spec.Retry.MaxDelay = &factor, &v1alpha1.Duration{Duration: maxDelay}
	return b
}

// Timeout sets spec.timeout.
func (b *WorkspaceJobBuilder) Timeout(d time.Duration) *WorkspaceJobBuilder {
	b.job.Spec.Timeout = &v1alpha1.Duration{Duration: d}
	return b
}

// TTL sets spec.ttlAfterFinished.
func (b *WorkspaceJobBuilder) TTL(d time.Duration) *WorkspaceJobBuilder {
	b.job.Spec.TTLAfterFinished = &v1alpha1.Duration{Duration: d}
	return b
}

// Requests sets the resources that the runner requests.
func (b *WorkspaceJobBuilder) Requests(list corev1.ResourceList) *WorkspaceJobBuilder {
	b.job.Spec.Resources = &v1alpha1.Resources{Requests: list}
	return b
}

// Attempt adds an attempt that has begun, with the Job that belongs to it.
func (b *WorkspaceJobBuilder) Attempt(run, number int32, at time.Time) *WorkspaceJobBuilder {
	status, created := &b.job.Status, metav1.NewTime(at)
	status.Run, status.State, status.EnqueuedAt = run, v1alpha1.StateEnqueued, &created
	status.RunAttempts++
	status.Attempts = append(status.Attempts, v1alpha1.Attempt{
		Number: number, Run: run, Job: b.job.Name + "-" + strconv.Itoa(int(number)), JobUID: "job-uid", CreatedAt: created,
	})
	return b
}

// Ended ends the newest attempt.
func (b *WorkspaceJobBuilder) Ended(outcome v1alpha1.AttemptOutcome, text string, at time.Time) *WorkspaceJobBuilder {
	last := &b.job.Status.Attempts[len(b.job.Status.Attempts)-1]
	last.Outcome, last.Error, last.FinishedAt = outcome, text, new(metav1.NewTime(at))
	return b
}

// Failed ends the newest attempt, whose runner exited with code 1 and said "boom".
func (b *WorkspaceJobBuilder) Failed(at time.Time) *WorkspaceJobBuilder {
	b.Ended(v1alpha1.OutcomeFailed, "boom", at)
	b.job.Status.Attempts[len(b.job.Status.Attempts)-1].ExitCode = new(int32(1))
	return b
}

// Outcome changes how the newest attempt ended.
func (b *WorkspaceJobBuilder) Outcome(outcome v1alpha1.AttemptOutcome, text string) *WorkspaceJobBuilder {
	last := &b.job.Status.Attempts[len(b.job.Status.Attempts)-1]
	last.Outcome, last.Error = outcome, text
	return b
}

// NextAttempt sets when the next attempt is due.
func (b *WorkspaceJobBuilder) NextAttempt(at time.Time) *WorkspaceJobBuilder {
	b.job.Status.NextAttemptAt = new(metav1.NewTime(at))
	return b
}

// State sets status.state.
func (b *WorkspaceJobBuilder) State(state v1alpha1.JobState) *WorkspaceJobBuilder {
	b.job.Status.State = state
	return b
}

// Finished ends the job's run.
func (b *WorkspaceJobBuilder) Finished(state v1alpha1.JobState, at time.Time) *WorkspaceJobBuilder {
	b.job.Status.Run = max(b.job.Status.Run, 1)
	b.job.Status.FinishedAt = new(metav1.NewTime(at))
	return b.State(state)
}
