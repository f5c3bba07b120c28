package v1alpha1

import (
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// recurringOwner is the recurring job that controls j; nil: none.
func (j *WorkspaceJob) recurringOwner() *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(j)
	if owner == nil || owner.Kind != "WorkspaceRecurringJob" || owner.APIVersion != GroupVersion.String() {
		return nil
	}
	return owner
}

// Series is the name of the recurring job that j is a run of: the one that it names
// in recurringJobRef, or that controls it; "": none.
func (j *WorkspaceJob) Series() string {
	if j.Spec.RecurringJobRef != nil {
		return j.Spec.RecurringJobRef.Name
	}
	if owner := j.recurringOwner(); owner != nil {
		return owner.Name
	}
	return ""
}

// ScheduledAt is when a run that a schedule made was due; false for any other job.
func (j *WorkspaceJob) ScheduledAt() (time.Time, bool) {
	if j.Spec.RecurringJobRef != nil || j.recurringOwner() == nil {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, j.Annotations[AnnotationScheduledAt])
	return at, err == nil
}

// AttemptName is the name of an attempt's batch/v1 Job. It is the same however
// often it is asked for, so no attempt is ever made twice. The first Job of a
// scheduled run is the one that its schedule made.
func (j *WorkspaceJob) AttemptName(number int32) string {
	if _, scheduled := j.ScheduledAt(); scheduled && number == 1 {
		return j.Name
	}
	return j.Name + "-" + strconv.Itoa(int(number))
}

// Template is what j's attempts run: its own fields or, with recurringJobRef, the
// recurring job's as they were; nil while those are unknown.
func (j *WorkspaceJob) Template() *JobTemplate {
	if j.Spec.RecurringJobRef == nil {
		return &j.Spec.JobTemplate
	}
	return j.Status.Template
}

// Priority in the queue: its own, else its template's, else 0.
func (j *WorkspaceJob) Priority() int32 {
	if j.Spec.Priority != nil {
		return *j.Spec.Priority
	}
	if template := j.Template(); template != nil && template.Priority != nil {
		return *template.Priority
	}
	return 0
}

// TTLAfterFinished: its own, else its template's; nil: none.
func (j *WorkspaceJob) TTLAfterFinished() *Duration {
	if j.Spec.TTLAfterFinished != nil {
		return j.Spec.TTLAfterFinished
	}
	if template := j.Template(); template != nil {
		return template.TTLAfterFinished
	}
	return nil
}

// UnderWay is the attempt that has not finished; nil if there is none.
func (s *WorkspaceJobStatus) UnderWay() *Attempt {
	if n := len(s.Attempts); n > 0 && s.Attempts[n-1].FinishedAt == nil {
		return &s.Attempts[n-1]
	}
	return nil
}

// NextNumber is the number that the next attempt will have.
func (s *WorkspaceJobStatus) NextNumber() int32 {
	if n := len(s.Attempts); n > 0 {
		return s.Attempts[n-1].Number + 1
	}
	return 1
}

// Attempt of this number, 0 for the newest; nil: there is none, or it is not known any
// more.
func (s *WorkspaceJobStatus) Attempt(number int32) *Attempt {
	for i := len(s.Attempts) - 1; i >= 0; i-- {
		if attempt := &s.Attempts[i]; number == 0 || attempt.Number == number {
			return attempt
		}
	}
	return nil
}
