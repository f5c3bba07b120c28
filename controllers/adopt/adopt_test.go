package adopt_test

import (
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/controllers/adopt"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	owned := func(uid string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "job-1", Annotations: map[string]string{"owner": uid}}}
	}
	for name, c := range map[string]struct {
		holder  *batchv1.Job
		refuse  error
		want    string // whose the object is
		exists  bool
		refused bool
	}{
		"the name is free":             {want: "mine"},
		"it was made before a crash":   {holder: owned("mine"), want: "mine", exists: true},
		"another owner's has its name": {holder: owned("another"), exists: true},
		"a quota forbids it":           {refuse: apierrors.NewForbidden(schema.GroupResource{}, "job-1", errors.New("exceeded quota")), refused: true},
	} {
		w := world.New(1, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		if c.holder != nil {
			// The answer must be the holder alone, without fields of the wanted object.
			c.holder.Labels = map[string]string{"since": "before"}
			world.Add(w, c.holder)
		}
		writer := w.Client()
		writer.Refuse = func(client.Object) error { return c.refuse }
		wanted := owned("mine")
		wanted.Spec.Parallelism = new(int32(7))
		answer, err := adopt.Create(t.Context(), writer, w.APIReader(), wanted, func(found *batchv1.Job) bool { return found.Annotations["owner"] == "mine" })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (answer.Object != nil) != (c.want != "") || (answer.Foreign != nil) != (c.exists && c.want == "") {
			t.Errorf("%s: %+v", name, answer)
		}
		if (answer.Refusal != nil && answer.Refusal.Kind == report.Forbidden) != c.refused {
			t.Errorf("%s: refused: %+v", name, answer.Refusal)
		}
		if c.exists && answer.Object != nil && (answer.Object.Labels["since"] != "before" || answer.Object.Spec.Parallelism != nil) {
			t.Errorf("%s: the object is a mixture: %+v", name, answer.Object)
		}
	}
}

// TestAnErrorIsReturned checks that only an answer counts: the Job that has the name might
// be the one that was sent, or an earlier one.
func TestAnErrorIsReturned(t *testing.T) {
	t.Parallel()
	w := world.New(1, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "job-1"}}
	world.Add(w, job.DeepCopy())
	writer := w.Client()
	writer.Fails = func() bool { return true }
	answer, err := adopt.Create(t.Context(), writer, w.APIReader(), job, func(*batchv1.Job) bool { return true })
	if !apierrors.IsInternalError(err) || answer.Object != nil {
		t.Errorf("%+v, %v", answer, err)
	}
}
