package testenv_test

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// answering answers each call of Create with the next of its errors.
type answering struct {
	client.Client
	answers []error
}

func (a *answering) Create(context.Context, client.Object, ...client.CreateOption) error {
	next := a.answers[0]
	a.answers = a.answers[1:]
	return next
}

func TestConflictsOfACreateAreRetried(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "resourcequotas"}, "workspace-jobs", nil)
	exists := apierrors.NewAlreadyExists(schema.GroupResource{Resource: "pods"}, "a")
	for name, answers := range map[string][]error{"created": {conflict, conflict, nil}, "refused": {conflict, exists}, "at once": {nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &answering{answers: answers}
			if err := testenv.RetryCreate(api).Create(t.Context(), &corev1.Pod{}); !errors.Is(err, answers[len(answers)-1]) || len(api.answers) > 0 {
				t.Errorf("%v with %d answers left", err, len(api.answers))
			}
		})
	}
}
