package workspace

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// observed is all that decide may know: what was read, and what the API server has
// answered since.
type observed struct {
	now       time.Time
	workspace *v1alpha1.Workspace
	fence     runnerjob.Fence
	// namespace is nil if there is none.
	namespace *corev1.Namespace
	// live are the objects that have the children's names, by child.key. Another owner may
	// have made them.
	live map[string]client.Object
	// jobs are this workspace's migrations.
	jobs []batchv1.Job
	// ledger is the one among them that shows the state of the ledger.
	ledger migration

	// applied are the objects that were applied in this reconcile, by key: they are as
	// they should be.
	applied map[string]bool
	// refused are the writes that the API server refused in this reconcile, by key.
	refused map[string]report.Refusal
	// failed is the error that ended this reconcile; nil if none did.
	failed error
}

func (o *observed) refuse(key string, why report.Refusal) { o.refused[key] = why }

// forget removes a deleted object from what was observed.
func (o *observed) forget(key string) {
	delete(o.live, key)
	o.jobs = slices.DeleteFunc(slices.Clone(o.jobs), func(job batchv1.Job) bool { return jobKey(&job) == key })
}

// decision is what to do about what was observed, in this order, and what to report once
// nothing is left to do.
type decision struct {
	// createNamespace is the namespace to create, or nil.
	createNamespace *corev1.Namespace
	// apply these children.
	apply []child
	// migrate the ledger with this Job; nil if none is due.
	migrate *batchv1.Job
	// remove these children, which are not wanted, or can't become what is wanted.
	remove []child
	// removeJobs are migrations that no longer show the state of the ledger.
	removeJobs []batchv1.Job

	// namespace that the workspace holds; "" if it holds none.
	namespace string
	// adoptedBy is who handed the namespace over; "" if the operator created it.
	adoptedBy string
	// schemaVersion of the ledger; 0 if nothing new is known.
	schemaVersion int64
	// ready is the finding about the workspace.
	ready report.Finding
	// keepReady keeps the condition Ready as it was: it may still be true, and jobs may be
	// running.
	keepReady bool
	// database is the finding about its ledger; nil if nothing new is known.
	database *report.Finding
	// status that follows from these findings.
	status v1alpha1.WorkspaceStatus
	// after is when to reconcile again at the latest; 0 means when something changes.
	after time.Duration
}

// acts reports whether something has to be written before the status is known.
func (d *decision) acts() bool {
	return d.createNamespace != nil || d.migrate != nil || len(d.apply)+len(d.remove)+len(d.removeJobs) > 0
}

// does names the writes, for the log.
func (d *decision) does() []string {
	writes := []string{}
	if d.createNamespace != nil {
		writes = append(writes, "create "+namespaceKey(d.createNamespace.Name))
	}
	for _, c := range d.apply {
		writes = append(writes, "apply "+c.key())
	}
	if d.migrate != nil {
		writes = append(writes, "create "+jobKey(d.migrate))
	}
	for _, c := range d.remove {
		writes = append(writes, "delete "+c.key())
	}
	for i := range d.removeJobs {
		writes = append(writes, "delete "+jobKey(&d.removeJobs[i]))
	}
	return writes
}

// recheck has the workspace reconciled again after this time at the latest.
func (d *decision) recheck(after time.Duration) {
	if d.after == 0 || after < d.after {
		d.after = after
	}
}

func progress(reason, message string) report.Finding {
	return report.Finding{Phase: report.Progressing, Reason: reason, Message: message}
}

func stall(reason, message string) report.Finding {
	return report.Finding{Phase: report.Stalled, Reason: reason, Message: message}
}

// decide compares what was observed with the spec. It is pure. A step begins only when the
// one before it is done, so that nothing runs in a namespace that is not isolated yet.
func decide(o observed) decision {
	d := decision{ready: progress("", "")}
	switch {
	case o.failed != nil:
		d.ready, d.keepReady = progress(v1alpha1.ReasonReconcileError, o.failed.Error()), true
	case !decideNamespace(o, &d):
	case !decideChildren(o, &d):
	default:
		decideLedger(o, &d)
	}
	d.status = statusOf(o, d)
	return d
}

// decideNamespace reports whether the workspace holds its namespace.
func decideNamespace(o observed, d *decision) bool {
	whose, why := judgeNamespace(o.workspace, o.namespace)
	if o.refusedBy(report.NamespaceTerminating) {
		// The API server knows before the cache does.
		whose, why = claimTerminating, beingDeleted(o.workspace.NamespaceName())
	}
	switch whose {
	case claimTaken:
		d.homeless(stall(v1alpha1.ReasonNamespaceTaken, why), report.NameTakenRetry)
		return false
	case claimTerminating:
		d.homeless(progress(v1alpha1.ReasonNamespaceTerminating, why), terminatingRetry)
		return false
	}
	d.namespace = o.workspace.NamespaceName()
	if whose == claimAdopted {
		d.adoptedBy = adopter(o.workspace, o.namespace)
	}
	key := namespaceKey(d.namespace)
	if refusal, refused := o.refused[key]; refused {
		d.obstructed([]report.Refusal{refusal})
		d.keepReady = d.keepReady && whose != claimAbsent
		return false
	}
	if whose == claimAbsent {
		d.createNamespace = newNamespace(o.workspace)
		return false
	}
	if c := namespaceDrift(o.workspace, o.namespace, whose); c != nil && !o.applied[key] {
		d.apply = append(d.apply, *c)
	}
	return true
}

func (o *observed) refusedBy(kind report.RefusalKind) bool {
	for _, refusal := range o.refused {
		if refusal.Kind == kind {
			return true
		}
	}
	return false
}

// homeless reports a workspace without a namespace. Its database is not ready either, as no
// pod can reach it.
func (d *decision) homeless(why report.Finding, after time.Duration) {
	d.ready, d.database, d.after = why, &why, after
}

// obstructed reports a workspace that lacks an object, because the API server refused it or
// another owner's object has its name. A refusal that a person has to act on comes first. The
// API server may change its mind about any other, so Ready stays as it was.
func (d *decision) obstructed(refusals []report.Refusal) {
	first := slices.IndexFunc(refusals, report.Refusal.Stalled)
	d.ready = findingOf(refusals[max(first, 0)])
	d.keepReady = first < 0
	for _, refusal := range refusals {
		d.recheck(refusal.RetryAfter())
	}
}

func findingOf(refusal report.Refusal) report.Finding {
	switch refusal.Kind {
	case report.NameTaken:
		return stall(v1alpha1.ReasonNameTaken, refusal.Message)
	case report.Invalid:
		return stall(v1alpha1.ReasonInvalidSpec, "Kubernetes refuses an object that follows from the spec: "+refusal.Message)
	default:
		return progress(v1alpha1.ReasonReconcileError, refusal.Message)
	}
}

// decideLedger decides about the migration, the last step before the workspace is ready.
func decideLedger(o observed, d *decision) {
	p := planMigration(o)
	if refusal, refused := o.refused[jobKey(p.run)]; refused {
		d.obstructed([]report.Refusal{refusal})
		return
	}
	d.migrate, d.after = p.run, p.after
	var refusals []report.Refusal
	for _, job := range obsolete(o.jobs, o.ledger.job) {
		if refusal, refused := o.refused[jobKey(&job)]; refused {
			refusals = append(refusals, refusal)
			continue
		}
		d.removeJobs = append(d.removeJobs, job)
	}
	d.schemaVersion, d.database, d.ready = p.schemaVersion, &p.database, p.database
	switch {
	case p.database.Phase != report.Ready:
	case !counted(o.live[quotaKey]):
		d.ready = progress(v1alpha1.ReasonQuotaPending, "Kubernetes has not counted the namespace's objects yet, and refuses new jobs until it has.")
		d.recheck(quotaPatience)
	default:
		d.ready = report.Finding{Phase: report.Ready, Reason: v1alpha1.ReasonReady, Message: "Jobs can run."}
	}
	if len(refusals) > 0 {
		d.obstructed(refusals)
	}
}
