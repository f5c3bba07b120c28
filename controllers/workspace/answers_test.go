package workspace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// playedAPI answers decisions as the API server does, with facts, for tests of the pure
// part. act and its own answers are tested on a real one.
type playedAPI struct {
	// did are the writes that it accepted.
	did []string
	// refuse has the writes that it refuses, named as decision.does names them.
	refuse map[string]report.RefusalKind
	// fail is the write that returns an error.
	fail string
}

var errPlayed = errors.New("connection refused")

// write reports whether the API server accepts the write.
func (p *playedAPI) write(o *observed, verb, key string) (bool, error) {
	name := verb + " " + key
	if name == p.fail {
		return false, errPlayed
	}
	if kind, refused := p.refuse[name]; refused {
		o.refuse(key, report.Refusal{Kind: kind, Message: "refused: " + key})
		return false, nil
	}
	p.did = append(p.did, name)
	return true, nil
}

func (p *playedAPI) act(_ context.Context, o *observed, d decision) error {
	if d.createNamespace != nil {
		ok, err := p.write(o, "create", namespaceKey(d.createNamespace.Name))
		if ok {
			o.namespace = d.createNamespace
		}
		return err
	}
	for _, c := range d.apply {
		ok, err := p.write(o, "apply", c.key())
		if err != nil {
			return err
		}
		o.applied[c.key()] = ok
		if !ok {
			delete(o.applied, c.key())
		}
	}
	if d.migrate != nil {
		ok, err := p.write(o, "create", jobKey(d.migrate))
		if err != nil {
			return err
		}
		if ok {
			job := d.migrate.DeepCopy()
			job.UID = types.UID("uid of " + job.Name)
			o.jobs = append(o.jobs, *job)
			o.ledger = migration{job: currentMigration(o.workspace, o.jobs)}
		}
	}
	var keys []string
	for _, c := range d.remove {
		keys = append(keys, c.key())
	}
	for i := range d.removeJobs {
		keys = append(keys, jobKey(&d.removeJobs[i]))
	}
	for _, key := range keys {
		ok, err := p.write(o, "delete", key)
		if err != nil {
			return err
		}
		if ok {
			o.forget(key)
		}
	}
	return nil
}

// crowded is a workspace that needs a write of every kind, and has reported Ready before.
func crowded(t *testing.T) observed {
	t.Helper()
	ws := MakeWorkspace("acme").UID("now").Generation(2).Member(v1alpha1.RoleViewer, "vera").Obj()
	ws.Status.Namespace = "workspace-acme"
	ws.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready", ObservedGeneration: 1}}
	o := upToDate(t, ws)
	delete(o.namespace.Labels, v1alpha1.LabelManagedBy)
	delete(o.live, "LimitRange/workspace-jobs")
	o.live["ServiceAccount/runner"].SetManagedFields(nil)
	uncount(&o, noon().Add(-quotaPatience))
	o.jobs = []batchv1.Job{*MakeMigration(MakeWorkspace("acme").UID("now").Image("old").Obj(), 1).Obj()}
	o.ledger = migration{}
	return o
}

// TestEveryRefusalIsAFact has the API server refuse each write, in each way that it
// refuses one: the reconcile ends, says so, does the rest, and never migrates a ledger
// from a namespace that is not isolated.
func TestEveryRefusalIsAFact(t *testing.T) {
	t.Parallel()
	fresh := func(t *testing.T) observed {
		t.Helper()
		return nothing(MakeWorkspace("acme").UID("now").Generation(2).Member(v1alpha1.RoleViewer, "vera").Obj())
	}
	for start, begin := range map[string]func(*testing.T) observed{"nothing": fresh, "crowded": crowded} {
		o := begin(t)
		all := &playedAPI{}
		if d := carryOut(t.Context(), &o, all.act); d.acts() || o.failed != nil || len(all.did) < 7 {
			t.Fatalf("%s: %v, then %v, %v", start, all.did, d.does(), o.failed)
		}
		for _, write := range all.did {
			for kind, want := range map[report.RefusalKind]string{
				report.Forbidden: "Progressing ReconcileError 15s", report.Invalid: "Stalled InvalidSpec 5m0s",
				report.NameTaken: "Stalled NameTaken 1m0s", report.NamespaceTerminating: "Progressing NamespaceTerminating 5s",
			} {
				if strings.HasPrefix(write, "delete ") && (kind == report.Invalid || kind == report.NameTaken) {
					continue // No answer to a delete.
				}
				o := begin(t)
				api := &playedAPI{refuse: map[string]report.RefusalKind{write: kind}}
				d := carryOut(t.Context(), &o, api.act)
				got := strings.Join([]string{d.ready.Phase.String(), d.ready.Reason, d.after.String()}, " ")
				if got != want || d.acts() || o.failed != nil || d.ready.Message == "" {
					t.Errorf("%s, %q refused: %s, %v, %v; want %s", start, write, got, d.does(), o.failed, want)
				}
				migrates := func(name string) bool { return strings.HasPrefix(name, "create Job/") }
				if !migrates(write) && !strings.HasPrefix(write, "delete Job/") && slices.ContainsFunc(api.did, migrates) {
					t.Errorf("%s, %q refused, and it migrates: %v", start, write, api.did)
				}
				if ready := d.status.Conditions[0]; kind == report.Forbidden && start == "crowded" && (ready.Status != metav1.ConditionTrue) != isolation(write) {
					t.Errorf("%s, %q refused: %+v", start, write, ready)
				}
			}
		}
	}
}

// isolation reports whether the write isolates the namespace: without it, no attempt may
// start. After any other write is refused, what was known of the workspace stays.
func isolation(write string) bool {
	return strings.Contains(write, " NetworkPolicy/") || strings.Contains(write, " ResourceQuota/") || strings.Contains(write, " LimitRange/")
}

// TestNothingStartsWithoutItsFence has a policy deleted, and refuses to apply it again.
func TestNothingStartsWithoutItsFence(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"NetworkPolicy/workspace-jobs-default-deny", "ResourceQuota/workspace-jobs", "LimitRange/workspace-jobs", "ServiceAccount/runner"} {
		o := crowded(t)
		o.workspace.Status.Conditions[0].ObservedGeneration = o.workspace.Generation
		delete(o.live, key)
		api := &playedAPI{refuse: map[string]report.RefusalKind{"apply " + key: report.Forbidden}}
		ws := o.workspace.DeepCopy()
		ws.Status = carryOut(t.Context(), &o, api.act).status
		if obstacle := Obstacle(ws); (obstacle != "") != isolation("apply "+key) {
			t.Errorf("without %s: %q", key, obstacle)
		}
	}
}

// TestWhatNeedsAPersonIsReportedFirst checks that of several obstacles, one that passes by
// itself does not hide one that needs a person, and that the soonest retry counts.
func TestWhatNeedsAPersonIsReportedFirst(t *testing.T) {
	t.Parallel()
	o := crowded(t)
	api := &playedAPI{refuse: map[string]report.RefusalKind{
		"apply LimitRange/workspace-jobs": report.Forbidden, "apply ServiceAccount/runner": report.Invalid,
	}}
	d := carryOut(t.Context(), &o, api.act)
	if d.ready.Reason != v1alpha1.ReasonInvalidSpec || d.after != 15*time.Second {
		t.Errorf("%+v after %s", d.ready, d.after)
	}
}

// TestEveryErrorEndsTheReconcile fails each write: nothing follows it, the error is
// reported and returned, and the next reconcile does the rest.
func TestEveryErrorEndsTheReconcile(t *testing.T) {
	t.Parallel()
	o := crowded(t)
	all := &playedAPI{}
	carryOut(t.Context(), &o, all.act)
	for i, write := range all.did {
		o := crowded(t)
		api := &playedAPI{fail: write}
		d := carryOut(t.Context(), &o, api.act)
		if !errors.Is(o.failed, errPlayed) || d.acts() || d.ready.Reason != v1alpha1.ReasonReconcileError {
			t.Errorf("%q failed: %v, %+v, then %v", write, o.failed, d.ready, d.does())
		}
		if diff := cmp.Diff(all.did[:i], api.did, cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
			t.Errorf("%q failed, and was followed by: %s", write, diff)
		}
		api.fail, o.failed = "", nil
		carryOut(t.Context(), &o, api.act)
		if diff := cmp.Diff(all.did, api.did); diff != "" {
			t.Errorf("%q failed once: %s", write, diff)
		}
	}
}

func TestAReconcileThatDoesNotEndFails(t *testing.T) {
	t.Parallel()
	o := nothing(MakeWorkspace("acme").UID("now").Obj())
	forgetful := func(context.Context, *observed, decision) error { return nil }
	d := carryOut(t.Context(), &o, forgetful)
	if !errors.Is(o.failed, report.ErrTooManyRounds) || d.acts() || d.ready.Reason != v1alpha1.ReasonReconcileError {
		t.Errorf("%v, %+v", o.failed, d.ready)
	}
}

// TestFailuresInStatus checks what a failed reconcile writes into the status.
func TestFailuresInStatus(t *testing.T) {
	t.Parallel()
	thing := schema.GroupResource{Resource: "things"}
	for name, test := range map[string]struct {
		err   error
		want  []string
		after time.Duration
	}{
		"conflict":       {apierrors.NewConflict(thing, "t", errors.New("c")), []string{"Ready True Ready"}, report.Soon},
		"not found":      {apierrors.NewNotFound(thing, "t"), []string{"Ready True Ready"}, report.Soon},
		"already exists": {apierrors.NewAlreadyExists(thing, "t"), []string{"Ready True Ready", "Reconciling True ReconcileError"}, 0},
		"forbidden":      {apierrors.NewForbidden(thing, "t", errors.New("no")), []string{"Ready True Ready", "Reconciling True ReconcileError"}, 0},
		"a network's":    {errors.New("connection refused"), []string{"Ready True Ready", "Reconciling True ReconcileError"}, 0},
	} {
		o := nothing(MakeWorkspace("acme").Obj())
		o.workspace.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready"}}
		o.failed = test.err
		if diff := cmp.Diff(test.want, says(decide(o).status)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if result, err := report.Result(test.err); result.RequeueAfter != test.after || (err != nil) != (test.after == 0) {
			t.Errorf("%s: after %s, error %v", name, result.RequeueAfter, err)
		}
	}
	o := nothing(MakeWorkspace("acme").Obj())
	o.failed = errPlayed
	if diff := cmp.Diff([]string{"Ready False ReconcileError", "Reconciling True ReconcileError"}, says(decide(o).status)); diff != "" {
		t.Errorf("of a new workspace: %s", diff)
	}
}

// TestATryIsNotMadeWhileItsNameIsInUse has a Job that is being deleted, which keeps its name
// until its pod is gone.
func TestATryIsNotMadeWhileItsNameIsInUse(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").UID("now").Obj()
	o := upToDate(t, ws)
	o.jobs, o.ledger = []batchv1.Job{*MakeMigration(ws, 1).Terminating().Obj()}, migration{}
	d := decide(o)
	if d.acts() || d.after != terminatingRetry || d.ready.Reason != v1alpha1.ReasonMigrating {
		t.Errorf("%v after %s: %+v", d.does(), d.after, d.ready)
	}
}

// TestAFailedTryGoesOnceTheNextExists checks also that it stays until then, with its log.
func TestAFailedTryGoesOnceTheNextExists(t *testing.T) {
	t.Parallel()
	ws := reporting(MakeWorkspace("acme").UID("now").Obj(), "MigrationFailed", "no route", noon())
	o := upToDate(t, ws)
	o.ledger = failedAt(ws, 1, noon().Add(-minRetry), 1, "no route")
	o.jobs = []batchv1.Job{*o.ledger.job}
	api := &playedAPI{}
	d := carryOut(t.Context(), &o, api.act)
	want := []string{"create " + jobKey(migrationJob(ws, 2)), "delete " + jobKey(migrationJob(ws, 1))}
	if diff := cmp.Diff(want, api.did); diff != "" {
		t.Error(diff)
	}
	if d.ready.Reason != "MigrationFailed" || !strings.Contains(d.ready.Message, "no route") || d.after != pendingRetry {
		t.Errorf("while the next one runs: %+v after %s", d.ready, d.after)
	}
}

// TestWarningsOfARunnerAreShownSafely has a warning that a tenant's code wrote, and that an
// admin reads.
func TestWarningsOfARunnerAreShownSafely(t *testing.T) {
	t.Parallel()
	end := &runnerjob.End{Succeeded: true}
	end.Message.Result = []byte(`{"schemaVersion":1,"warning":"\u001b[2Ja\u202eb"}`)
	if got := resultOf(end).Warning; got != "\ufffd[2Ja\ufffdb" {
		t.Errorf("%q", got)
	}
}

// TestDecisionsAreLogged checks that each decision is a line at debug level, without what a
// runner or the API server wrote.
func TestDecisionsAreLogged(t *testing.T) {
	t.Parallel()
	var lines []string
	log := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{Verbosity: 1})
	o := nothing(MakeWorkspace("acme").UID("now").Obj())
	api := &playedAPI{refuse: map[string]report.RefusalKind{"apply LimitRange/workspace-jobs": report.Invalid}}
	carryOut(ctrl.LoggerInto(t.Context(), log), &o, api.act)
	want := []string{
		`"level"=1 "msg"="decided" "phase"="Progressing" "reason"="" "does"=["create Namespace/workspace-acme"]`,
		`"level"=1 "msg"="decided" "phase"="Progressing" "reason"="" "does"=["apply NetworkPolicy/workspace-jobs-default-deny" "apply NetworkPolicy/workspace-jobs-runner" "apply ResourceQuota/workspace-jobs" "apply LimitRange/workspace-jobs" "apply ServiceAccount/runner"]`,
		`"level"=1 "msg"="decided" "phase"="Stalled" "reason"="InvalidSpec" "does"=[]`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}
