package admission

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestAFreshCacheIsNotRemembered checks that a namespace's objects cost no memory once the cache
// has been found to be fresh.
func TestAFreshCacheIsNotRemembered(t *testing.T) {
	t.Parallel()
	w := world.New(1, time.Now())
	world.Add(w, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "pod", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}}})
	w.HearAll("Pod")
	var f freshness
	fresh, err := f.reached(t.Context(), w.Client(), w.APIReader(), "acme")
	if err != nil || !fresh {
		t.Fatalf("fresh: %t, %v", fresh, err)
	}
	if kept := cap(f.missing["acme"]); kept > 0 {
		t.Errorf("%d objects are remembered", kept)
	}
}
