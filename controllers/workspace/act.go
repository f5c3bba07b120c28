package workspace

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/adopt"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// act carries out the decision, and adds the outcome to o. A refusal by the API server is a
// fact, not an error.
func (r *Reconciler) act(ctx context.Context, o *observed, d decision) error {
	if d.createNamespace != nil {
		return r.createNamespace(ctx, o, d.createNamespace)
	}
	for _, c := range d.apply {
		if err := r.apply(ctx, o, c); err != nil {
			return err
		}
	}
	if d.migrate != nil {
		if err := r.createMigration(ctx, o, d.migrate); err != nil {
			return err
		}
	}
	for _, c := range d.remove {
		if err := r.remove(ctx, o, c.key(), o.live[c.key()]); err != nil {
			return err
		}
	}
	for i := range d.removeJobs {
		job := &d.removeJobs[i]
		if err := r.remove(ctx, o, jobKey(job), job); err != nil {
			return err
		}
	}
	return nil
}

// createNamespace creates the namespace, or reads the one that has the name already. decide
// determines whose it is.
func (r *Reconciler) createNamespace(ctx context.Context, o *observed, ns *corev1.Namespace) error {
	answer, err := adopt.Create(ctx, r.Client, r.APIReader, ns, func(holder *corev1.Namespace) bool {
		whose, _ := judgeNamespace(o.workspace, holder)
		return whose == claimMade
	})
	switch {
	case err != nil:
		return err
	case answer.Refusal != nil:
		o.refuse(namespaceKey(ns.Name), *answer.Refusal)
	case answer.Foreign != nil:
		o.namespace = answer.Foreign
	default:
		o.namespace = answer.Object
	}
	return r.observeInside(ctx, o)
}

// apply applies the child. It undoes what others edited in an object that was read. Without
// such an object it does not force ownership, so as not to take over one that somebody
// created meanwhile.
func (r *Reconciler) apply(ctx context.Context, o *observed, c child) error {
	options := []client.ApplyOption{client.FieldOwner(v1alpha1.ManagedBy)}
	if c.exists {
		options = append(options, client.ForceOwnership)
	}
	err := r.Client.Apply(ctx, c.config, options...)
	if refusal := report.RefusalOf(err); refusal != nil {
		o.refuse(c.key(), *refusal)
		return nil
	}
	if err != nil {
		return fmt.Errorf("apply %s: %w", c.key(), err)
	}
	o.applied[c.key()] = true
	return nil
}

// createMigration creates the Job. If the Job exists and is the workspace's, it is adopted:
// it was created before a crash, or the cache does not show it yet.
func (r *Reconciler) createMigration(ctx context.Context, o *observed, job *batchv1.Job) error {
	answer, err := adopt.Create(ctx, r.Client, r.APIReader, job, func(holder *batchv1.Job) bool {
		return controls(o.workspace, holder)
	})
	switch {
	case err != nil:
		return err
	case answer.Refusal != nil:
		o.refuse(jobKey(job), *answer.Refusal)
		return nil
	case answer.Foreign != nil:
		o.refuse(jobKey(job), report.Refusal{Kind: report.NameTaken, Message: foreignMessage("Job", answer.Foreign)})
		return nil
	}
	o.jobs = append(o.jobs, *answer.Object)
	return r.observeLedger(ctx, o)
}

// remove deletes exactly the object that was read, and its dependents, such as a Job's pod.
func (r *Reconciler) remove(ctx context.Context, o *observed, key string, object client.Object) error {
	err := r.Client.Delete(ctx, object,
		client.Preconditions{UID: new(object.GetUID())}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if refusal := report.RefusalOf(err); refusal != nil {
		o.refuse(key, *refusal)
		return nil
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	o.forget(key)
	return nil
}
