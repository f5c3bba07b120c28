package job

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// born is when every job of these tests was created.
var born = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return born.Add(time.Duration(seconds) * time.Second) }

func when(seconds int) *metav1.Time { return new(metav1.NewTime(at(seconds))) }

// makeJob builds a new job, created at born and due at once.
func makeJob() *objects.WorkspaceJobBuilder {
	return objects.MakeWorkspaceJob("nightly").In("workspace-acme").UID("uid-1").Generation(1).Created(born).
		With(func(job *v1alpha1.WorkspaceJob) { job.Status.ObservedGeneration = -1 })
}

// scheduled makes a job a run of a schedule, due some seconds after born.
func scheduled(seconds int) func(*v1alpha1.WorkspaceJob) {
	return func(job *v1alpha1.WorkspaceJob) {
		job.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "WorkspaceRecurringJob", Name: "daily", UID: "uid-daily", Controller: new(true),
		}}
		job.Annotations = map[string]string{v1alpha1.AnnotationScheduledAt: stamp(at(seconds))}
	}
}

// enqueued puts a job into its queue.
func enqueued(seconds int) func(*v1alpha1.WorkspaceJob) {
	return func(job *v1alpha1.WorkspaceJob) {
		job.Status.Run, job.Status.EnqueuedAt, job.Status.State = 1, when(seconds), v1alpha1.StateEnqueued
	}
}

// requeued begins a new run of a job.
func requeued(seconds int) func(*v1alpha1.WorkspaceJob) {
	return func(job *v1alpha1.WorkspaceJob) {
		job.Status.Run, job.Status.RunAttempts, job.Status.EnqueuedAt = job.Status.Run+1, 0, when(seconds)
	}
}

func readyWorkspace() *v1alpha1.Workspace {
	return &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: "acme", Generation: 3},
		Status: v1alpha1.WorkspaceStatus{Namespace: "workspace-acme", Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: 3},
		}},
	}
}

func makeChild(number, run int32) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: "nightly-" + strconv.Itoa(int(number)), UID: "job-uid", CreationTimestamp: *when(0),
		Annotations: map[string]string{v1alpha1.AnnotationRun: strconv.Itoa(int(run))},
	}}
}

func suspendedChild(number int32) *batchv1.Job {
	child := makeChild(number, 1)
	child.Spec.Suspend = new(true)
	child.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue}}
	return child
}

func succeeded(seconds int, result string) runnerjob.Observation {
	return runnerjob.Observation{StartedAt: when(1), End: &runnerjob.End{
		At: *when(seconds), Succeeded: true, ExitCode: new(int32(0)), Message: contract.Message{Result: []byte(result)},
	}}
}

func exited(code int32, seconds int, message contract.Message) runnerjob.Observation {
	return runnerjob.Observation{StartedAt: when(1), End: &runnerjob.End{
		At: *when(seconds), ExitCode: new(code), Message: message, Error: message.Error,
	}}
}

// decided returns the last decision if the queue has a slot for every job and the API
// server accepts every Job. Its start is the attempt that was started on the way.
func decided(o observed) decision {
	d := decide(o)
	if d.queue == waiting && o.slot == nil {
		o.queue, o.slot = waiting, &admission.Answer{Admitted: true}
		d = decide(o)
	}
	if start := d.start; start != nil {
		o.made = makeChild(start.Number, start.Run)
		d = decide(o)
		d.start = start
	}
	return d
}
