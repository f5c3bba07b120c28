package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func wantAuthor(t *testing.T, object metav1.Object, annotation, want string) {
	t.Helper()
	if got := v1alpha1.Author(object, annotation); got != want {
		t.Errorf("%s by %q, want %q; annotations %v in generation %d", annotation, got, want, object.GetAnnotations(), object.GetGeneration())
	}
}

func wantCreator(t *testing.T, object metav1.Object, want string) {
	t.Helper()
	if got := object.GetAnnotations()[v1alpha1.AnnotationCreatedBy]; got != want {
		t.Errorf("%s was created by %q, want %q", object.GetName(), got, want)
	}
}

func TestAJobSaysWhoDidWhat(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	wantCreator(t, enqueueLater(t, acme, "signed"), "ana")
	// The first cancellation changes the job, the second nothing.
	for range 2 {
		job, err := acme.Cancel(t.Context(), "signed")
		if err != nil {
			t.Fatal(err)
		}
		wantAuthor(t, job, v1alpha1.AnnotationCancelledBy, "ana")
		wantCreator(t, job, "ana")
	}
	testenv.Eventually(t, "the job is cancelled", func(ctx context.Context) error {
		_, err := acme.Requeue(ctx, "signed")
		return err
	})
	job, err := acme.Get(t.Context(), "signed")
	if err != nil {
		t.Fatal(err)
	}
	wantAuthor(t, job, v1alpha1.AnnotationRequeuedBy, "ana")
	wantAuthor(t, job, v1alpha1.AnnotationCancelledBy, "")
}

func TestARecurringJobSaysWhoDidWhat(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	apply := func(w *client.Workspace, schedule string) *v1alpha1.WorkspaceRecurringJob {
		recurring, err := w.AddOrUpdateRecurring(t.Context(), "signed", "report", nil, schedule)
		if err != nil {
			t.Fatal(err)
		}
		return recurring
	}
	wantCreator(t, apply(acme, "@yearly"), "ana")
	paused, err := acme.PauseRecurring(t.Context(), "signed")
	if err != nil {
		t.Fatal(err)
	}
	wantAuthor(t, paused, v1alpha1.AnnotationSuspendedBy, "ana")
	resumed, err := acme.ResumeRecurring(t.Context(), "signed")
	if err != nil {
		t.Fatal(err)
	}
	wantAuthor(t, resumed, v1alpha1.AnnotationResumedBy, "ana")
	wantAuthor(t, resumed, v1alpha1.AnnotationSuspendedBy, "")
	changed := apply(acme, "@monthly")
	wantCreator(t, changed, "ana")
	wantAuthor(t, changed, v1alpha1.AnnotationResumedBy, "")
	wantCreator(t, apply(client.New(env.Config).For("acme"), "@weekly"), "ana")
	triggered, err := acme.Trigger(t.Context(), "signed", client.After("no-such-parent"))
	if err != nil {
		t.Fatal(err)
	}
	wantCreator(t, triggered, "ana")
}

// TestAWrongNameCostsNoJob checks that a client that is mistaken about its user, because its
// credentials have changed, still does what it should, and that its object names nobody.
func TestAWrongNameCostsNoJob(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme").By("petra")
	testenv.Eventually(t, "the policy is in force", func(ctx context.Context) error {
		forged := objects.MakeWorkspaceJob("forged").In(acme.Namespace()).With(func(job *v1alpha1.WorkspaceJob) {
			job.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "petra"}
		}).Obj()
		if err := env.Client.Create(ctx, forged, kube.DryRunAll); !apierrors.IsForbidden(err) {
			return fmt.Errorf("a forged name is not refused: %w", err)
		}
		return nil
	})
	wantCreator(t, enqueueLater(t, acme, "mistaken"), "")
	job, err := acme.Cancel(t.Context(), "mistaken")
	if err != nil || !job.Spec.Cancelled {
		t.Fatalf("%+v, %v", job.Spec, err)
	}
	wantAuthor(t, job, v1alpha1.AnnotationCancelledBy, "")
	recurring, err := acme.AddOrUpdateRecurring(t.Context(), "mistaken", "report", nil, "@yearly")
	_, paused := acme.PauseRecurring(t.Context(), "mistaken")
	if err := errors.Join(err, paused); err != nil {
		t.Fatal(err)
	}
	wantCreator(t, recurring, "")
}
