package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// parallel is how many objects are created at once.
const parallel = 32

// each calls do for 0 to n-1, several at the same time.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range n {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return do(ctx, i)
		})
	}
	return group.Wait()
}

// create retries a conflict: the API server counts other objects against the same quota at
// the same time.
func (l *lab) create(ctx context.Context, object client.Object) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error { return l.client.Create(ctx, object) })
}

// workspaceNamed returns a Workspace with room for everything at once: the operator is
// measured, not a quota.
func workspaceNamed(name string) *v1alpha1.Workspace {
	return &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			// The ledger's migration completes on the played node like any Job, so the
			// workspace becomes ready; there is no database.
			Database:    v1alpha1.Database{SecretRef: v1alpha1.SecretKeyRef{Name: "none"}, Egress: []v1alpha1.EgressRule{{}}},
			Runner:      v1alpha1.Runner{Image: "localhost/none"},
			Concurrency: new(int32(1000)),
			Quota: corev1.ResourceList{
				corev1.ResourceRequestsCPU:              resource.MustParse("1k"),
				corev1.ResourceRequestsMemory:           resource.MustParse("100Ti"),
				corev1.ResourceLimitsMemory:             resource.MustParse("100Ti"),
				corev1.ResourceRequestsEphemeralStorage: resource.MustParse("100Ti"),
				corev1.ResourceLimitsEphemeralStorage:   resource.MustParse("100Ti"),
				corev1.ResourcePods:                     resource.MustParse("100k"),
				"count/pods":                            resource.MustParse("100k"),
				"count/jobs.batch":                      resource.MustParse("100k"),
				"count/workspacejobs." + v1alpha1.Group: resource.MustParse("100k"),
			},
		},
	}
}

// makeWorkspaces returns the namespaces of n ready workspaces.
func (l *lab) makeWorkspaces(ctx context.Context, n int, limit time.Duration) ([]string, error) {
	say("making %d workspaces", n)
	namespaces := make([]string, n)
	err := each(ctx, n, func(ctx context.Context, i int) error {
		ws := workspaceNamed(fmt.Sprintf("bench-%d", i))
		namespaces[i] = ws.NamespaceName()
		return l.client.Create(ctx, ws)
	})
	if err != nil {
		return nil, err
	}
	var list v1alpha1.WorkspaceList
	ready, why := 0, ""
	err = until(ctx, limit, "the workspaces are ready", func(ctx context.Context) (bool, error) {
		if err := l.operator.Alive(); err != nil {
			return false, err
		}
		if err := l.client.List(ctx, &list); err != nil {
			return false, err
		}
		ready = 0
		for i := range list.Items {
			if meta.IsStatusConditionTrue(list.Items[i].Status.Conditions, v1alpha1.ConditionReady) {
				ready++
			} else if c := meta.FindStatusCondition(list.Items[i].Status.Conditions, v1alpha1.ConditionReady); c != nil {
				why = c.Message
			}
		}
		return ready == n, nil
	})
	if err != nil {
		err = fmt.Errorf("%w (%d of %d are: %s)", err, ready, n, why)
	}
	return namespaces, err
}

// plainNamespace makes a namespace without quota and policies, in which the runner's pods
// can run.
func (l *lab) plainNamespace(ctx context.Context, name string) error {
	if err := l.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return err
	}
	return l.client.Create(ctx, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: v1alpha1.RunnerServiceAccount},
	})
}

// workspaceJob returns a job for a handler that never runs.
func workspaceJob(namespace, name string) *v1alpha1.WorkspaceJob {
	return &v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "none"}},
	}
}

// attemptSpec returns the spec of the Job that the operator makes for a WorkspaceJob. Raw
// Jobs get the same, so that only the operator differs.
func (l *lab) attemptSpec(ctx context.Context, namespace string) (batchv1.JobSpec, error) {
	const name = "model"
	if err := l.create(ctx, workspaceJob(namespace, name)); err != nil {
		return batchv1.JobSpec{}, err
	}
	job := &v1alpha1.WorkspaceJob{}
	key := client.ObjectKey{Namespace: namespace, Name: name}
	err := until(ctx, jobTakes, "the first WorkspaceJob ends", func(ctx context.Context) (bool, error) {
		err := l.client.Get(ctx, key, job)
		return job.Status.State.Final(), err
	})
	if err == nil && job.Status.State != v1alpha1.StateSucceeded {
		err = fmt.Errorf("WorkspaceJob %s is %s: %s", name, job.Status.State, job.Status.Message)
	}
	if err != nil {
		return batchv1.JobSpec{}, err
	}
	attempt := &batchv1.Job{}
	if err := l.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: job.Status.Attempts[0].Job}, attempt); err != nil {
		return batchv1.JobSpec{}, err
	}
	spec := attempt.Spec
	spec.Selector, spec.ManualSelector = nil, nil
	spec.Template.Labels = nil
	return spec, l.clear(ctx, namespace)
}

func rawJob(namespace, name string, spec batchv1.JobSpec) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: *spec.DeepCopy()}
}

// notMigration leaves out the ledger's migration: the operator would make it again.
const notMigration = "app.kubernetes.io/component!=ledger-migration"

// clear deletes all jobs of a namespace, and returns when their pods are gone too, so that
// the next measurement begins as this one did.
func (l *lab) clear(ctx context.Context, namespace string) error {
	background := client.PropagationPolicy(metav1.DeletePropagationBackground)
	if err := l.client.DeleteAllOf(ctx, &v1alpha1.WorkspaceJob{}, client.InNamespace(namespace), background); err != nil {
		return err
	}
	measured, err := labels.Parse(notMigration)
	if err != nil {
		return err
	}
	err = l.client.DeleteAllOf(ctx, &batchv1.Job{}, client.InNamespace(namespace), background, client.MatchingLabelsSelector{Selector: measured})
	if err != nil {
		return err
	}
	return until(ctx, 5*time.Minute, "what was measured is deleted", func(ctx context.Context) (bool, error) {
		left, err := l.clientset.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{Limit: 1, LabelSelector: notMigration})
		if err != nil || len(left.Items) > 0 {
			return false, err
		}
		jobs, err := l.clientset.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{Limit: 1, LabelSelector: notMigration})
		if err != nil && !apierrors.IsNotFound(err) {
			return false, err
		}
		return len(jobs.Items) == 0, nil
	})
}
