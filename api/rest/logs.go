package rest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	logGone = "the log of this attempt is gone with its pod"
	// linePart is the longest part of a line that one event holds, in bytes.
	linePart = 64 << 10
)

// LogEvent is a line of a log, or a part of a long one.
type LogEvent struct {
	Line string `json:"line"`
}

type logsInput struct {
	JobPath
	LastEvent
	Attempt int32  `query:"attempt" minimum:"1" doc:"Its number; the newest attempt unless set"`
	Follow  bool   `query:"follow" doc:"Go on until the attempt has ended"`
	Accept  string `header:"Accept" hidden:"true"`
}

func (s *server) logs(api huma.API, path string) {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	addStream(s, api, huma.Operation{
		OperationID: "read-log", Method: http.MethodGet, Path: path, Tags: []string{"jobs"}, Summary: "Read the log of an attempt",
		Responses: map[string]*huma.Response{"200": {
			Description: "What the handler printed. As server-sent events: `log`, with a JSON object that has a `line`, and at the end `end`.",
			Content:     map[string]*huma.MediaType{"text/plain": text, "text/event-stream": text},
		}},
	}, s.readLog)
}

func (s *server) readLog(ctx context.Context, c *call, in *logsInput) (*huma.StreamResponse, error) {
	ws, err := in.find(ctx, c)
	if err != nil {
		return nil, err
	}
	events := strings.Contains(in.Accept, "text/event-stream")
	options := &corev1.PodLogOptions{Container: v1alpha1.RunnerContainer, Follow: in.Follow, Timestamps: events}
	if in.LastEventID != "" {
		since, err := time.Parse(time.RFC3339Nano, in.LastEventID)
		if err != nil {
			return nil, refused("header.Last-Event-ID", "this is no id of an event of this stream")
		}
		options.SinceTime = new(metav1.NewTime(since))
	}
	pods := c.caller.Kubernetes().CoreV1().Pods(ws.Status.Namespace)
	pod, err := podOf(ctx, c, ws, pods, in)
	if err != nil {
		return nil, err
	}
	log, err := pods.GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return nil, noLog(err)
	}
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		defer log.Close()
		if !events {
			_, _ = io.Copy(begin(answer, "text/plain; charset=utf-8"), log) // who has gone away needs no more of it
			return
		}
		sendLines(begin(answer, "text/event-stream"), log, in.LastEventID)
	}}, nil
}

// podOf is the name of the attempt's newest pod.
func podOf(ctx context.Context, c *call, ws *v1alpha1.Workspace, pods corev1client.PodInterface, in *logsInput) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	job, err := c.caller.In(ws.Status.Namespace).Get(ctx, in.Name)
	if err != nil {
		return "", err
	}
	attempt := attemptOf(job, in.Attempt)
	if attempt == nil && in.Attempt > 0 {
		return "", newProblem(http.StatusNotFound, fmt.Sprintf("there is no attempt %d, or none that is still known", in.Attempt))
	}
	if attempt == nil {
		return "", newProblem(http.StatusNotFound, "there is no log yet: no attempt has begun")
	}
	return newestPod(ctx, pods, batchv1.ControllerUidLabel+"="+string(attempt.JobUID))
}

// podsAtOnce are read by one list. An attempt has one pod, and one more for each drained
// node.
const podsAtOnce = 50

// newestPod is the name of the one that was created last.
func newestPod(ctx context.Context, pods corev1client.PodInterface, selector string) (string, error) {
	var newest *corev1.Pod
	options := metav1.ListOptions{LabelSelector: selector, Limit: podsAtOnce}
	for {
		list, err := pods.List(ctx, options)
		if err != nil {
			return "", err
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
			return "", newProblem(http.StatusNotFound, logGone)
		}
		return newest.Name, nil
	}
}

// attemptOf this number, 0 for the newest; nil: none.
func attemptOf(job *v1alpha1.WorkspaceJob, number int32) *v1alpha1.Attempt {
	for i := len(job.Status.Attempts) - 1; i >= 0; i-- {
		if attempt := &job.Status.Attempts[i]; number == 0 || attempt.Number == number {
			return attempt
		}
	}
	return nil
}

// noLog is why Kubernetes gives none. A node that does not answer is an error of the API
// server, whose text has addresses in it.
func noLog(err error) error {
	if apierrors.IsBadRequest(err) {
		return newProblem(http.StatusNotFound, "there is no log yet: the attempt's process has not started")
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError {
		return later(http.StatusServiceUnavailable, "the node that has the log does not answer: try again later", retryAfter)
	}
	return err
}

// sendLines of a log with timestamps: an event each, whose id is the time.
func sendLines(to *stream, log io.Reader, after string) {
	lines := bufio.NewReaderSize(log, linePart)
	id, begins := "", true
	for {
		part, more, err := lines.ReadLine()
		if err != nil {
			to.end("the log is at its end")
			return
		}
		if begins {
			at, text, _ := bytes.Cut(part, []byte(" "))
			id, part = string(at), text
		}
		begins = !more
		// The API server counts from whole seconds.
		if after != "" && id <= after {
			continue
		}
		if to.event("log", id, LogEvent{string(part)}) != nil {
			return
		}
	}
}
