package runnerjob

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// troubleAfter is how long a pod may take to start before events are read.
const troubleAfter = 10 * time.Second

const (
	// IndexOwner has Jobs in the manager's cache by the UIDs of their owners.
	IndexOwner = "ownerUID"
	// indexPodOwner has pods in the manager's cache by the UIDs of their Jobs.
	indexPodOwner = "controllerUID"
)

// Index adds to the manager's cache the indexes that this package and its callers need.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &batchv1.Job{}, IndexOwner, func(object client.Object) []string {
		var uids []string
		for _, owner := range object.GetOwnerReferences() {
			uids = append(uids, string(owner.UID))
		}
		return uids
	})
	if err != nil {
		return err
	}
	return indexer.IndexField(ctx, &corev1.Pod{}, indexPodOwner, func(object client.Object) []string {
		if owner := metav1.GetControllerOf(object); owner != nil {
			return []string{string(owner.UID)}
		}
		return nil
	})
}

// Read observes job. Its pods are read from the cache, or from the API server if the cache of
// pods is behind that of Jobs. age is how long the Job's pod could have started. If it has not
// after ten seconds and its status does not say why, the events of both may.
func Read(ctx context.Context, cache, apiReader client.Reader, job *batchv1.Job, age time.Duration) (Observation, error) {
	pods, err := podsOf(ctx, cache, apiReader, job)
	if err != nil {
		return Observation{}, err
	}
	seen := Observe(job, pods)
	stuck := seen.End == nil && seen.StartedAt == nil && seen.Waiting == "" && age >= troubleAfter
	if !stuck {
		return seen, nil
	}
	about := []client.Object{job}
	for i := range pods {
		about = append(about, &pods[i])
	}
	seen.Waiting, err = trouble(ctx, apiReader, about...)
	return seen, err
}

func podsOf(ctx context.Context, cache, apiReader client.Reader, job *batchv1.Job) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := cache.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingFields{indexPodOwner: string(job.UID)})
	if finished := Finished(job); err == nil && finished != nil && !endSeen(finished, pods.Items) {
		err = apiReader.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.ControllerUidLabel: string(job.UID)})
	}
	if err != nil {
		return nil, fmt.Errorf("list the pods of Job %q: %w", job.Name, err)
	}
	return pods.Items, nil
}
