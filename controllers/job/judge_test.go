package job

import (
	"slices"
	"strconv"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/continuation"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/world"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// This file checks what must never happen in the simulation.

// created checks an attempt's Job that has just been created.
func (s *simulation) created(object client.Object) {
	job, ok := object.(*batchv1.Job)
	if !ok {
		return
	}
	if !slices.ContainsFunc(job.Spec.Template.Spec.Containers[0].Env, func(env corev1.EnvVar) bool { return env.Value == largeArgs }) {
		s.Errorf("%s does not have its arguments", job.Name)
	}
	name, attemptKey := job.Labels[v1alpha1.LabelJob], job.Annotations[v1alpha1.AnnotationConcurrencyKey]
	if id := job.Annotations[v1alpha1.AnnotationJobUID] + "/" + job.Name; s.attempts[id] {
		s.Errorf("%s runs a second time", job.Name)
	} else {
		s.attempts[id] = true
	}
	others := s.processing(job)
	if other, ok := others[name]; ok {
		s.Errorf("%s starts, but %s has not stopped", job.Name, other)
	}
	others[name] = job.Name
	// The limit that the operator knows; it may not know of a lower one yet.
	if limit := world.AllCached[*v1alpha1.Workspace](s.w)[0].Limit(); len(others) > int(limit) {
		s.Errorf("%s starts as number %d, but the limit is %d", job.Name, len(others), limit)
	}
	for _, other := range world.All[*batchv1.Job](s.w) {
		if attemptKey != "" && other.UID != job.UID && others[other.Labels[v1alpha1.LabelJob]] == other.Name && other.Annotations[v1alpha1.AnnotationConcurrencyKey] == attemptKey {
			s.Errorf("%s starts, but %s with the same key %q is processing", job.Name, other.Name, attemptKey)
		}
	}
	s.judgeSeries(job)
	s.judgeParents(job)
	s.judgeRun(job)
}

// judgeRun checks that no attempt follows one that succeeded or failed for good, and that a
// run has no more attempts than its limit allows.
func (s *simulation) judgeRun(job *batchv1.Job) {
	for _, pod := range world.All[*corev1.Pod](s.w) {
		if runID(pod) != runID(job) || !podEnded(pod) {
			continue
		}
		switch code := pod.Status.ContainerStatuses[0].State.Terminated.ExitCode; code {
		case 0, contract.ExitUsage, contract.ExitPermanent:
			s.Errorf("%s starts, but %s has ended with %d", job.Name, pod.Name, code)
		}
	}
	if s.runs[runID(job)]++; s.runs[runID(job)] > 1+2 {
		s.Errorf("%s is attempt %d of its run, which may be retried twice", job.Name, s.runs[runID(job)])
	}
}

// runID identifies the run that a Job or a pod belongs to.
func runID(object client.Object) string {
	return object.GetAnnotations()[v1alpha1.AnnotationJobUID] + "/" + object.GetAnnotations()[v1alpha1.AnnotationRun]
}

// judgeParents checks that each parent of a continuation that starts has ended as it should.
func (s *simulation) judgeParents(job *batchv1.Job) {
	own, ok := world.Get[*v1alpha1.WorkspaceJob](s.w, key(job.Labels[v1alpha1.LabelJob]))
	if !ok || runOf(job, 0) > 1 {
		return
	}
	for _, p := range own.Spec.After {
		ended := slices.ContainsFunc(world.History[*v1alpha1.WorkspaceJob](s.w, key(p.Name)), func(state *v1alpha1.WorkspaceJob) bool {
			return state.Status.State.Final() && (p.When == v1alpha1.AfterFinished || string(wanted(p.When)) == string(state.Status.State))
		})
		if !ended {
			s.Errorf("%s starts, but %s has never been %s", job.Name, p.Name, wanted(p.When))
		}
	}
}

// processing returns the names of the Jobs that have not finished, or whose pods have not, by
// WorkspaceJob.
func (s *simulation) processing(but *batchv1.Job) map[string]string {
	names := map[string]string{}
	for _, job := range world.All[*batchv1.Job](s.w) {
		if job.UID != but.UID && runnerjob.Over(job) == nil {
			names[job.Labels[v1alpha1.LabelJob]] = job.Name
		}
	}
	for _, pod := range world.All[*corev1.Pod](s.w) {
		if !podEnded(pod) {
			names[pod.Labels[v1alpha1.LabelJob]] = pod.Labels[batchv1.JobNameLabel]
		}
	}
	return names
}

// judgeSeries checks that no two runs of a series are unfinished if its policy forbids it.
func (s *simulation) judgeSeries(job *batchv1.Job) {
	own, ok := world.Get[*v1alpha1.WorkspaceJob](s.w, client.ObjectKey{Namespace: job.Namespace, Name: job.Labels[v1alpha1.LabelJob]})
	if !ok || own.Series() == "" || own.Series() == "series-"+string(v1alpha1.PolicyAllow) || own.Status.RunAttempts > 0 {
		return
	}
	for _, other := range world.All[*v1alpha1.WorkspaceJob](s.w) {
		if other.Name == own.Name || other.Series() != own.Series() || other.Status.State.Final() {
			continue
		}
		_, started := world.Get[*batchv1.Job](s.w, client.ObjectKey{Namespace: job.Namespace, Name: other.AttemptName(other.Status.NextNumber())})
		if started || other.Status.RunAttempts > 0 {
			s.Errorf("%s starts, but the run %s of %s is unfinished", job.Name, other.Name, own.Series())
		}
	}
}

// judge checks the world that is left in the end.
func (s *simulation) judge() {
	for _, job := range world.All[*v1alpha1.WorkspaceJob](s.w) {
		switch reason := s.whyItWaits(job); {
		case job.Status.State.Final():
			s.judgeEnd(job)
		case reason != "" && reason != report.Reason(job.Status.Conditions):
			s.Errorf("%s waits for the reason %s, but its status says %s: %s", job.Name, reason, report.Reason(job.Status.Conditions), job.Status.Message)
		case reason == "" && !s.stubborn[job.Name] && !s.behindStubborn(job):
			s.Errorf("%s is forgotten: %s, %s", job.Name, job.Status.State, job.Status.Message)
		}
	}
	for _, pod := range world.All[*corev1.Pod](s.w) {
		if !podEnded(pod) {
			s.Errorf("pod %s is left running", pod.Name)
		}
	}
}

// judgeEnd checks that a finished job has succeeded if and only if one of its attempts has,
// with the result that the attempt's pod has left.
func (s *simulation) judgeEnd(job *v1alpha1.WorkspaceJob) {
	succeeded := false
	for _, child := range world.All[*batchv1.Job](s.w) {
		end := runnerjob.Finished(child)
		if !belongs(child, job) || runOf(child, 0) != job.Status.Run || end == nil || end.Type != batchv1.JobComplete {
			continue
		}
		succeeded = true
		pod, exists := world.Get[*corev1.Pod](s.w, key(child.Name+"-pod"))
		if result := job.Status.Result; exists && (result == nil || string(result.Raw) != strconv.Quote(pod.Name)) {
			s.Errorf("%s has the result %v, and not that of %s", job.Name, result, pod.Name)
		}
	}
	if template := job.Status.Template; template != nil && string(template.Args.Raw) != largeArgs {
		s.Errorf("the template of %s has the args %s", job.Name, template.Args.Raw)
	}
	for _, attempt := range job.Status.Attempts {
		if attempt.Outcome == "" || job.Status.Message == "" {
			s.Errorf("%s has lost what its status said: %+v", job.Name, job.Status)
		}
	}
	if job.Status.Result != nil && !succeeded {
		s.Errorf("%s is %s, and has a result: %s", job.Name, job.Status.State, job.Status.Result.Raw)
	}
	made := s.runs[string(job.UID)+"/"+strconv.Itoa(int(job.Status.Run))]
	if report.Reason(job.Status.Conditions) == v1alpha1.ReasonRetriesExhausted && made != 1+2 {
		s.Errorf("%s gave up after %d attempts of its run, which may be retried twice", job.Name, made)
	}
	if succeeded != (job.Status.State == v1alpha1.StateSucceeded) {
		s.Errorf("%s is %s, but an attempt has succeeded: %t", job.Name, job.Status.State, succeeded)
	}
}

// judgeFinal checks that nothing of a finished job can still have an effect.
func (s *simulation) judgeFinal(name string) {
	job, exists := world.Get[*v1alpha1.WorkspaceJob](s.w, key(name))
	if !exists || !job.Status.State.Final() {
		return
	}
	for _, child := range world.All[*batchv1.Job](s.w) {
		// The attempt of a requeued run may not be in the status yet.
		if belongs(child, job) && runOf(child, 0) <= job.Status.Run && runnerjob.Over(child) == nil {
			s.Errorf("%s is %s, but %s has not stopped", name, job.Status.State, child.Name)
		}
	}
}

// behindStubborn reports whether its series waits for a run that can never start.
func (s *simulation) behindStubborn(job *v1alpha1.WorkspaceJob) bool {
	for _, other := range world.All[*v1alpha1.WorkspaceJob](s.w) {
		if job.Series() != "" && other.Series() == job.Series() && s.stubborn[other.Name] && !other.Status.State.Final() {
			return true
		}
	}
	return false
}

// whyItWaits returns the reason that a continuation can't run yet, or "".
func (s *simulation) whyItWaits(job *v1alpha1.WorkspaceJob) string {
	reason := ""
	for _, name := range awaited(job) {
		parent, exists := world.Get[*v1alpha1.WorkspaceJob](s.w, key(name))
		switch {
		case exists && !parent.Status.State.Final() && s.reaches(name, job.Name, map[string]bool{}):
			return v1alpha1.ReasonParentCycle
		case !exists:
			reason = v1alpha1.ReasonParentMissing
		case !parent.Status.State.Final() && reason == "":
			reason = v1alpha1.ReasonAwaitingParents
		}
	}
	return reason
}

// awaited returns the parents whose end an unfinished job waits for.
func awaited(job *v1alpha1.WorkspaceJob) []string {
	var names []string
	for _, p := range job.Spec.After {
		if continuation.Waits(&job.Status) && !continuation.SawEnd(&job.Status, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// reaches reports whether one job waits for the other, directly or not.
func (s *simulation) reaches(from, to string, passed map[string]bool) bool {
	job, exists := world.Get[*v1alpha1.WorkspaceJob](s.w, key(from))
	if !exists || passed[from] {
		return false
	}
	passed[from] = true
	return slices.ContainsFunc(awaited(job), func(name string) bool { return name == to || s.reaches(name, to, passed) })
}

// wantAwake checks that no change has failed to wake a job that it concerns: if each is
// reconciled once more, none shows anything new.
func (s *simulation) wantAwake(shown func(*v1alpha1.WorkspaceJobStatus) any) {
	for _, job := range world.All[*v1alpha1.WorkspaceJob](s.w) {
		if s.later[job.Name] || s.stubborn[job.Name] {
			continue // It comes again by itself.
		}
		if _, err := s.r.Reconcile(s.Context(), ctrl.Request{NamespacedName: key(job.Name)}); err != nil {
			s.Errorf("reconcile %s: %v", job.Name, err)
		}
		now, _ := world.Get[*v1alpha1.WorkspaceJob](s.w, key(job.Name))
		if diff := cmp.Diff(shown(&job.Status), shown(&now.Status)); diff != "" {
			s.Errorf("nothing woke %s (-was +is):\n%s", job.Name, diff)
		}
	}
}

func everything(status *v1alpha1.WorkspaceJobStatus) any { return status }

// progress is what must be up to date at any time. Why a job waits in its queue need not be:
// it asks again by itself.
func progress(status *v1alpha1.WorkspaceJobStatus) any {
	reason := report.Reason(status.Conditions)
	switch reason {
	case v1alpha1.ReasonQueued, v1alpha1.ReasonConcurrencyKeyBusy, v1alpha1.ReasonEarlierRunActive:
		reason = "waits in its queue"
	}
	return []any{status.State, reason, len(status.Attempts)}
}
