package recurring

import (
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/schedule"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/workspace"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	// strangerLook is how often a name that somebody else holds is looked at.
	strangerLook = time.Minute
	// nextLook is how long after a run was due its successor's time is told, even if
	// no run has come.
	nextLook = 5 * time.Second
	// theCronJob stands for it among the refusals; no run has this name.
	theCronJob = "."
)

// observed is all that decide may know.
type observed struct {
	now       time.Time
	recurring *v1alpha1.WorkspaceRecurringJob
	// workspace that the namespace belongs to; nil: none.
	workspace *v1alpha1.Workspace
	// coming is the workspace that is about to get the namespace; nil: none.
	coming *v1alpha1.Workspace
	// cronJob that this recurring job controls; nil: none.
	cronJob *batchv1.CronJob
	// foreign is somebody else's CronJob of its name; nil: none.
	foreign *batchv1.CronJob
	// ticks are the Jobs that cronJob controls.
	ticks []batchv1.Job
	// runs are the WorkspaceJobs of the series. They are only to be looked at.
	runs []v1alpha1.WorkspaceJob
	// awaited are runs of which a continuation has not seen yet how they ended.
	awaited []string

	// written: the CronJob was written at this look; it is as it can be.
	written bool
	// refusals of the API server at this look, by the name of the run.
	refusals map[string]refusal
}

// decision is what to do about what was observed, in this order: apply or halt,
// adopt, write status, remove.
type decision struct {
	status v1alpha1.WorkspaceRecurringJobStatus
	// apply this CronJob; nil: it is as it should be.
	apply *batchv1.CronJob
	// halt this CronJob, whatever else it says; nil: none.
	halt *batchv1.CronJob
	// adopt: make these WorkspaceJobs, in this order.
	adopt []v1alpha1.WorkspaceJob
	// told are the runs of occasions that the status tells of from now on.
	told map[string]bool
	// removeTicks are Jobs that are nobody's any more.
	removeTicks []batchv1.Job
	// removeRuns are finished runs beyond the history limits.
	removeRuns []v1alpha1.WorkspaceJob
	// skipped are the runs that the overlap policy has ended since the last look.
	skipped []string
	// taken are runs whose names somebody else has.
	taken []string
	// byHand are ticks that somebody has started around the queue.
	byHand []string
	// crowded: too many runs are unfinished for another one.
	crowded bool
	// after: look again then; 0: when something changes.
	after time.Duration
}

// acts reports whether there is something to write before the status can be told.
func (d *decision) acts() bool { return d.apply != nil || d.halt != nil || len(d.adopt) > 0 }

// look again at the latest after so long.
func (d *decision) look(after time.Duration) {
	if d.after == 0 || after < d.after {
		d.after = after
	}
}

// decide compares what is with what the spec wants. It is pure.
func decide(o observed) decision {
	d := decision{status: *o.recurring.Status.DeepCopy(), told: map[string]bool{}}
	d.status.ObservedGeneration = o.recurring.Generation
	wanted, wrong := planOf(o)
	decideCronJob(o, &d, wanted)
	kept := keptBy(o.cronJob)
	decideTicks(o, &d, kept)
	account(o, &d)
	trim(o, &d)
	decideTimes(o, &d, kept)
	conclude(o, &d, wrong)
	return d
}

// plan is a schedule as Kubernetes keeps it.
type plan struct {
	*schedule.Schedule
	zone string
}

// planOf reads the spec. While that is wrong, the last good schedule is wanted; nil:
// there is none.
func planOf(o observed) (wanted *plan, wrong error) {
	spec := o.recurring.Spec
	parsed, wrong := schedule.Parse(spec.Schedule, spec.TimeZone, o.recurring.Namespace+"/"+o.recurring.Name)
	if wrong == nil {
		return &plan{parsed, spec.TimeZone}, nil
	}
	return keptBy(o.cronJob), wrong
}

// keptBy is the schedule that the CronJob has now; nil: none.
func keptBy(cronJob *batchv1.CronJob) *plan {
	if cronJob == nil || cronJob.Spec.TimeZone == nil {
		return nil
	}
	zone := *cronJob.Spec.TimeZone
	parsed, err := schedule.Parse(cronJob.Spec.Schedule, zone, "")
	if err != nil {
		return nil
	}
	return &plan{parsed, zone}
}

// decideCronJob plans it as the spec says. Where it can't be so, it is at least
// halted when nothing may become due.
func decideCronJob(o observed, d *decision, wanted *plan) {
	homeless := o.workspace == nil || !o.workspace.DeletionTimestamp.IsZero()
	_, refused := o.refusals[theCronJob]
	switch {
	case o.foreign != nil || o.written:
	case homeless, refused, wanted == nil, tooLarge(o):
		if o.cronJob != nil && !suspended(o.cronJob) && (homeless || o.recurring.Spec.Suspend) {
			d.halt = o.cronJob
		}
	default:
		if cronJob := build(o, wanted); !settled(cronJob, o.cronJob) {
			d.apply = cronJob
		}
	}
}

// decideTimes tells what the schedule holds next.
func decideTimes(o observed, d *decision, kept *plan) {
	d.status.NextScheduledAt, d.status.Schedule = nil, ""
	if kept == nil {
		return
	}
	d.status.Schedule = kept.String()
	if suspended(o.cronJob) {
		return
	}
	next := kept.Upcoming(countsFrom(o.cronJob), o.now)
	if next.IsZero() {
		return
	}
	d.status.NextScheduledAt = new(metav1.NewTime(next.UTC()))
	d.look(next.Sub(o.now) + nextLook)
}

// countsFrom is the time from which Kubernetes looks for the CronJob's next one.
func countsFrom(cronJob *batchv1.CronJob) time.Time {
	if last := cronJob.Status.LastScheduleTime; last != nil {
		return last.Time
	}
	return cronJob.CreationTimestamp.Time
}

// conclude says how the recurring job stands.
func conclude(o observed, d *decision, wrong error) {
	zone := new(schedule.TimeZoneError)
	refused, isRefused := o.refusals[theCronJob]
	switch {
	case o.coming != nil:
		progress(o, d, v1alpha1.ReasonWorkspaceNotReady, fmt.Sprintf("workspace %q does not have the namespace yet", o.coming.Name))
	case o.workspace == nil:
		stall(o, d, v1alpha1.ReasonNotInWorkspace, fmt.Sprintf("namespace %q belongs to no Workspace: create the recurring job in a workspace's namespace (kubectl get workspaces), or have a cluster admin make this one a workspace's", o.recurring.Namespace))
	case !o.workspace.DeletionTimestamp.IsZero():
		progress(o, d, v1alpha1.ReasonWorkspaceNotReady, workspace.Obstacle(o.workspace))
	case o.foreign != nil:
		d.look(strangerLook)
		stall(o, d, v1alpha1.ReasonNameTaken, fmt.Sprintf("a CronJob named %q exists already and is not this recurring job's: have a cluster admin delete it, or create the recurring job under another name", o.foreign.Name))
	case errors.As(wrong, &zone):
		stall(o, d, v1alpha1.ReasonInvalidTimeZone, wrong.Error()+lastGoodNote(o))
	case wrong != nil:
		stall(o, d, v1alpha1.ReasonInvalidSchedule, wrong.Error()+lastGoodNote(o))
	case tooLarge(o):
		stall(o, d, v1alpha1.ReasonInvalidArguments, fmt.Sprintf("template.args are %d bytes of JSON; at most %d (64 KiB) are allowed: put the data into the database and pass a key to it", len(o.recurring.Spec.Template.Args.Raw), contract.MaxArgs))
	case isRefused:
		d.look(refused.after)
		stall(o, d, v1alpha1.ReasonCronJobRefused, "the API server does not take the CronJob; mend what it says in the recurring job or in its Workspace: "+refused.message)
	default:
		concludeRuns(o, d)
	}
}

func concludeRuns(o observed, d *decision) {
	for name, why := range o.refusals {
		if why.taken {
			continue
		}
		d.look(why.after)
		message := fmt.Sprintf("run %q can't be created; it is tried again: %s", name, why.message)
		if why.stalled {
			stall(o, d, v1alpha1.ReasonJobRefused, message)
			return
		}
		progress(o, d, v1alpha1.ReasonJobRefused, message)
		return
	}
	if d.crowded {
		progress(o, d, v1alpha1.ReasonJobRefused, fmt.Sprintf("%d runs are unfinished; those that are due are created when there are fewer", maxActive))
		return
	}
	if o.recurring.Spec.Suspend {
		ready(o, d, v1alpha1.ReasonSuspended, "spec.suspend is set: no run becomes due")
		return
	}
	ready(o, d, v1alpha1.ReasonScheduleActive, fmt.Sprintf("Kubernetes keeps the schedule %q in time zone %s", d.status.Schedule, o.recurring.Spec.TimeZone))
}

// tooLarge: no run of it could start.
func tooLarge(o observed) bool {
	args := o.recurring.Spec.Template.Args
	return args != nil && len(args.Raw) > contract.MaxArgs
}

func lastGoodNote(o observed) string {
	if keptBy(o.cronJob) == nil {
		return ""
	}
	return fmt.Sprintf("; until it is mended, the schedule before it goes on: %q", o.cronJob.Spec.Schedule)
}
