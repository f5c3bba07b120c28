package client

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// JobOption sets more of a job than its handler, its arguments and its time.
type JobOption interface {
	job(job *v1alpha1.WorkspaceJob)
}

// RecurringOption sets more of a recurring job than its handler, its arguments and its
// schedule.
type RecurringOption interface {
	recurring(recurring *v1alpha1.WorkspaceRecurringJob)
}

// TemplateOption is for both: it sets what a job and the runs of a recurring job have in
// common.
type TemplateOption func(template *v1alpha1.JobTemplate)

func (o TemplateOption) job(job *v1alpha1.WorkspaceJob) { o(&job.Spec.JobTemplate) }
func (o TemplateOption) recurring(recurring *v1alpha1.WorkspaceRecurringJob) {
	o(&recurring.Spec.Template)
}

type jobOption func(job *v1alpha1.WorkspaceJob)

func (o jobOption) job(job *v1alpha1.WorkspaceJob) { o(job) }

type recurringOption func(recurring *v1alpha1.WorkspaceRecurringJob)

func (o recurringOption) recurring(recurring *v1alpha1.WorkspaceRecurringJob) { o(recurring) }

// WithName gives the job this name instead of one that is made of its handler's: a DNS
// label of at most 58 characters.
func WithName(name string) JobOption {
	return jobOption(func(job *v1alpha1.WorkspaceJob) { job.Name, job.GenerateName = name, "" })
}

// WithIdempotencyKey: however often a job with this key is enqueued, it is there once,
// for as long as it is kept. To enqueue something else with the key is [ErrKeyUsed].
func WithIdempotencyKey(key string) JobOption { return WithName(NameOfKey(key)) }

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?$`)

// NameOfKey is the name of the job with an idempotency key: the key itself if it can be
// one, else a hash of it.
func NameOfKey(key string) string {
	if label.MatchString(key) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "key-" + hex.EncodeToString(sum[:16])
}

// After makes the job a continuation: it waits until these have Succeeded.
func After(names ...string) JobOption {
	return jobOption(func(job *v1alpha1.WorkspaceJob) {
		for _, name := range names {
			job.Spec.After = append(job.Spec.After, v1alpha1.Parent{Name: name, When: v1alpha1.AfterSucceeded})
		}
	})
}

// InTimeZone: the schedule's times are those of this zone of the IANA database; Etc/UTC
// unless set.
func InTimeZone(name string) RecurringOption {
	return recurringOption(func(r *v1alpha1.WorkspaceRecurringJob) { r.Spec.TimeZone = name })
}

// WithConcurrencyPolicy says what a run does that becomes due while an earlier one is
// unfinished; Forbid unless set.
func WithConcurrencyPolicy(policy v1alpha1.ConcurrencyPolicy) RecurringOption {
	return recurringOption(func(r *v1alpha1.WorkspaceRecurringJob) { r.Spec.ConcurrencyPolicy = policy })
}

// WithStartingDeadline: how late a missed run may still start, 10 seconds to a year.
func WithStartingDeadline(deadline time.Duration) RecurringOption {
	return recurringOption(func(r *v1alpha1.WorkspaceRecurringJob) {
		r.Spec.StartingDeadline = &v1alpha1.Duration{Duration: deadline}
	})
}

// WithPriority in the queue, -1000 to 1000; 0 unless set, and higher first.
func WithPriority(priority int32) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.Priority = &priority }
}

// WithConcurrencyKey: of the workspace's jobs with the same key one runs at a time.
func WithConcurrencyKey(key string) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.ConcurrencyKey = key }
}

// WithRetries: how many times a failed attempt is tried again, 0 to 100; 10 unless set.
func WithRetries(limit int32) TemplateOption {
	return func(t *v1alpha1.JobTemplate) {
		if t.Retry == nil {
			t.Retry = &v1alpha1.RetryPolicy{}
		}
		t.Retry.Limit = &limit
	}
}

// WithTimeout of each attempt, a second to a year; none unless set.
func WithTimeout(timeout time.Duration) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.Timeout = &v1alpha1.Duration{Duration: timeout} }
}

// WithTTL: the job is deleted this long after it has finished; unless set it is kept as
// long as the workspace's retention says.
func WithTTL(ttl time.Duration) TemplateOption {
	return func(t *v1alpha1.JobTemplate) { t.TTLAfterFinished = &v1alpha1.Duration{Duration: ttl} }
}
