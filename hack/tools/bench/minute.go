package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func minuteCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	n := flags.Int("n", 1000, "how many recurring jobs and how many CronJobs")
	workspaces := flags.Int("workspaces", 50, "over how many workspaces, and namespaces of the CronJobs")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error { return measureMinute(ctx, l, max(*n, 1), max(*workspaces, 1)) })
	}
}

// measureMinute makes bare CronJobs that are due in one minute, and as many recurring jobs
// that are due in another.
func measureMinute(ctx context.Context, l *lab, n, workspaces int) error {
	namespaces, err := l.makeWorkspaces(ctx, workspaces, 10*time.Minute)
	if err != nil {
		return err
	}
	spec, err := l.attemptSpec(ctx, namespaces[0])
	if err != nil {
		return err
	}
	for i := range workspaces {
		if err := l.plainNamespace(ctx, fmt.Sprintf("bench-plain-%d", i)); err != nil {
			return err
		}
	}
	bare, err := l.dueAtOnce(ctx, n, "bare CronJobs", &batchv1.Job{}, func(i int, schedule string) client.Object {
		return bareCronJob(fmt.Sprintf("bench-plain-%d", i%workspaces), fmt.Sprintf("bare-%d", i), schedule, spec)
	}, func(object client.Object) bool {
		return strings.HasPrefix(object.GetName(), "bare-") && jobComplete(object)
	})
	if err != nil {
		return err
	}
	recurring, err := l.dueAtOnce(ctx, n, "WorkspaceRecurringJobs", &v1alpha1.WorkspaceJob{}, func(i int, schedule string) client.Object {
		return recurringJob(namespaces[i%workspaces], fmt.Sprintf("recurring-%d", i), schedule)
	}, jobSucceeded)
	if err != nil {
		return err
	}
	if err := l.allRanOnce(ctx, n); err != nil {
		return err
	}
	t := table{{fmt.Sprintf("%d due in the same minute: from its start to the end of each job", n), "p50", "p99", "last"}}
	t.row(append([]string{"bare CronJobs"}, spread(bare)...)...)
	t.row(append([]string{"WorkspaceRecurringJobs"}, spread(recurring)...)...)
	t.row("ratio", ratio(recurring, bare, 0.5), ratio(recurring, bare, 0.99), ratio(recurring, bare, 1))
	return t.write(os.Stdout)
}

func ratio(a, b []time.Duration, share float64) string {
	return fmt.Sprintf("%.2f", float64(quantile(a, share))/float64(quantile(b, share)))
}

// dueAtOnce makes n schedules that are due once, in a minute that leaves time to make
// them, and returns how late each job was done.
func (l *lab) dueAtOnce(ctx context.Context, n int, what string, kind client.Object, makeOne func(int, string) client.Object, done func(client.Object) bool) ([]time.Duration, error) {
	ended := newMoments(n)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	err := l.watch(watching, kind, func(object client.Object) {
		if done(object) {
			ended.note(keyOf(object), time.Now())
		}
	})
	if err != nil {
		return nil, err
	}
	due := time.Now().UTC().Truncate(time.Minute).Add(time.Duration(2+n/600) * time.Minute)
	schedule := fmt.Sprintf("%d %d %d %d *", due.Minute(), due.Hour(), due.Day(), due.Month())
	say("making %d %s that are due at %s", n, what, due.Format(time.TimeOnly))
	if err := each(ctx, n, func(ctx context.Context, i int) error { return l.create(ctx, makeOne(i, schedule)) }); err != nil {
		return nil, err
	}
	if !time.Now().Before(due) {
		return nil, errors.New("making them took too long: use a smaller n")
	}
	if err := ended.wait(ctx, time.Until(due)+10*time.Minute, what+" done"); err != nil {
		return nil, errors.Join(err, l.operator.Alive())
	}
	var late []time.Duration
	for _, at := range ended.seen() {
		late = append(late, at.Sub(due))
	}
	return late, nil
}

// allRanOnce fails unless each recurring job has one run, which has one Job.
func (l *lab) allRanOnce(ctx context.Context, n int) error {
	var runs v1alpha1.WorkspaceJobList
	if err := l.client.List(ctx, &runs, client.HasLabels{v1alpha1.LabelRecurringJob}); err != nil {
		return err
	}
	var jobs batchv1.JobList
	if err := l.client.List(ctx, &jobs, client.HasLabels{v1alpha1.LabelRecurringJob}); err != nil {
		return err
	}
	err := errors.Join(wrongCount("runs", len(runs.Items), n), wrongCount("Jobs of runs", len(jobs.Items), n))
	for i := range runs.Items {
		if attempts := runs.Items[i].Status.Attempts; len(attempts) > 1 {
			err = errors.Join(err, fmt.Errorf("run %s: %s: %s", runs.Items[i].Name, attempts[0].Outcome, attempts[0].Error))
		}
	}
	return err
}

func bareCronJob(namespace, name, schedule string, spec batchv1.JobSpec) *batchv1.CronJob {
	return &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: batchv1.CronJobSpec{
			Schedule: schedule, TimeZone: new("Etc/UTC"), ConcurrencyPolicy: batchv1.AllowConcurrent,
			JobTemplate: batchv1.JobTemplateSpec{Spec: *spec.DeepCopy()},
		},
	}
}

func recurringJob(namespace, name, schedule string) *v1alpha1.WorkspaceRecurringJob {
	return &v1alpha1.WorkspaceRecurringJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WorkspaceRecurringJobSpec{Schedule: schedule, Template: v1alpha1.JobTemplate{Handler: "none"}},
	}
}
