package v1alpha1

import (
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// recurringOwner returns the reference to the recurring job that controls j, or nil.
func (j *WorkspaceJob) recurringOwner() *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(j)
	if owner == nil || owner.Kind != "WorkspaceRecurringJob" || owner.APIVersion != GroupVersion.String() {
		return nil
	}
	return owner
}

// Series returns the name of the recurring job that j is a run of: the one that
// recurringJobRef names, or the one that controls it. It returns "" if there is none.
func (j *WorkspaceJob) Series() string {
	if j.Spec.RecurringJobRef != nil {
		return j.Spec.RecurringJobRef.Name
	}
	if owner := j.recurringOwner(); owner != nil {
		return owner.Name
	}
	return ""
}

// ScheduledAt returns when a scheduled run was due. It returns false for any other job.
func (j *WorkspaceJob) ScheduledAt() (time.Time, bool) {
	if j.Spec.RecurringJobRef != nil || j.recurringOwner() == nil {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, j.Annotations[AnnotationScheduledAt])
	return at, err == nil
}

// AttemptName returns the name of an attempt's batch/v1 Job. It is deterministic, so no
// attempt is ever created twice. The first Job of a scheduled run is its tick.
func (j *WorkspaceJob) AttemptName(number int32) string {
	if _, scheduled := j.ScheduledAt(); scheduled && number == 1 {
		return j.Name
	}
	return j.Name + "-" + strconv.Itoa(int(number))
}

// Template returns what j's attempts run: its own fields or, with recurringJobRef, the
// recurring job's template as it was when the operator first saw j. It returns nil while that
// is unknown.
func (j *WorkspaceJob) Template() *JobTemplate {
	if j.Spec.RecurringJobRef == nil {
		return &j.Spec.JobTemplate
	}
	return j.Status.Template
}

// Priority returns j's own priority, or else its template's, or else 0.
func (j *WorkspaceJob) Priority() int32 {
	if j.Spec.Priority != nil {
		return *j.Spec.Priority
	}
	if template := j.Template(); template != nil && template.Priority != nil {
		return *template.Priority
	}
	return 0
}

// TTLAfterFinished returns j's own ttlAfterFinished, or else its template's, or else nil.
func (j *WorkspaceJob) TTLAfterFinished() *Duration {
	if j.Spec.TTLAfterFinished != nil {
		return j.Spec.TTLAfterFinished
	}
	if template := j.Template(); template != nil {
		return template.TTLAfterFinished
	}
	return nil
}

// RequeuedAfter returns when a run that finished at this time is followed by another one; zero
// if spec.requeueAt asks for none.
//
// The status keeps whole seconds: a run that is requeued at 8.1 s and ends at 8.9 s finished at
// 8 s. That must not count as finished before it was requeued.
func (j *WorkspaceJob) RequeuedAfter(finished time.Time) time.Time {
	again := j.Spec.RequeueAt
	if again == nil || j.Spec.Cancelled || !finished.Before(again.Truncate(time.Second)) {
		return time.Time{}
	}
	return again.Time
}

// UnderWay returns the attempt that has not finished, or nil.
func (s *WorkspaceJobStatus) UnderWay() *Attempt {
	if n := len(s.Attempts); n > 0 && s.Attempts[n-1].FinishedAt == nil {
		return &s.Attempts[n-1]
	}
	return nil
}

// NextNumber returns the number that the next attempt will have.
func (s *WorkspaceJobStatus) NextNumber() int32 {
	if n := len(s.Attempts); n > 0 {
		return s.Attempts[n-1].Number + 1
	}
	return 1
}

// Attempt returns the attempt with this number, or the latest for 0. It returns nil if there
// is none, or if the status no longer has it.
func (s *WorkspaceJobStatus) Attempt(number int32) *Attempt {
	for i := len(s.Attempts) - 1; i >= 0; i-- {
		if attempt := &s.Attempts[i]; number == 0 || attempt.Number == number {
			return attempt
		}
	}
	return nil
}
