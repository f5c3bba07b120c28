package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// reporting is a Reporter in a world with one job.
type reporting struct {
	*Reporter
	w      *world.World
	client *world.Client
	events chan string
	job    *v1alpha1.WorkspaceJob
}

func newReporting(t *testing.T) *reporting {
	t.Helper()
	r := &reporting{w: world.New(1, now), events: make(chan string, 10)}
	r.client = r.w.Client()
	r.Reporter = New(r.client, &events.FakeRecorder{Events: r.events}, r.w.Clock)
	r.job = world.Add(r.w, &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "job"}})
	return r
}

// change returns a change to a status with this message.
func (r *reporting) change(text string, counted *int) Change {
	after := r.job.DeepCopy()
	after.Status.Message = text
	return Change{
		Before: r.job, After: after, Count: func() { *counted++ },
		Events: []Event{{Type: "Normal", Reason: "Reported", Note: text}},
	}
}

// report reports the change.
func (r *reporting) report(t *testing.T, c Change) error {
	t.Helper()
	after, ok := c.After.(*v1alpha1.WorkspaceJob)
	if !ok {
		t.Fatalf("%T is not a job", c.After)
	}
	return r.Report(t.Context(), &r.job.Status, &after.Status, func() Change { return c })
}

func TestEventsAndMetricsFollowTheStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*reporting)
		text    string
		written bool
	}{
		"a change":  {func(*reporting) {}, "news", true},
		"no change": {func(*reporting) {}, "", false},
		"somebody wrote in between": {func(r *reporting) {
			r.w.Change(r.job, func(o client.Object) { o.SetLabels(map[string]string{"a": "b"}) })
		}, "news", false},
		"the object is gone":            {func(r *reporting) { r.w.Remove(r.job) }, "news", false},
		"the operator dies before that": {func(r *reporting) { r.client.Dies = func() bool { return true } }, "news", false},
	} {
		r, counted := newReporting(t), 0
		c.prepare(r)
		err := r.report(t, r.change(c.text, &counted))
		if (err == nil) != (c.written || c.text == "") {
			t.Errorf("%s: %v", name, err)
		}
		if sent := len(r.events); (sent == 1) != c.written || (counted == 1) != c.written {
			t.Errorf("%s: %d events, counted %d times", name, sent, counted)
		}
		if r.Behind(r.job) != c.written {
			t.Errorf("%s: the job as it was before is believed: %t", name, c.written)
		}
	}
}

func TestNotesAndMessagesAreClipped(t *testing.T) {
	t.Parallel()
	r, counted := newReporting(t), 0
	long := strings.Repeat("é", 5000)
	change := r.change("news", &counted)
	change.Events[0].Note = long
	if err := r.report(t, change); err != nil {
		t.Fatal(err)
	}
	if note := <-r.events; len(note) > MaxNote+len("Normal Reported ") {
		t.Errorf("a note of %d bytes", len(note))
	}
	var list []metav1.Condition
	Conditions{List: &list, Generation: 1, Now: now}.Summarize(Finding{Phase: Stalled, Reason: "Why", Message: long})
	for _, c := range list {
		if len(c.Message) > MaxMessage {
			t.Errorf("%s has a message of %d bytes", c.Type, len(c.Message))
		}
	}
}

func TestConditionsFollowThePhase(t *testing.T) {
	t.Parallel()
	var list []metav1.Condition
	for phase, want := range map[Phase]string{
		Ready:       "True - -",
		Progressing: "False True -",
		Stalled:     "False - True",
	} {
		Conditions{List: &list, Generation: 3, Now: now}.Summarize(Finding{Phase: phase, Reason: "Why", Message: "so"})
		var got []string
		for _, kind := range []string{"Ready", "Reconciling", "Stalled"} {
			value := "-"
			if c := meta.FindStatusCondition(list, kind); c != nil {
				value = string(c.Status)
				if c.ObservedGeneration != 3 {
					t.Errorf("%s is about generation %d", kind, c.ObservedGeneration)
				}
			}
			got = append(got, value)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("phase %d: Ready, Reconciling, Stalled are %s, want %s", phase, text, want)
		}
	}
}

func TestErrorsAreSorted(t *testing.T) {
	t.Parallel()
	r, counted := newReporting(t), 0
	r.w.Remove(r.job)
	gone := r.report(t, r.change("news", &counted))
	if result, err := Result(fmt.Errorf("on the way: %w", gone)); err != nil || result.RequeueAfter != Soon {
		t.Errorf("an object that is gone: %v, %v", result, err)
	}
	down := errors.New("connection refused")
	for _, errs := range [][]error{{down, gone}, {gone, down}, {nil, down}} {
		if _, err := Result(errs...); !errors.Is(err, down) {
			t.Errorf("%v become %v", errs, err)
		}
	}
	if result, err := Result(nil, gone); err != nil || result.RequeueAfter != Soon {
		t.Errorf("a passing error together with none: %v, %v", result, err)
	}
	if result, err := Result(nil); err != nil || result.RequeueAfter != 0 {
		t.Errorf("no error: %v, %v", result, err)
	}
	for _, err := range []error{errors.New("connection refused"), apierrors.NewAlreadyExists(schema.GroupResource{}, "job")} {
		if _, got := Result(err); got == nil {
			t.Errorf("an error that is worth a retry is swallowed: %v", err)
		}
	}
}

func TestAnInvalidStatusIsNotRetried(t *testing.T) {
	t.Parallel()
	r, counted := newReporting(t), 0
	r.client.RefuseStatus = func(object client.Object) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "WorkspaceJob"}, object.GetName(), nil)
	}
	if err := r.report(t, r.change("news", &counted)); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("it is retried: %v", err)
	}
}

func TestAnswersOfTheAPIServer(t *testing.T) {
	t.Parallel()
	jobs := schema.GroupResource{Group: "batch", Resource: "jobs"}
	terminating := apierrors.NewForbidden(jobs, "job-1", errors.New("the namespace is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, c := range map[string]struct {
		err     error
		passing bool
		refusal *RefusalKind
		retry   time.Duration
	}{
		"a conflict":    {err: apierrors.NewConflict(jobs, "job-1", nil), passing: true},
		"gone":          {err: apierrors.NewNotFound(jobs, "job-1"), passing: true},
		"there already": {err: apierrors.NewAlreadyExists(jobs, "job-1")},
		"another has the name now": {err: apierrors.NewInvalid(schema.GroupKind{Kind: "Job"}, "job-1", field.ErrorList{
			field.Invalid(field.NewPath("metadata", "uid"), "uid-1", "field is immutable"),
		}), passing: true},
		"a namespace that ends": {err: terminating, passing: true, refusal: new(NamespaceTerminating), retry: quotaRetry},
		"a quota":               {err: apierrors.NewForbidden(jobs, "job-1", errors.New("exceeded quota")), refusal: new(Forbidden), retry: quotaRetry},
		"a rule of the schema":  {err: apierrors.NewInvalid(schema.GroupKind{Kind: "Job"}, "job-1", nil), refusal: new(Invalid), retry: invalidRetry},
		"what can't be decoded": {err: apierrors.NewBadRequest("no Job"), refusal: new(Invalid), retry: invalidRetry},
		"what is too large":     {err: apierrors.NewRequestEntityTooLargeError("3 MiB"), refusal: new(Invalid), retry: invalidRetry},
		"a fault of the server": {err: apierrors.NewInternalError(errors.New("etcd is down"))},
		"no answer":             {err: errors.New("connection refused")},
		"no error":              {},
	} {
		wrapped := c.err
		if c.err != nil {
			wrapped = fmt.Errorf("create Job: %w", c.err)
		}
		if got := Passing(wrapped); got != c.passing {
			t.Errorf("%s: passing: %t", name, got)
		}
		refusal := RefusalOf(wrapped)
		switch {
		case (refusal == nil) != (c.refusal == nil):
			t.Errorf("%s: a refusal: %+v", name, refusal)
		case refusal != nil && (refusal.Kind != *c.refusal || refusal.RetryAfter() != c.retry || refusal.Message != wrapped.Error()):
			t.Errorf("%s: %+v, again after %s", name, refusal, refusal.RetryAfter())
		}
	}
}
