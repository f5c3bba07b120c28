package job

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/world"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// This file simulates everybody but the operator: users, the Job controller and the kubelet.

func metaOf(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "workspace-acme", Name: name}
}

// disturb changes something in the world, or nothing.
func (s *simulation) disturb(number int) {
	jobs := world.All[*v1alpha1.WorkspaceJob](s.w)
	random := s.w.Rand
	some := func(percent int) bool { return random.IntN(100) < percent }
	// One of the newest: what happens to a job that has just been started is the hard part.
	pick := func() *v1alpha1.WorkspaceJob { return jobs[len(jobs)-1-random.IntN(min(len(jobs), 6))] }
	switch action := random.IntN(11); {
	case action < 3:
		s.submit(number)
	case action < 6:
		s.play()
	case action == 6:
		s.w.Collect()
	case action == 7 && len(jobs) > 0 && some(40):
		s.w.Remove(pick())
	case action == 7 && len(jobs) > 0:
		s.w.Change(pick(), func(object client.Object) {
			if job, ok := object.(*v1alpha1.WorkspaceJob); ok {
				job.Spec.Cancelled = true
			}
		})
	case action == 8 && some(15):
		s.limit(int32(1 + random.IntN(4)))
	case action == 9:
		s.w.Sleep(time.Duration(random.IntN(3)) * time.Second)
		for name := range s.later {
			s.work[name] = true
		}
		clear(s.later)
	case action == 10 && len(jobs) > 0:
		s.requeue(jobs[random.IntN(len(jobs))])
	}
}

// requeue requeues a job that finished some time ago.
func (s *simulation) requeue(job *v1alpha1.WorkspaceJob) {
	now := metav1.NewTime(s.w.Clock.Now())
	if !job.Status.State.Final() || !job.Status.FinishedAt.Before(&now) {
		return
	}
	s.w.Change(job, func(object client.Object) {
		if job, ok := object.(*v1alpha1.WorkspaceJob); ok {
			job.Spec.RequeueAt = &now
		}
	})
}

func nameOf(number int) string { return fmt.Sprintf("job-%03d", number) }

// submit creates a WorkspaceJob that is due now, or once other jobs have ended. It may have
// the name of one that was deleted.
func (s *simulation) submit(number int) {
	name := nameOf(number)
	if earlier := nameOf(s.w.Rand.IntN(number + 1)); s.w.Rand.IntN(5) == 0 && s.removed(earlier) {
		name = earlier
	}
	job := &v1alpha1.WorkspaceJob{ObjectMeta: metaOf(name), Status: v1alpha1.WorkspaceJobStatus{ObservedGeneration: -1}}
	job.Spec.JobTemplate = template()
	job.Spec.JobTemplate.Priority = new(int32(s.w.Rand.IntN(3)))
	switch s.w.Rand.IntN(6) {
	case 0:
		job.Spec.ConcurrencyKey = fmt.Sprintf("key-%d", s.w.Rand.IntN(2))
	case 1:
		job.Spec.JobTemplate = v1alpha1.JobTemplate{}
		job.Spec.RecurringJobRef = &v1alpha1.RecurringJobRef{Name: "series-" + string(policies[s.w.Rand.IntN(len(policies))])}
	case 2, 3:
		for range 1 + s.w.Rand.IntN(2) {
			s.continueAfter(job, nameOf(max(0, number-4+s.w.Rand.IntN(7))))
		}
	}
	s.stubborn[name] = s.w.Rand.IntN(15) == 0
	world.Add(s.w, job)
}

// removed reports whether a job of this name was removed.
func (s *simulation) removed(name string) bool {
	_, exists := world.Get[*v1alpha1.WorkspaceJob](s.w, key(name))
	return !exists && len(world.History[*v1alpha1.WorkspaceJob](s.w, key(name))) > 0
}

// continueAfter lets a job wait for another one, which may not exist yet, and may wait for
// this one.
func (s *simulation) continueAfter(job *v1alpha1.WorkspaceJob, parent string) {
	known := slices.ContainsFunc(job.Spec.After, func(p v1alpha1.Parent) bool { return p.Name == parent })
	if parent == job.Name || known {
		return
	}
	outcomes := []v1alpha1.ParentOutcome{"", v1alpha1.AfterFinished, v1alpha1.AfterFailed, v1alpha1.AfterDeleted}
	job.Spec.After = append(job.Spec.After, v1alpha1.Parent{Name: parent, When: outcomes[s.w.Rand.IntN(len(outcomes))]})
}

// limit changes how many jobs the workspace processes at once.
func (s *simulation) limit(n int32) {
	s.changeWorkspace(func(spec *v1alpha1.WorkspaceSpec) { spec.Concurrency = &n })
}

// changeWorkspace changes the Workspace, and wakes its jobs.
func (s *simulation) changeWorkspace(change func(*v1alpha1.WorkspaceSpec)) {
	s.w.Change(world.All[*v1alpha1.Workspace](s.w)[0], func(object client.Object) {
		if ws, ok := object.(*v1alpha1.Workspace); ok {
			before := ws.Spec.DeepCopy()
			change(&ws.Spec)
			if !equality.Semantic.DeepEqual(before, &ws.Spec) {
				// The Workspace's controller is quick.
				ws.Status.Conditions[0].ObservedGeneration = ws.Generation + 1
			}
		}
	})
	for _, change := range s.w.HearAll("Workspace") {
		s.wake(s.r.jobsOfWorkspace(s.Context(), change.New))
	}
}

// play plays one step of the Job controller and the kubelet, and reports whether there was
// one to play.
func (s *simulation) play() bool {
	var possible []func()
	jobs := world.All[*batchv1.Job](s.w)
	pods := world.All[*corev1.Pod](s.w)
	for _, job := range jobs {
		at := slices.IndexFunc(pods, func(pod *corev1.Pod) bool { return metav1.IsControlledBy(pod, job) })
		switch {
		case runnerjob.Over(job) != nil:
		case at < 0 && runnerjob.Suspended(job):
			possible = append(possible, func() { s.condition(job, batchv1.JobSuspended) })
		case at < 0:
			possible = append(possible, func() { s.pod(job) })
		case pods[at].Status.Phase == corev1.PodSucceeded:
			possible = append(possible, func() { s.condition(job, batchv1.JobComplete) })
		case podEnded(pods[at]):
			possible = append(possible, func() { s.condition(job, batchv1.JobFailed) })
		}
	}
	for _, pod := range pods {
		switch {
		case podEnded(pod) && pod.DeletionTimestamp != nil && !s.unfinished(jobs, pod):
			possible = append(possible, func() { s.w.Remove(pod) })
		case podEnded(pod):
		case pod.Status.Phase == corev1.PodPending && pod.DeletionTimestamp == nil:
			possible = append(possible, func() { s.phase(pod, corev1.PodRunning) })
		default:
			possible = append(possible, func() { s.end(pod) })
		}
	}
	if len(possible) == 0 {
		return false
	}
	possible[s.w.Rand.IntN(len(possible))]()
	return true
}

// unfinished reports whether the pod's Job has not counted its end.
func (s *simulation) unfinished(jobs []*batchv1.Job, pod *corev1.Pod) bool {
	return slices.ContainsFunc(jobs, func(job *batchv1.Job) bool { return metav1.IsControlledBy(pod, job) && runnerjob.Over(job) == nil })
}

func podEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (s *simulation) condition(job *batchv1.Job, kind batchv1.JobConditionType) {
	s.w.Change(job, func(object client.Object) {
		if job, ok := object.(*batchv1.Job); ok {
			job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
				Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(s.w.Clock.Now()),
			})
		}
	})
}

func (s *simulation) pod(job *batchv1.Job) {
	meta := *job.Spec.Template.ObjectMeta.DeepCopy()
	meta.Namespace, meta.Name = job.Namespace, job.Name+"-pod"
	meta.Labels[batchv1.JobNameLabel], meta.Labels[batchv1.ControllerUidLabel] = job.Name, string(job.UID)
	meta.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	world.Add(s.w, &corev1.Pod{ObjectMeta: meta, Status: corev1.PodStatus{Phase: corev1.PodPending}})
}

// exitCodes are the codes with which a runner fails.
var exitCodes = []int32{1, 1, 1, 137, contract.ExitInterrupted, contract.ExitUsage, contract.ExitPermanent}

func (s *simulation) phase(pod *corev1.Pod, phase corev1.PodPhase) {
	s.w.Change(pod, func(object client.Object) {
		if pod, ok := object.(*corev1.Pod); ok {
			now := metav1.NewTime(s.w.Clock.Now())
			pod.Status.Phase = phase
			state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
			if phase != corev1.PodRunning {
				state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: now, FinishedAt: now}}
			}
			switch phase {
			case corev1.PodFailed:
				state.Terminated.ExitCode = exitCodes[s.w.Rand.IntN(len(exitCodes))]
			case corev1.PodSucceeded:
				state.Terminated.Message = fmt.Sprintf(`{"result":%q}`, pod.Name)
			}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.RunnerContainer, State: state}}
		}
	})
}

// end ends a pod. One in three fails.
func (s *simulation) end(pod *corev1.Pod) {
	if s.w.Rand.IntN(3) == 0 {
		s.phase(pod, corev1.PodFailed)
		return
	}
	s.phase(pod, corev1.PodSucceeded)
}
