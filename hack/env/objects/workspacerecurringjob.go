package objects

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Yearly is a schedule that is not due while tests run.
const Yearly = "0 0 29 2 *"

// WorkspaceRecurringJobBuilder builds a WorkspaceRecurringJob.
type WorkspaceRecurringJobBuilder struct {
	recurring v1alpha1.WorkspaceRecurringJob
}

// MakeWorkspaceRecurringJob returns a builder of a recurring job that runs the handler sql
// at a time that doesn't come while tests run.
func MakeWorkspaceRecurringJob(name string) *WorkspaceRecurringJobBuilder {
	return &WorkspaceRecurringJobBuilder{v1alpha1.WorkspaceRecurringJob{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.WorkspaceRecurringJobSpec{Schedule: Yearly, Template: v1alpha1.JobTemplate{Handler: "sql"}},
	}}
}

// Obj returns the recurring job.
func (b *WorkspaceRecurringJobBuilder) Obj() *v1alpha1.WorkspaceRecurringJob {
	return b.recurring.DeepCopy()
}

// With changes what no other method changes.
func (b *WorkspaceRecurringJobBuilder) With(change func(*v1alpha1.WorkspaceRecurringJob)) *WorkspaceRecurringJobBuilder {
	change(&b.recurring)
	return b
}

// In sets the namespace.
func (b *WorkspaceRecurringJobBuilder) In(namespace string) *WorkspaceRecurringJobBuilder {
	b.recurring.Namespace = namespace
	return b
}

// UID sets metadata.uid.
func (b *WorkspaceRecurringJobBuilder) UID(uid types.UID) *WorkspaceRecurringJobBuilder {
	b.recurring.UID = uid
	return b
}

// Generation sets metadata.generation.
func (b *WorkspaceRecurringJobBuilder) Generation(g int64) *WorkspaceRecurringJobBuilder {
	b.recurring.Generation = g
	return b
}

// Schedule sets when it is due, and in which time zone.
func (b *WorkspaceRecurringJobBuilder) Schedule(schedule, timeZone string) *WorkspaceRecurringJobBuilder {
	b.recurring.Spec.Schedule, b.recurring.Spec.TimeZone = schedule, timeZone
	return b
}

// Policy sets what happens when a run is due while an earlier one has not finished.
func (b *WorkspaceRecurringJobBuilder) Policy(policy v1alpha1.ConcurrencyPolicy) *WorkspaceRecurringJobBuilder {
	b.recurring.Spec.ConcurrencyPolicy = policy
	return b
}

// StartingDeadline sets how late a run may start.
func (b *WorkspaceRecurringJobBuilder) StartingDeadline(d time.Duration) *WorkspaceRecurringJobBuilder {
	b.recurring.Spec.StartingDeadline = &v1alpha1.Duration{Duration: d}
	return b
}

// Suspend keeps the schedule from starting runs.
func (b *WorkspaceRecurringJobBuilder) Suspend() *WorkspaceRecurringJobBuilder {
	b.recurring.Spec.Suspend = true
	return b
}

// Template sets what runs; see [WorkspaceJobBuilder.Template].
func (b *WorkspaceRecurringJobBuilder) Template(template v1alpha1.JobTemplate) *WorkspaceRecurringJobBuilder {
	b.recurring.Spec.Template = template
	return b
}
