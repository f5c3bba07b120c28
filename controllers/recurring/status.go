package recurring

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/schedule"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/workspace"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// conclude sets the conditions. After an error, Ready, Reconciling and Stalled stay as they
// were, for the retry to change.
func conclude(o observed, d *decision, invalid error) {
	c := report.Conditions{List: &d.status.Conditions, Generation: o.recurring.Generation, Now: o.now}
	if o.failed == nil {
		d.status.ObservedGeneration = o.recurring.Generation
		c.Summarize(finding(o, d, invalid))
	}
	if c.Has(v1alpha1.ConditionReady) {
		// Only once Ready is there, so that Ready comes first in the list.
		status, reason, message := lastRunSucceeded(d.status.LastRun)
		c.Set(v1alpha1.ConditionLastRunSucceeded, status, reason, message)
	}
}

// finding returns what the conditions say about the recurring job.
func finding(o observed, d *decision, invalid error) report.Finding {
	zone := new(schedule.TimeZoneError)
	switch {
	case o.coming != nil:
		return progressing(v1alpha1.ReasonWorkspaceNotReady, "workspace %q does not have the namespace yet", o.coming.Name)
	case o.workspace == nil:
		return stalled(v1alpha1.ReasonNotInWorkspace, "namespace %q belongs to no Workspace: create the recurring job in a workspace's namespace (kubectl get workspaces), or have a cluster admin make this one a workspace's", o.recurring.Namespace)
	case !o.workspace.DeletionTimestamp.IsZero():
		return progressing(v1alpha1.ReasonWorkspaceNotReady, "%s", workspace.Obstacle(o.workspace))
	case o.foreign != nil:
		d.recheck(report.NameTakenRetry)
		return stalled(v1alpha1.ReasonNameTaken, "a CronJob named %q exists already and does not belong to this recurring job: have a cluster admin delete it, or create the recurring job under another name", o.foreign.Name)
	case errors.As(invalid, &zone):
		return stalled(v1alpha1.ReasonInvalidTimeZone, "%s%s", invalid, inEffect(o))
	case invalid != nil:
		return stalled(v1alpha1.ReasonInvalidSchedule, "%s%s", invalid, inEffect(o))
	case tooLarge(o):
		return stalled(v1alpha1.ReasonInvalidArguments, "template.args are %d bytes of JSON; at most %d (64 KiB) are allowed: put the data into the database and pass a key to it", cached.Size(o.recurring.Spec.Template.Args), contract.MaxArgs)
	case o.cronJobRefused != nil:
		d.recheck(o.cronJobRefused.RetryAfter())
		return stalled(v1alpha1.ReasonCronJobRefused, "the API server refuses the CronJob; fix this in the recurring job or in its Workspace: %s", o.cronJobRefused.Message)
	default:
		return findingOfRuns(o, d)
	}
}

func findingOfRuns(o observed, d *decision) report.Finding {
	// In order, so that the message names the same run each time.
	for _, name := range slices.Sorted(maps.Keys(o.refusals)) {
		refusal := o.refusals[name]
		if refusal.Kind == report.NameTaken {
			continue
		}
		d.recheck(refusal.RetryAfter())
		f := progressing(v1alpha1.ReasonJobRefused, "run %q can't be created; it is tried again: %s", name, refusal.Message)
		if refusal.Stalled() {
			f.Phase = report.Stalled
		}
		return f
	}
	if d.crowded {
		return progressing(v1alpha1.ReasonJobRefused, "%d runs are unfinished; those that are due are created when there are fewer", maxActive)
	}
	if o.recurring.Spec.Suspend {
		return report.Finding{Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is set: no run becomes due"}
	}
	return report.Finding{
		Reason:  v1alpha1.ReasonScheduleActive,
		Message: fmt.Sprintf("Kubernetes keeps the schedule %q in time zone %s", d.status.Schedule, o.recurring.Spec.TimeZone),
	}
}

// stalled returns a finding that a person has to act on.
func stalled(reason, format string, values ...any) report.Finding {
	return report.Finding{Phase: report.Stalled, Reason: reason, Message: fmt.Sprintf(format, values...)}
}

// progressing returns a finding that the operator acts on by itself.
func progressing(reason, format string, values ...any) report.Finding {
	return report.Finding{Phase: report.Progressing, Reason: reason, Message: fmt.Sprintf(format, values...)}
}

// tooLarge reports whether the arguments are too large for any run to start.
func tooLarge(o observed) bool {
	return cached.Size(o.recurring.Spec.Template.Args) > contract.MaxArgs
}

// inEffect returns which schedule stays in effect, as the end of the message about an invalid
// one.
func inEffect(o observed) string {
	if keptBy(o.cronJob) == nil {
		return ""
	}
	return fmt.Sprintf("; until it is fixed, the previous schedule stays in effect: %q", o.cronJob.Spec.Schedule)
}

func lastRunSucceeded(last *v1alpha1.LastRun) (status metav1.ConditionStatus, reason, message string) {
	if last == nil {
		return metav1.ConditionUnknown, v1alpha1.ReasonNoRunYet, "no run has ended"
	}
	message = fmt.Sprintf("run %q is %s", last.Name, last.State)
	switch last.State {
	case v1alpha1.StateSucceeded:
		return metav1.ConditionTrue, v1alpha1.ReasonRunSucceeded, message
	case v1alpha1.StateFailed:
		return metav1.ConditionFalse, v1alpha1.ReasonRunFailed, message
	default:
		return metav1.ConditionFalse, v1alpha1.ReasonRunDeleted, message
	}
}
