package runnerjob

import (
	"context"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// trouble returns the newest warning that Kubernetes has about the objects, a Job and
// then its pods: a quota that refuses the pod, a volume that can't be mounted. For what a
// pod's own status says, see [Observe]. It reads events, which the cache does not hold.
func trouble(ctx context.Context, apiReader client.Reader, objects ...client.Object) (string, error) {
	var newest *corev1.Event
	for _, object := range objects {
		var events corev1.EventList
		if err := apiReader.List(ctx, &events, client.InNamespace(object.GetNamespace()), client.MatchingFields{
			"involvedObject.uid": string(object.GetUID()), "type": corev1.EventTypeWarning,
		}); err != nil {
			return "", fmt.Errorf("list the events of %q: %w", object.GetName(), err)
		}
		for i := range events.Items {
			if e := &events.Items[i]; newest == nil || lastSeen(newest) < lastSeen(e) {
				newest = e
			}
		}
	}
	if newest == nil {
		return "", nil
	}
	return fmt.Sprintf("its pod can't start (%s): %s", newest.Reason, nameless(newest, objects[0].GetName())), nil
}

// nameless removes the random suffix from the names of a Job's pods. The Job controller tries a
// new name each time, and the message must not change with it.
func nameless(e *corev1.Event, job string) string {
	return regexp.MustCompile(regexp.QuoteMeta(job)+`-[a-z0-9]{5}\b`).ReplaceAllString(e.Message, job+"-*")
}

// lastSeen returns when an event was last seen, in seconds. An event of the newer kind has
// no lastTimestamp until it is repeated.
func lastSeen(e *corev1.Event) int64 {
	at := e.CreationTimestamp.Unix()
	if e.Series != nil {
		at = max(at, e.Series.LastObservedTime.Unix())
	}
	if !e.LastTimestamp.IsZero() {
		at = max(at, e.LastTimestamp.Unix())
	}
	return at
}
