// Package logs reads the logs of attempts with their caller's rights.
package logs

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

var (
	// ErrGone is returned when the attempt has no pod any more, or has none yet.
	ErrGone = errors.New("the log of this attempt was deleted with its pod")
	// ErrNotStarted is returned when the attempt's pod is there but its process is not.
	ErrNotStarted = errors.New("there is no log yet: the attempt's process has not started")
	// ErrNoAnswer is returned when the API server can't reach the node. Its own text has
	// addresses in it.
	ErrNoAnswer = errors.New("the node that has the log does not answer: try again later")
)

// Right is what reading a log takes.
var Right = auth.Right{Verb: "get", Resource: "pods/log"}

// Source is an attempt whose log somebody reads.
type Source struct {
	Caller    *auth.Caller
	Namespace string
	Attempt   *v1alpha1.Attempt
	// Recheck is how often the cluster is asked whether the caller may still read the log.
	Recheck time.Duration
}

// Log is the log of one attempt.
type Log struct {
	content io.ReadCloser
	reading context.Context // ends when the log must not be read any more
	stop    context.CancelCauseFunc
}

// Open opens a log. The API server checks the caller's right only at this point, and a log may
// be followed for hours. So reading ends with [auth.ErrRevoked] or [auth.ErrUnauthenticated]
// soon after the right or the token is gone.
func (s Source) Open(ctx context.Context, options corev1.PodLogOptions) (*Log, error) {
	pod, err := s.pod(ctx)
	if err != nil {
		return nil, err
	}
	options.Container = v1alpha1.RunnerContainer
	reading, stop := context.WithCancelCause(ctx)
	content, err := s.Caller.Pods(s.Namespace).Log(reading, pod, &options)
	if err != nil {
		stop(err)
		return nil, explain(err)
	}
	go s.guard(reading, stop)
	return &Log{content, reading, stop}, nil
}

// guard stops a reader who may not read any more.
func (s Source) guard(reading context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(s.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-reading.Done():
			return
		case <-tick.C:
		}
		if err := s.Caller.StillMay(reading, s.Namespace, Right); err != nil {
			stop(err)
			return
		}
	}
}

// Read reads what was written next, and waits for it if the log is followed.
func (l *Log) Read(into []byte) (int, error) {
	n, err := l.content.Read(into)
	if err == nil {
		return n, nil
	}
	if cause := context.Cause(l.reading); cause != nil {
		err = cause
	}
	return n, err
}

// Close ends reading.
func (l *Log) Close() error {
	l.stop(context.Canceled)
	return l.content.Close()
}

// podsAtOnce are read by one list. An attempt has one pod, and one more for each drained
// node.
const podsAtOnce = 50

// pod returns the name of the newest pod that the attempt's Job has made.
func (s Source) pod(ctx context.Context) (string, error) {
	if s.Attempt.JobUID == "" {
		return "", ErrGone
	}
	var newest *corev1.Pod
	options := metav1.ListOptions{LabelSelector: batchv1.ControllerUidLabel + "=" + string(s.Attempt.JobUID), Limit: podsAtOnce}
	for {
		list, err := s.Caller.Pods(s.Namespace).List(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			if pod := &list.Items[i]; newest == nil || newest.CreationTimestamp.Before(&pod.CreationTimestamp) {
				newest = pod
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			break
		}
	}
	if newest == nil {
		return "", ErrGone
	}
	return newest.Name, nil
}

// explain returns why Kubernetes gives no log.
func explain(err error) error {
	var status apierrors.APIStatus
	switch {
	case apierrors.IsNotFound(err):
		return ErrGone
	case apierrors.IsBadRequest(err):
		return ErrNotStarted
	case errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError:
		return ErrNoAnswer
	}
	return err
}
