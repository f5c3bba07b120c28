package admission

import (
	"context"
	"fmt"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
)

// freshness compares the cache of a namespace with what the API server had when it was
// first asked. A new operator's cache may be filled by an API server that lags, and lack
// what the previous operator started.
type freshness struct {
	mutex   sync.Mutex
	missing map[string][]sighting // by namespace: what the cache has not reached
}

// sighting is an object as the API server showed it.
type sighting struct {
	kind    schema.GroupVersionKind
	name    string
	version string // the resource version that the cache must have, or a newer one
	gone    bool   // the API server has deleted it: only a newer version counts
}

func (f *freshness) reached(ctx context.Context, cache, apiReader client.Reader, namespace string) (bool, error) {
	f.mutex.Lock()
	missing, asked := f.missing[namespace]
	f.mutex.Unlock()
	var err error
	if !asked {
		if missing, err = compare(ctx, cache, apiReader, namespace); err != nil {
			return false, err
		}
	}
	// A list of its own: those that are reached must not stay in memory.
	var left []sighting
	for _, seen := range missing {
		ok, err := seen.reached(ctx, cache, apiReader, namespace)
		if err != nil {
			return false, err
		}
		if !ok {
			left = append(left, seen)
		}
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.missing == nil {
		f.missing = map[string][]sighting{}
	}
	f.missing[namespace] = left
	return len(left) == 0, nil
}

// compare returns what the cache has to reach. The cache is read first, so that an object
// that only the cache has was deleted, and not created between the two reads.
func compare(ctx context.Context, cache, apiReader client.Reader, namespace string) ([]sighting, error) {
	var held v1alpha1.WorkspaceJobList
	if err := cache.List(ctx, &held, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	seen, err := sightings(ctx, apiReader, namespace)
	if err != nil {
		return nil, err
	}
	return append(seen, leftovers(held.Items, seen)...), nil
}

// sightings lists all objects of the namespace that concern its queue.
func sightings(ctx context.Context, apiReader client.Reader, namespace string) ([]sighting, error) {
	var all []sighting
	for _, kind := range []schema.GroupVersionKind{
		batchv1.SchemeGroupVersion.WithKind("Job"), corev1.SchemeGroupVersion.WithKind("Pod"), v1alpha1.GroupVersion.WithKind("WorkspaceJob"),
	} {
		options := []client.ListOption{client.InNamespace(namespace)}
		if kind.Group != v1alpha1.Group {
			options = append(options, client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
		}
		err := cached.EachUncached(ctx, apiReader, kind, func(object *metav1.PartialObjectMetadata) {
			all = append(all, sighting{kind: kind, name: object.Name, version: object.ResourceVersion})
		}, options...)
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// leftovers returns the WorkspaceJobs that the cache had and the API server no longer has.
func leftovers(held []v1alpha1.WorkspaceJob, seen []sighting) []sighting {
	exists := map[string]bool{}
	for _, one := range seen {
		if one.kind.Kind == "WorkspaceJob" {
			exists[one.name] = true
		}
	}
	var gone []sighting
	for i := range held {
		if job := &held[i]; !exists[job.Name] {
			gone = append(gone, sighting{kind: v1alpha1.GroupVersion.WithKind("WorkspaceJob"), name: job.Name, version: job.ResourceVersion, gone: true})
		}
	}
	return gone
}

// reached reports whether the cache has the object in the version that was seen or a newer
// one, or the object is gone from both.
func (s sighting) reached(ctx context.Context, cache, apiReader client.Reader, namespace string) (bool, error) {
	key := client.ObjectKey{Namespace: namespace, Name: s.name}
	held := s.blank()
	err := cache.Get(ctx, key, held)
	if err == nil {
		order, err := resourceversion.CompareResourceVersion(held.GetResourceVersion(), s.version)
		if err != nil {
			return false, fmt.Errorf("%s %q: %w", s.kind.Kind, s.name, err)
		}
		return order > 0 || order == 0 && !s.gone, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, err
	}
	// The operator may list pods, but not get one.
	left := &metav1.PartialObjectMetadataList{}
	left.SetGroupVersionKind(s.kind.GroupVersion().WithKind(s.kind.Kind + "List"))
	err = apiReader.List(ctx, left, client.InNamespace(namespace), client.MatchingFields{metav1.ObjectNameField: s.name})
	if err != nil {
		return false, fmt.Errorf("read %s %q: %w", s.kind.Kind, s.name, err)
	}
	return len(left.Items) == 0, nil
}

func (s sighting) blank() client.Object {
	switch s.kind.Kind {
	case "Job":
		return &batchv1.Job{}
	case "Pod":
		return &corev1.Pod{}
	default:
		return &v1alpha1.WorkspaceJob{}
	}
}
