package workspace

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// observe reads all that decide needs. An error is noted in o.failed, for decide to report.
func (r *Reconciler) observe(ctx context.Context, ws *v1alpha1.Workspace) observed {
	o := observed{
		now: r.Clock.Now(), workspace: ws, fence: r.Fence,
		live: map[string]client.Object{}, applied: map[string]bool{}, refused: map[string]report.Refusal{},
	}
	if o.namespace, o.failed = read(ctx, r, client.ObjectKey{Name: ws.NamespaceName()}, &corev1.Namespace{}); o.failed == nil {
		o.failed = r.observeInside(ctx, &o)
	}
	return o
}

// observeInside reads what is in the namespace, unless the workspace does not hold it.
func (r *Reconciler) observeInside(ctx context.Context, o *observed) error {
	if whose, _ := judgeNamespace(o.workspace, o.namespace); !whose.held() {
		return nil
	}
	for _, c := range children(o.workspace, o.fence.Namespace) {
		if err := r.observeChild(ctx, o, c); err != nil {
			return err
		}
	}
	var jobs batchv1.JobList
	if err := r.Client.List(ctx, &jobs, client.InNamespace(o.namespace.Name), migrationLabels()); err != nil {
		return fmt.Errorf("list the migrations: %w", err)
	}
	for i := range jobs.Items {
		if controls(o.workspace, &jobs.Items[i]) {
			o.jobs = append(o.jobs, jobs.Items[i])
		}
	}
	return r.observeLedger(ctx, o)
}

func (r *Reconciler) observeChild(ctx context.Context, o *observed, c child) error {
	key := client.ObjectKey{Namespace: o.namespace.Name, Name: c.name}
	if !c.wanted {
		// If it is the workspace's, the cache has it. Another owner's does not matter.
		err := r.Client.Get(ctx, key, c.blank)
		if err == nil {
			o.live[c.key()] = c.blank
		}
		return client.IgnoreNotFound(err)
	}
	object, err := read(ctx, r, key, c.blank)
	if err == nil && object != nil {
		o.live[c.key()] = object
	}
	return err
}

// observeLedger observes the Job that shows the state of the ledger.
func (r *Reconciler) observeLedger(ctx context.Context, o *observed) error {
	o.ledger = migration{job: currentMigration(o.workspace, o.jobs)}
	if o.ledger.job == nil {
		return nil
	}
	var err error
	age := o.now.Sub(o.ledger.job.CreationTimestamp.Time)
	o.ledger.run, err = runnerjob.Read(ctx, r.Client, r.APIReader, o.ledger.job, age)
	return err
}

// read returns the object, or nil if there is none. The cache holds only objects with the
// operator's labels, so read asks the API server for what the cache lacks: it may be another
// owner's.
func read[T client.Object](ctx context.Context, r *Reconciler, key client.ObjectKey, into T) (found T, err error) {
	err = r.Client.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		err = r.APIReader.Get(ctx, key, into)
	}
	switch {
	case apierrors.IsNotFound(err):
		return found, nil
	case err != nil:
		return found, fmt.Errorf("read %T %q: %w", into, key.Name, err)
	}
	return into, nil
}
