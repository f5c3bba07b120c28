package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// jobTakes bounds one job.
	jobTakes = 2 * time.Minute
	// pause between two polls; nothing is timed by them.
	pause = 50 * time.Millisecond
)

type bench struct {
	client    client.Client
	clientset *kubernetes.Clientset
	namespace string
	// id makes the names of one run differ from those of another.
	id int64
	// template is the pod of a WorkspaceJob's attempt.
	template corev1.PodTemplateSpec
}

// workspaceJob measures from the creation of a WorkspaceJob to the first line that its
// runner logs, when it has the run's lease and calls the handler.
func (b *bench) workspaceJob(ctx context.Context, number int) (time.Duration, error) {
	job := &v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: fmt.Sprintf("bench-%d-%d", b.id, number)},
		Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{
			Handler: "sql", Args: &apiextensionsv1.JSON{Raw: []byte(`{"statements": ["SELECT 1"]}`)},
		}},
	}
	created, err := b.create(ctx, job)
	if err != nil {
		return 0, err
	}
	defer b.remove(ctx, job)
	err = b.until(ctx, "WorkspaceJob "+job.Name, func(ctx context.Context) (bool, error) {
		err := b.client.Get(ctx, client.ObjectKeyFromObject(job), job)
		return job.Status.State.Final(), err
	})
	if err != nil {
		return 0, err
	}
	if job.Status.State != v1alpha1.StateSucceeded {
		return 0, fmt.Errorf("WorkspaceJob %s is %s: %s", job.Name, job.Status.State, job.Status.Message)
	}
	attempt := &batchv1.Job{}
	if err := b.client.Get(ctx, client.ObjectKey{Namespace: b.namespace, Name: job.Status.Attempts[0].Job}, attempt); err != nil {
		return 0, err
	}
	b.template = attempt.Spec.Template
	return b.firstLine(ctx, attempt, created)
}

// rawJob measures from the creation of a Job with the same pod to the first line of
// its process, which lists the image's handlers and ends.
func (b *bench) rawJob(ctx context.Context, number int) (time.Duration, error) {
	template := *b.template.DeepCopy()
	template.ObjectMeta = metav1.ObjectMeta{Annotations: template.Annotations}
	template.Spec.Containers[0].Args = []string{"handlers"}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: fmt.Sprintf("bench-raw-%d-%d", b.id, number)},
		Spec:       batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: template},
	}
	created, err := b.create(ctx, job)
	if err != nil {
		return 0, err
	}
	defer b.remove(ctx, job)
	err = b.until(ctx, "Job "+job.Name, func(ctx context.Context) (bool, error) {
		err := b.client.Get(ctx, client.ObjectKeyFromObject(job), job)
		return job.Status.Succeeded+job.Status.Failed > 0, err
	})
	if err != nil {
		return 0, err
	}
	return b.firstLine(ctx, job, created)
}

// create returns when it requested the object. It retries a conflict: the API server counts
// other objects against the same quota at the same time.
func (b *bench) create(ctx context.Context, object client.Object) (requested time.Time, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		requested = time.Now()
		return b.client.Create(ctx, object)
	})
	return requested, err
}

// firstLine returns how long after created the Job's pod wrote the first line of its log, by
// the node's clock: measure on a cluster on this machine.
func (b *bench) firstLine(ctx context.Context, job *batchv1.Job, created time.Time) (time.Duration, error) {
	var pods corev1.PodList
	if err := b.client.List(ctx, &pods, client.InNamespace(b.namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return 0, err
	}
	if len(pods.Items) != 1 {
		return 0, fmt.Errorf("the Job %s has %d pods", job.Name, len(pods.Items))
	}
	stream, err := b.clientset.CoreV1().Pods(b.namespace).GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{Timestamps: true}).Stream(ctx)
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	if err != nil {
		return 0, err
	}
	stamp, _, _ := strings.Cut(string(text), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return 0, fmt.Errorf("the log of the Job %s: %w", job.Name, err)
	}
	return at.Sub(created), nil
}

func (b *bench) until(ctx context.Context, what string, done wait.ConditionWithContextFunc) error {
	return until(ctx, jobTakes, what+" ends", done)
}

// remove deletes an object and what it owns.
func (b *bench) remove(ctx context.Context, object client.Object) {
	if err := b.client.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		fmt.Printf("  %s is left: %v\n", object.GetName(), err)
	}
}
