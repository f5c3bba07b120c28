package recurring

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/continuation"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/controllers/workspace"
	"github.com/openradius/workspace-jobs/hack/env/quick"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestNoRunIsLostOrDoubled runs the real reconciler in a simulated world, in which
// Kubernetes misses times, others take names, a quota is full at times, the operator dies
// at any write, and every watch lags.
func TestNoRunIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	for seed := range uint64(quick.Few(500)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := simulate(t, seed)
			for range 10 {
				s.hour()
				for range s.w.Rand.IntN(8) {
					s.hear()
					s.reconcile()
					s.play()
				}
			}
			s.comeToRest()
			s.judge()
		})
	}
}

// kinds are those whose cache lags.
var kinds = []string{"WorkspaceRecurringJob", "WorkspaceJob", "Job"}

// simulation simulates one recurring job, which is due each hour.
type simulation struct {
	*testing.T
	w *world.World
	r *Reconciler
	// dies reports whether the operator dies at a write, full whether a quota refuses a run.
	dies, full func() bool
	// ticks are those that Kubernetes has created and whose names are free; created counts
	// how often the run of each was created.
	ticks, created map[string]int
	// foreign counts other owners' WorkspaceJobs that have the name of a tick's run.
	foreign int
	// pending are the hours without a tick since the last tick; the next tick makes them
	// missed.
	pending, missed, skipped int64
}

func simulate(t *testing.T, seed uint64) *simulation {
	t.Helper()
	s := &simulation{T: t, w: world.New(seed, noon), ticks: map[string]int{}, created: map[string]int{}}
	s.w.Restless, s.w.Trim = true, cached.Trim
	s.dies = func() bool { return s.w.Rand.IntN(8) == 0 }
	s.full = func() bool { return s.w.Rand.IntN(6) == 0 }
	for _, index := range []func(context.Context, client.FieldIndexer) error{admission.Index, continuation.Index, runnerjob.Index, workspace.Index} {
		if err := index(t.Context(), s.w); err != nil {
			t.Fatal(err)
		}
	}
	scene := hourly()
	world.Add(s.w, scene.workspace)
	scene.recurring.Spec.History = &v1alpha1.History{Succeeded: new(int32(1)), Failed: new(int32(0))}
	scene.recurring.Status.CronJobGeneration = 1
	scene.recurring.Spec.Template.Args = &apiextensionsv1.JSON{Raw: []byte(largeArgs)}
	scene.recurring = world.Add(s.w, scene.recurring)
	scene.cronJob = nil
	world.Add(s.w, scene.decide().apply)
	for _, kind := range append(kinds, "Workspace", "CronJob") {
		s.w.HearAll(kind)
	}
	s.restart()
	return s
}

// simulateCalmly simulates a world in which nothing goes wrong by itself.
func simulateCalmly(t *testing.T, seed uint64) *simulation {
	t.Helper()
	s := simulate(t, seed)
	s.calm()
	s.restart()
	return s
}

// calm lets the operator live and the quota have room.
func (s *simulation) calm() {
	never := func() bool { return false }
	s.w.Restless, s.dies, s.full = false, never, never
}

// largeArgs are larger than what the cache holds.
const largeArgs = `{"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}`

// restart starts the operator as a new process.
func (s *simulation) restart() {
	s.w.Restart()
	s.w.HearAll("Workspace")
	s.w.HearAll("CronJob")
	c := s.w.Client()
	c.Dies = func() bool { return s.dies() }
	c.Created = func(object client.Object) {
		s.created[object.GetName()]++
		if run, ok := object.(*v1alpha1.WorkspaceJob); ok && string(run.Spec.Args.Raw) != largeArgs {
			s.Errorf("run %s has the args %s", run.Name, run.Spec.Args.Raw)
		}
	}
	c.Refuse = func(object client.Object) error {
		if s.full() {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "workspacejobs"}, object.GetName(), errors.New("exceeded quota"))
		}
		return nil
	}
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		s.Fatal(err)
	}
	s.r = New(Options{
		Client: c, APIReader: s.w.APIReader(), Reporter: report.New(c, &events.FakeRecorder{}, s.w.Clock), Clock: s.w.Clock, Metrics: metrics,
	})
}

// hour begins an hour, for which Kubernetes creates a Job or fails to.
func (s *simulation) hour() {
	next := s.w.Clock.Now().Truncate(time.Hour).Add(time.Hour)
	s.w.Clock.SetTime(next)
	if s.w.Rand.IntN(5) == 0 {
		s.pending++
		return
	}
	s.missed, s.pending = s.missed+s.pending, 0
	tick := tickOf(s.cronJob(), next)
	if s.w.Rand.IntN(10) == 0 {
		s.foreign++
		s.missed++
		world.Add(s.w, &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: tick.Namespace, Name: tick.Name}})
	} else {
		s.ticks[tick.Name]++
	}
	world.Add(s.w, tick)
}

// hear lets the cache learn of some changes of each kind.
func (s *simulation) hear() {
	for _, kind := range kinds {
		for range s.w.Rand.IntN(4) {
			s.w.Hear(kind)
		}
	}
}

// hearAll lets the cache learn of all changes of these kinds, or of all kinds that lag.
func (s *simulation) hearAll(of ...string) {
	if len(of) == 0 {
		of = kinds
	}
	for _, kind := range of {
		s.w.HearAll(kind)
	}
}

func (s *simulation) reconcile() {
	s.w.Sleep(time.Duration(s.w.Rand.IntN(4)) * time.Second)
	// The next reconcile retries what failed.
	if _, err := s.r.Reconcile(s.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s.recurring())}); err != nil {
		s.restart()
	}
	for _, run := range world.All[*v1alpha1.WorkspaceJob](s.w) {
		_, exists := world.Get[*batchv1.Job](s.w, client.ObjectKeyFromObject(run))
		if metav1.GetControllerOf(run) != nil && run.Status.State != v1alpha1.StateDeleted && !exists {
			s.Errorf("the Job of %s is gone, and with it the log", run.Name)
		}
	}
}

func (s *simulation) recurring() *v1alpha1.WorkspaceRecurringJob {
	return world.All[*v1alpha1.WorkspaceRecurringJob](s.w)[0]
}

func (s *simulation) cronJob() *batchv1.CronJob { return world.All[*batchv1.CronJob](s.w)[0] }

// play plays the job controller: some runs start and end, or are skipped.
func (s *simulation) play() {
	for _, run := range world.All[*v1alpha1.WorkspaceJob](s.w) {
		if metav1.GetControllerOf(run) == nil || run.Status.State.Final() || s.w.Rand.IntN(2) == 0 {
			continue
		}
		states := []v1alpha1.JobState{v1alpha1.StateSucceeded, v1alpha1.StateFailed, v1alpha1.StateDeleted}
		state := states[s.w.Rand.IntN(len(states))]
		tick, exists := world.Get[*batchv1.Job](s.w, client.ObjectKeyFromObject(run))
		switch {
		case !exists:
		case state == v1alpha1.StateDeleted:
			s.skipped++
			s.w.Remove(tick)
		default:
			s.w.Change(tick, func(tick client.Object) { start(tick, run) })
		}
		s.w.Change(run, func(run client.Object) { s.end(run, state) })
	}
}

// start starts a tick for its run.
func start(object client.Object, run *v1alpha1.WorkspaceJob) {
	if tick, ok := object.(*batchv1.Job); ok {
		tick.Annotations[v1alpha1.AnnotationJobUID], tick.Spec.Suspend = string(run.UID), new(false)
	}
}

func (s *simulation) end(object client.Object, state v1alpha1.JobState) {
	if run, ok := object.(*v1alpha1.WorkspaceJob); ok {
		run.Status.State, run.Status.FinishedAt = state, new(metav1.NewTime(s.w.Clock.Now()))
		run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonSkipped}}
	}
}

// comeToRest lets the operator live and learn of everything.
func (s *simulation) comeToRest() {
	s.calm()
	s.restart()
	for range 20 {
		s.hearAll()
		s.reconcile()
		s.play()
	}
}

func (s *simulation) judge() {
	for name := range s.ticks {
		if n := s.created[name]; n != 1 {
			s.Errorf("%s ran %d times", minutes([]string{name}), n)
		}
	}
	status := s.recurring().Status
	if len(s.created) != len(s.ticks) || status.MissedRuns != s.missed || status.SkippedRuns != s.skipped || len(status.Active) > 0 {
		s.Errorf("%d ticks, %d runs, %d missed, %d skipped; the status is %+v", len(s.ticks), len(s.created), s.missed, s.skipped, status)
	}
	if runs, ticks := world.All[*v1alpha1.WorkspaceJob](s.w), world.All[*batchv1.Job](s.w); len(runs) > 2+s.foreign || len(ticks) > 2 {
		s.Errorf("%d runs and %d Jobs are left", len(runs), len(ticks))
	}
	s.dies = func() bool { s.Error("an idle operator writes"); return true }
	s.reconcile()
}
