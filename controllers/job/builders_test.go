package job

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// born is when every job of these tests was created.
var born = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return born.Add(time.Duration(seconds) * time.Second) }

func when(seconds int) *metav1.Time { return new(metav1.NewTime(at(seconds))) }

type jobMaker struct{ v1alpha1.WorkspaceJob }

// makeJob is a job that nothing has happened to: created at born, to run now.
func makeJob() *jobMaker {
	return &jobMaker{v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: "nightly", Namespace: "workspace-acme", UID: "uid-1", Generation: 1, CreationTimestamp: metav1.NewTime(born),
		},
		Spec:   v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "sql"}},
		Status: v1alpha1.WorkspaceJobStatus{ObservedGeneration: -1},
	}}
}

func (m *jobMaker) delay(d time.Duration) *jobMaker {
	m.Spec.Delay = &v1alpha1.Duration{Duration: d}
	return m
}
func (m *jobMaker) runAt(seconds int) *jobMaker     { m.Spec.RunAt = when(seconds); return m }
func (m *jobMaker) cancelled() *jobMaker            { m.Spec.Cancelled = true; return m }
func (m *jobMaker) requeueAt(seconds int) *jobMaker { m.Spec.RequeueAt = when(seconds); return m }

// requeueWithin the second, as a person's clock has it.
func (m *jobMaker) requeueWithin(second int) *jobMaker {
	m.Spec.RequeueAt = new(metav1.NewTime(at(second).Add(84 * time.Millisecond)))
	return m
}
func (m *jobMaker) args(raw string) *jobMaker {
	m.Spec.Args = &apiextensionsv1.JSON{Raw: []byte(raw)}
	return m
}
func (m *jobMaker) ttl(d time.Duration) *jobMaker {
	m.Spec.TTLAfterFinished = &v1alpha1.Duration{Duration: d}
	return m
}
func (m *jobMaker) retry(limit int32) *jobMaker {
	m.Spec.Retry = &v1alpha1.RetryPolicy{
		Limit: new(limit), MinDelay: &v1alpha1.Duration{Duration: 10 * time.Second},
		MaxDelay: &v1alpha1.Duration{Duration: time.Minute}, Factor: new(int32(3)),
	}
	return m
}

// started has attempt `number` of run `run` under way since `seconds`.
func (m *jobMaker) started(run, number int32, seconds int) *jobMaker {
	m.Status.Run = run
	m.Status.RunAttempts++
	m.Status.State = v1alpha1.StateEnqueued
	m.Status.EnqueuedAt = when(seconds)
	m.Status.Attempts = append(m.Status.Attempts, v1alpha1.Attempt{
		Number: number, Run: run, Job: "nightly-" + strconv.Itoa(int(number)), JobUID: "job-uid", CreatedAt: *when(seconds),
	})
	return m
}

// failed ends the attempt under way.
func (m *jobMaker) failed(seconds int) *jobMaker {
	last := &m.Status.Attempts[len(m.Status.Attempts)-1]
	end(last, v1alpha1.OutcomeFailed, "boom", at(seconds))
	last.ExitCode = new(int32(1))
	return m
}

func (m *jobMaker) outcome(outcome v1alpha1.AttemptOutcome, text string) *jobMaker {
	last := &m.Status.Attempts[len(m.Status.Attempts)-1]
	last.Outcome, last.Error = outcome, text
	return m
}

func (m *jobMaker) finished(state v1alpha1.JobState, seconds int) *jobMaker {
	m.Status.State = state
	m.Status.Run = max(m.Status.Run, 1)
	m.Status.FinishedAt = when(seconds)
	return m
}

func (m *jobMaker) nextAt(seconds int) *jobMaker { m.Status.NextAttemptAt = when(seconds); return m }
func (m *jobMaker) obj() *v1alpha1.WorkspaceJob  { return m.DeepCopy() }

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

// decided is the last decision where the queue has a slot for everybody and the API
// server takes every Job. Its start is the attempt that was started on the way.
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
