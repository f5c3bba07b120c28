package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

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

// TestWhatMustNeverHappen runs the real reconciler and the real queues in a simulated world,
// in which every watch lags, any write may fail, and the operator may die at any write. It
// checks that no more jobs run at once than the limit, no two with one concurrencyKey, no
// two runs of a series whose policy forbids it and no two attempts of one job, that no
// attempt runs twice, that no status is wrong, that no job that could run is forgotten, and
// that no change that matters to a job fails to wake it.
func TestWhatMustNeverHappen(t *testing.T) {
	t.Parallel()
	for seed := range uint64(quick.Few(200)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := simulate(t, seed)
			for number := range 150 {
				s.disturb(number)
				for range s.w.Rand.IntN(4) {
					s.hear(kinds[s.w.Rand.IntN(len(kinds))])
				}
				for range s.w.Rand.IntN(4) {
					s.step()
				}
				if s.w.Rand.IntN(15) == 0 {
					s.catchUp()
					s.wantAwake(progress)
					s.mortal = true
				}
			}
			s.comeToRest()
			s.judge()
			s.wantAwake(everything)
		})
	}
}

// kinds are those that the operator watches and whose cache lags. Workspaces and recurring
// jobs do not lag.
var kinds = []string{"WorkspaceJob", "Job", "Pod"}

// simulation simulates one namespace.
type simulation struct {
	*testing.T
	w *world.World
	r *Reconciler
	// work names the jobs to reconcile; later names those that come again by themselves, soon.
	work, later map[string]bool
	// stubborn are the jobs whose Jobs the API server always refuses.
	stubborn map[string]bool
	// refused, if it is not nil, may refuse what the operator creates.
	refused func(client.Object) error
	// attempts are the names of all Jobs that ever existed.
	attempts map[string]bool
	// runs counts the Jobs that each run had.
	runs map[string]int
	// mortal says that the operator may die at a write.
	mortal bool
}

func simulate(t *testing.T, seed uint64) *simulation {
	t.Helper()
	s := &simulation{
		T: t, w: world.New(seed, born), stubborn: map[string]bool{}, attempts: map[string]bool{}, runs: map[string]int{}, mortal: true,
	}
	s.w.Trim = cached.Trim
	for _, index := range []func(context.Context, client.FieldIndexer) error{admission.Index, continuation.Index, runnerjob.Index, workspace.Index} {
		if err := index(t.Context(), s.w); err != nil {
			t.Fatal(err)
		}
	}
	ws := readyWorkspace()
	ws.Generation, ws.Status.Conditions[0].ObservedGeneration = 1, 1
	ws.Spec.Concurrency = new(int32(3))
	world.Add(s.w, ws)
	for _, policy := range policies {
		world.Add(s.w, &v1alpha1.WorkspaceRecurringJob{
			ObjectMeta: metaOf("series-" + string(policy)),
			Spec:       v1alpha1.WorkspaceRecurringJobSpec{ConcurrencyPolicy: policy, Template: template()},
		})
	}
	s.restart()
	return s
}

var policies = []v1alpha1.ConcurrencyPolicy{v1alpha1.PolicyForbid, v1alpha1.PolicyAllow, v1alpha1.PolicyReplace, v1alpha1.PolicyQueue}

// largeArgs are larger than what the cache holds.
const largeArgs = `{"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}`

// template returns that of a job that is tried three times, without delays.
func template() v1alpha1.JobTemplate {
	return makeJob().Retries(2, 0).Backoff(3, 0).With(func(job *v1alpha1.WorkspaceJob) {
		job.Spec.Args = &apiextensionsv1.JSON{Raw: []byte(largeArgs)}
	}).Template()
}

// restart starts the operator as a new process, which reconciles all that its cache has.
func (s *simulation) restart() {
	s.w.Restart()
	s.w.HearAll("Workspace")
	s.w.HearAll("WorkspaceRecurringJob")
	c := s.w.Client()
	c.Dies = func() bool { return s.mortal && s.w.Rand.IntN(50) == 0 }
	c.Fails = func() bool { return s.mortal && s.w.Rand.IntN(30) == 0 }
	c.Refuse, c.Created = s.refuse, s.created
	metrics, err := NewMetrics(prometheus.NewRegistry(), c, s.w.Clock)
	if err != nil {
		s.Fatal(err)
	}
	s.r = New(Options{
		Client: c, APIReader: s.w.APIReader(), Reporter: report.New(c, &events.FakeRecorder{}, s.w.Clock), Clock: s.w.Clock, Metrics: metrics,
		Queues: admission.New(&admission.Cluster{Client: c, APIReader: s.w.APIReader(), Clock: s.w.Clock}),
		Limits: Limits{Pending: time.Hour, Parent: time.Hour},
	})
	s.work, s.later = map[string]bool{}, map[string]bool{}
	for _, job := range world.AllCached[*v1alpha1.WorkspaceJob](s.w) {
		s.work[job.Name] = true
	}
	for _, child := range world.AllCached[*batchv1.Job](s.w) {
		s.wake(jobOfChild(s.Context(), child))
	}
}

func (s *simulation) refuse(object client.Object) error {
	if s.refused != nil {
		return s.refused(object)
	}
	if s.stubborn[object.GetLabels()[v1alpha1.LabelJob]] {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, object.GetName(), errors.New("a policy forbids it"))
	}
	return nil
}

// hear handles a change: it wakes the jobs that the real watch would wake.
func (s *simulation) hear(kind string) bool {
	change, ok := s.w.Hear(kind)
	if !ok && len(s.w.Unheard) > 0 {
		change, s.w.Unheard, ok = s.w.Unheard[0], s.w.Unheard[1:], true
	}
	if !ok {
		return false
	}
	s.wakeFor(change)
	return true
}

func (s *simulation) wakeFor(change world.Change) {
	object := change.New
	if object == nil {
		object = change.Old
	}
	if object == nil {
		return // It was created and deleted before the cache showed it.
	}
	if change.Kind != "WorkspaceJob" {
		s.wake(jobOfChild(s.Context(), object))
		return
	}
	s.work[object.GetName()] = true
	relatives, queue := s.r.onRelatives(), &woken{work: s.work}
	switch {
	case change.Old == nil:
		relatives.Create(s.Context(), event.CreateEvent{Object: change.New}, queue)
	case change.New == nil:
		relatives.Delete(s.Context(), event.DeleteEvent{Object: change.Old}, queue)
	default:
		relatives.Update(s.Context(), event.UpdateEvent{ObjectOld: change.Old, ObjectNew: change.New}, queue)
	}
}

// woken is the part of a work queue that watches use.
type woken struct {
	requests
	work map[string]bool
}

func (q *woken) Add(request reconcile.Request) { q.work[request.Name] = true }

func (s *simulation) wake(requests []reconcile.Request) {
	for _, request := range requests {
		s.work[request.Name] = true
	}
}

// step reconciles one job.
func (s *simulation) step() bool {
	names := slices.Sorted(maps.Keys(s.work))
	if len(names) == 0 {
		return false
	}
	name := names[s.w.Rand.IntN(len(names))]
	delete(s.work, name)
	s.w.Restless = true
	result, err := s.r.Reconcile(s.Context(), ctrl.Request{NamespacedName: key(name)})
	s.w.Restless = false
	if errors.Is(err, world.ErrDied) {
		s.restart()
		return true
	}
	switch {
	case apierrors.IsInternalError(err):
		s.work[name] = true
	case err != nil:
		s.Errorf("reconcile %s: %v", name, err)
	}
	s.judgeFinal(name)
	// A longer wait is ignored: a change has to wake the job earlier.
	if result.RequeueAfter > 0 && result.RequeueAfter <= report.Soon {
		s.later[name] = true
	}
	for len(s.r.turns) > 0 {
		turn := <-s.r.turns
		s.work[turn.Object.Name] = true
	}
	return true
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "workspace-acme", Name: name}
}

// advance handles one change of each kind and reconciles one job. It reports whether there
// was anything to do.
func (s *simulation) advance() bool {
	moved := false
	for _, kind := range kinds {
		moved = s.hear(kind) || moved
	}
	return s.step() || moved
}

// catchUp lets the operator live, learn of everything and act on it.
func (s *simulation) catchUp() {
	s.mortal = false
	for s.advance() {
	}
}

// comeToRest lets the operator live and learn of everything, and ends what runs.
func (s *simulation) comeToRest() {
	s.catchUp()
	for rounds, moved := 0, true; moved; rounds++ {
		if rounds > 100_000 {
			s.Fatal("it does not come to rest")
		}
		moved = s.advance() || s.play() || s.w.Collect()
		if !moved && len(s.later) > 0 {
			s.w.Sleep(time.Second)
			maps.Copy(s.work, s.later)
			clear(s.later)
			moved = true
		}
	}
}
