package client

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// JobOption sets a field of a job beyond its handler, its arguments and its time.
type JobOption interface {
	job(job *v1alpha1.WorkspaceJob)
}

// RecurringOption sets a field of a recurring job beyond its handler, its arguments and its
// schedule.
type RecurringOption interface {
	recurring(recurring *v1alpha1.WorkspaceRecurringJob)
}

// TemplateOption is both a [JobOption] and a [RecurringOption]: it sets a field that a job
// and the runs of a recurring job have in common.
type TemplateOption func(template *v1alpha1.JobTemplate)

func (o TemplateOption) job(job *v1alpha1.WorkspaceJob) { o(&job.Spec.JobTemplate) }
func (o TemplateOption) recurring(recurring *v1alpha1.WorkspaceRecurringJob) {
	o(&recurring.Spec.Template)
}

type jobOption func(job *v1alpha1.WorkspaceJob)

func (o jobOption) job(job *v1alpha1.WorkspaceJob) { o(job) }

type recurringOption func(recurring *v1alpha1.WorkspaceRecurringJob)

func (o recurringOption) recurring(recurring *v1alpha1.WorkspaceRecurringJob) { o(recurring) }

// WithName names the job: a DNS label of at most 58 characters. Without it the name is made
// from that of the handler.
func WithName(name string) JobOption {
	return jobOption(func(job *v1alpha1.WorkspaceJob) { job.Name, job.GenerateName = name, "" })
}

// WithIdempotencyKey has the job created once, however often it is enqueued with this key,
// for as long as the job is kept. Enqueuing something else with the key returns
// [ErrKeyUsed].
func WithIdempotencyKey(key string) JobOption { return WithName(NameOfKey(key)) }

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?$`)

// NameOfKey returns the name of the job with this idempotency key: the key itself if it is a
// valid name, else a hash of it.
func NameOfKey(key string) string {
	if label.MatchString(key) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "key-" + hex.EncodeToString(sum[:16])
}

// After makes the job a continuation, which waits until the named jobs have Succeeded.
func After(names ...string) JobOption {
	return jobOption(func(job *v1alpha1.WorkspaceJob) {
		for _, name := range names {
			job.Spec.After = append(job.Spec.After, v1alpha1.Parent{Name: name, When: v1alpha1.AfterSucceeded})
		}
	})
}

// InTimeZone sets the schedule's time zone, a name of the IANA database; Etc/UTC unless
// set.
func InTimeZone(name string) RecurringOption {
	return recurringOption(func(r *v1alpha1.WorkspaceRecurringJob) { r.Spec.TimeZone = name })
}

// WithConcurrencyPolicy sets what happens to a run that becomes due while an earlier one is
// unfinished; Forbid unless set.
func WithConcurrencyPolicy(policy v1alpha1.ConcurrencyPolicy) RecurringOption {
	return recurringOption(func(r *v1alpha1.WorkspaceRecurringJob) { r.Spec.ConcurrencyPolicy = policy })
}

// WithStartingDeadline sets how late a missed run may still start, 10 seconds to a year.
func WithStartingDeadline(deadline time.Duration) RecurringOption {
	return recurringOption(func(r *v1alpha1.WorkspaceRecurringJob) {
		r.Spec.StartingDeadline = &v1alpha1.Duration{Duration: deadline}
	})
}

// WithPriority sets the priority in the queue, -1000 to 1000; 0 unless set. Higher goes
// first.
func WithPriority(priority int32) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.Priority = &priority }
}

// WithConcurrencyKey lets one job with this key run at a time in the workspace.
func WithConcurrencyKey(key string) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.ConcurrencyKey = key }
}

// WithRetries sets how many times a failed job is retried, 0 to 100; 10 unless set.
func WithRetries(limit int32) TemplateOption {
	return func(t *v1alpha1.JobTemplate) {
		if t.Retry == nil {
			t.Retry = &v1alpha1.RetryPolicy{}
		}
		t.Retry.Limit = &limit
	}
}

// WithTimeout limits each attempt, to between a second and a year; none unless set.
func WithTimeout(timeout time.Duration) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.Timeout = &v1alpha1.Duration{Duration: timeout} }
}

// WithTTL has the job deleted this long after it has finished. Without it the workspace's
// retention decides.
func WithTTL(ttl time.Duration) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.TTLAfterFinished = &v1alpha1.Duration{Duration: ttl} }
}
