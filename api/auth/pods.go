package auth

import (
	"context"
	"errors"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// podsAtOnce are read by one list. An attempt has one pod, and one more for each drained
// node.
const podsAtOnce = 50

// ErrNoPod: the attempt has no pod any more, or not yet.
var ErrNoPod = errors.New("the log of this attempt is gone with its pod")

// PodOf an attempt is the newest that its Job has made; or [ErrNoPod].
func (c *Caller) PodOf(ctx context.Context, namespace string, attempt *v1alpha1.Attempt) (*corev1.Pod, error) {
	if attempt.JobUID == "" {
		return nil, ErrNoPod
	}
	var newest *corev1.Pod
	options := metav1.ListOptions{LabelSelector: batchv1.ControllerUidLabel + "=" + string(attempt.JobUID), Limit: podsAtOnce}
	for {
		list, err := c.clientset.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			if pod := &list.Items[i]; newest == nil || newest.CreationTimestamp.Before(&pod.CreationTimestamp) {
				newest = pod
			}
		}
		if options.Continue = list.Continue; options.Continue != "" {
			continue
		}
		if newest == nil {
			return nil, ErrNoPod
		}
		return newest, nil
	}
}
