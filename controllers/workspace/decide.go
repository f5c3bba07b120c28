package workspace

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// strangerLook is how often somebody else's object is looked at that is in the
	// way: the cache doesn't hold it, so its end wakes nobody.
	strangerLook = time.Minute
	// quotaPatience is how long Kubernetes may take to count for a new quota.
	quotaPatience = 10 * time.Second
	// terminatingLook is the same for a namespace on its way out.
	terminatingLook = 5 * time.Second
)

// observed is all that decide may know.
type observed struct {
	// namespace is nil if there is none.
	namespace *corev1.Namespace
	// live objects under the children's names, by child.key; whoever's they are.
	live map[string]client.Object
	// jobs are this workspace's migrations.
	jobs []batchv1.Job
	// ledger is the one among them that counts.
	ledger migration
}

// phase is where a workspace stands, in kstatus's words.
type phase int

const (
	phaseReady phase = iota
	// phaseProgress: it goes on without a person.
	phaseProgress
	// phaseStalled: it needs a person.
	phaseStalled
)

// finding is what a condition says.
type finding struct {
	phase   phase
	reason  string
	message string
}

func progress(reason, message string) finding { return finding{phaseProgress, reason, message} }
func stall(reason, message string) finding    { return finding{phaseStalled, reason, message} }

// verdict is what the status says.
type verdict struct {
	// namespace is "" unless it is the workspace's.
	namespace string
	// schemaVersion is 0 if nothing new is known.
	schemaVersion int64
	ready         finding
	// database is nil where nothing new is known.
	database *finding
}

// decision is what to do about what was observed, in this order.
type decision struct {
	// makeNamespace is nil if it is there.
	makeNamespace *corev1.Namespace
	// replace these, whose new form is in apply.
	replace []client.Object
	apply   []runtime.ApplyConfiguration
	// run this migration; nil: none.
	run *batchv1.Job
	// remove what is no longer wanted.
	remove  []client.Object
	verdict verdict
	// after: look again then; 0: when something changes.
	after time.Duration
}

// decide compares what is with what ws wants.
func decide(ws *v1alpha1.Workspace, seen observed, now time.Time) (decision, error) {
	whose, message := judgeNamespace(ws, seen.namespace)
	switch whose {
	case claimTaken:
		return withoutNamespace(stall(v1alpha1.ReasonNamespaceTaken, message), strangerLook), nil
	case claimTerminating:
		return withoutNamespace(progress(v1alpha1.ReasonNamespaceTerminating, message), terminatingLook), nil
	}
	d := decision{verdict: verdict{namespace: ws.NamespaceName()}}
	if whose == claimAbsent {
		d.makeNamespace = newNamespace(ws)
	}
	if config := mendNamespace(ws, seen.namespace, whose); config != nil {
		d.apply = append(d.apply, config)
	}
	inTheWay, err := decideChildren(ws, seen, now, &d)
	if err != nil {
		return d, err
	}
	if inTheWay != "" {
		d.verdict.ready = stall(v1alpha1.ReasonNameTaken, inTheWay)
		d.after = strangerLook
		return d, nil
	}
	decideLedger(ws, seen, now, &d)
	if d.verdict.ready.phase == phaseReady && !counted(seen.live[quotaKey]) {
		d.verdict.ready = progress(v1alpha1.ReasonQuotaPending, "Kubernetes has not counted the namespace's objects yet, and refuses new jobs until it has.")
		d.after = quotaPatience
	}
	return d, nil
}

func withoutNamespace(why finding, after time.Duration) decision {
	// A database that can't be reached from a namespace is no ready one.
	return decision{verdict: verdict{ready: why, database: &why}, after: after}
}

// decideChildren plans what the namespace holds, and tells who is in the way of
// it; all else is put in place nevertheless.
func decideChildren(ws *v1alpha1.Workspace, seen observed, now time.Time, d *decision) (inTheWay string, err error) {
	for _, c := range children(ws) {
		live := seen.live[c.key()]
		switch {
		case live == nil && c.wanted:
			d.apply = append(d.apply, c.config)
		case live == nil:
		case !controls(ws, live) && c.wanted:
			inTheWay = stranger(c.kind, live)
		case !controls(ws, live):
		case !c.wanted:
			d.remove = append(d.remove, live)
		case c.immutable(live), overlooked(live, now):
			d.replace = append(d.replace, live)
			d.apply = append(d.apply, c.config)
		default:
			settled, err := c.settled(live)
			if err != nil {
				return "", err
			}
			if !settled {
				c.guard(live.GetUID())
				d.apply = append(d.apply, c.config)
			}
		}
	}
	return inTheWay, nil
}

func decideLedger(ws *v1alpha1.Workspace, seen observed, now time.Time, d *decision) {
	p := planMigration(ws, seen.ledger, now)
	for _, job := range obsolete(seen.jobs, seen.ledger.job) {
		d.remove = append(d.remove, &job)
	}
	d.run, d.after = p.run, p.after
	d.verdict.schemaVersion = p.schemaVersion
	d.verdict.database = &p.database
	d.verdict.ready = p.database
	if p.database.phase == phaseReady {
		d.verdict.ready = finding{phaseReady, v1alpha1.ReasonReady, "Jobs can run."}
	}
}

// counted: Kubernetes knows how many jobs there are, and lets more come.
func counted(quota client.Object) bool {
	typed, ok := quota.(*corev1.ResourceQuota)
	if !ok {
		return false
	}
	_, known := typed.Status.Used[countedJobs]
	return known
}

// overlooked: Kubernetes met the quota before it had taken notice of the CRDs,
// which takes it up to half a minute. It looks at a quota again only minutes
// later, or when that is made anew.
func overlooked(live client.Object, now time.Time) bool {
	_, isQuota := live.(*corev1.ResourceQuota)
	return isQuota && !counted(live) && now.Sub(live.GetCreationTimestamp().Time) >= quotaPatience
}
