package workspace

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// observe reads all that decide needs. What the workspace doesn't hold it doesn't
// look into.
func (r *Reconciler) observe(ctx context.Context, ws *v1alpha1.Workspace) (observed, error) {
	var seen observed
	ns, err := r.find(ctx, client.ObjectKey{Name: ws.NamespaceName()}, &corev1.Namespace{})
	if err != nil || ns == nil {
		return seen, err
	}
	namespace, ok := ns.(*corev1.Namespace)
	if !ok {
		return seen, fmt.Errorf("a %T where a Namespace was expected", ns)
	}
	seen.namespace = namespace
	if whose, _ := judgeNamespace(ws, seen.namespace); !whose.held() {
		return seen, nil
	}
	if seen.live, err = r.observeChildren(ctx, ws); err != nil {
		return seen, err
	}
	if seen.jobs, err = r.migrations(ctx, ws); err != nil {
		return seen, err
	}
	seen.ledger, err = r.observeLedger(ctx, ws, seen.jobs)
	return seen, err
}

// find reads from the cache, and live what the cache has not: it holds only what
// carries the operator's labels, and others have objects too. Nil: there is none.
func (r *Reconciler) find(ctx context.Context, key client.ObjectKey, blank client.Object) (client.Object, error) {
	err := r.Client.Get(ctx, key, blank)
	if apierrors.IsNotFound(err) {
		err = r.APIReader.Get(ctx, key, blank)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %T %q: %w", blank, key.Name, err)
	}
	return blank, nil
}

func (r *Reconciler) observeChildren(ctx context.Context, ws *v1alpha1.Workspace) (map[string]client.Object, error) {
	live := map[string]client.Object{}
	for _, c := range children(ws) {
		key := client.ObjectKey{Namespace: ws.NamespaceName(), Name: c.name}
		if !c.wanted {
			// If it is ours, and so to be removed, the cache has it.
			err := r.Client.Get(ctx, key, c.blank)
			if client.IgnoreNotFound(err) != nil {
				return nil, fmt.Errorf("read %s %q: %w", c.kind, c.name, err)
			}
			if err == nil {
				live[c.key()] = c.blank
			}
			continue
		}
		object, err := r.find(ctx, key, c.blank)
		if err != nil {
			return nil, err
		}
		if object != nil {
			live[c.key()] = object
		}
	}
	return live, nil
}

// migrations are the migration Jobs that ws controls.
func (r *Reconciler) migrations(ctx context.Context, ws *v1alpha1.Workspace) ([]batchv1.Job, error) {
	var list batchv1.JobList
	if err := r.Client.List(ctx, &list, client.InNamespace(ws.NamespaceName()), ofLedgerMigration()); err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	var jobs []batchv1.Job
	for _, job := range list.Items {
		if controls(ws, &job) {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

func ofLedgerMigration() client.MatchingLabels {
	return client.MatchingLabels{labelComponent: ledgerMigration, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
}

func (r *Reconciler) observeLedger(ctx context.Context, ws *v1alpha1.Workspace, jobs []batchv1.Job) (migration, error) {
	m := migration{job: currentMigration(ws, jobs)}
	if m.job == nil {
		return m, nil
	}
	pods, err := r.podsOf(ctx, r.Client, m.job)
	if err != nil {
		return m, err
	}
	if runnerjob.Finished(m.job) != nil && !runnerjob.EndSeen(pods) {
		// The cache of pods may lag behind that of Jobs.
		if pods, err = r.podsOf(ctx, r.APIReader, m.job); err != nil {
			return m, err
		}
	}
	m.run = runnerjob.Observe(m.job, pods)
	if m.run.End == nil && m.run.StartedAt == nil && m.run.Waiting == "" {
		m.trouble, err = r.troubleOf(ctx, m.job, pods)
	}
	return m, err
}

func (r *Reconciler) podsOf(ctx context.Context, reader client.Reader, job *batchv1.Job) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := reader.List(ctx, &list, client.InNamespace(job.Namespace), ofLedgerMigration()); err != nil {
		return nil, fmt.Errorf("list the migration's pods: %w", err)
	}
	return podsOf(job, list.Items), nil
}

// troubleOf asks for events once the pod has had its time to start.
func (r *Reconciler) troubleOf(ctx context.Context, job *batchv1.Job, pods []corev1.Pod) (string, error) {
	if r.Clock.Since(job.CreationTimestamp.Time) < pendingLook {
		return "", nil
	}
	objects := []client.Object{job}
	for i := range pods {
		objects = append(objects, &pods[i])
	}
	return runnerjob.Trouble(ctx, r.APIReader, objects...)
}
