package rest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// linePart is the longest part of a line that one event holds, in bytes.
const linePart = 64 << 10

// LogEvent is a line of a log, or a part of a long one.
type LogEvent struct {
	Line string `json:"line"`
	// More: the line goes on in the next event.
	More bool `json:"more,omitempty"`
}

// logPosition is where a line is in a log: its time, and its number among those of the same
// time. As the id of an event it is written in UTC, whatever the node's time zone.
type logPosition struct {
	at     time.Time
	number int
}

func (p logPosition) String() string {
	return p.at.UTC().Format(time.RFC3339Nano) + "/" + strconv.Itoa(p.number)
}

func parseLogPosition(text string) (logPosition, error) {
	at, number, _ := strings.Cut(text, "/")
	p := logPosition{}
	var err error
	if p.at, err = time.Parse(time.RFC3339Nano, at); err == nil {
		p.number, err = strconv.Atoi(number)
	}
	return p, err
}

// next is the position of the line behind p that has this time.
func (p logPosition) next(at time.Time) logPosition {
	if p.at.Equal(at) {
		return logPosition{at, p.number + 1}
	}
	return logPosition{at, 1}
}

func (p logPosition) after(other logPosition) bool {
	return p.at.After(other.at) || p.at.Equal(other.at) && p.number > other.number
}

type logsInput struct {
	JobPath
	LastEvent
	Attempt int32  `query:"attempt" minimum:"1" doc:"Its number; the newest attempt unless set"`
	Follow  bool   `query:"follow" doc:"Go on until the attempt has ended"`
	Accept  string `header:"Accept" hidden:"true"`
}

func (s *server) logs(api huma.API, path string) {
	api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[LogEvent](), true, "")
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	addStream(s, api, huma.Operation{
		OperationID: "read-log", Method: http.MethodGet, Path: path, Tags: []string{"jobs"}, Summary: "Read the log of an attempt",
		Responses: map[string]*huma.Response{"200": {
			Description: "What the handler printed. As server-sent events: `log`, with a LogEvent, and at the end `end`. The id comes with a line's last part.",
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
	var seen logPosition
	if in.LastEventID != "" {
		if seen, err = parseLogPosition(in.LastEventID); err != nil {
			return nil, refused("header.Last-Event-ID", "this is no id of an event of this stream")
		}
		options.SinceTime = new(metav1.NewTime(seen.at))
	}
	pod, err := podOf(ctx, c, ws.Status.Namespace, in)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	log, err := c.caller.Kubernetes().CoreV1().Pods(ws.Status.Namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		stop()
		return nil, noLog(err)
	}
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		defer log.Close()
		if !events {
			to := begin(answer, "text/plain; charset=utf-8")
			_ = s.whileAllowed(ctx, stop, c, ws.Status.Namespace, func() error { return nil }, func() { _, _ = io.Copy(to, log) }) // who has gone away needs no more of it
			return
		}
		to := begin(answer, "text/event-stream")
		if err := s.whileAllowed(ctx, stop, c, ws.Status.Namespace, to.heartbeat, func() { sendLines(to, log, seen) }); err != nil {
			to.end(err.Error())
		}
	}}, nil
}

// whileAllowed sends a log, and returns why it was stopped; nil: it was not. The API server
// asks once whether its caller may read it.
func (s *server) whileAllowed(ctx context.Context, stop context.CancelFunc, c *call, namespace string, beat func() error, send func()) error {
	var why error
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(s.heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if why = s.stillMay(ctx, c, namespace, auth.Right{Verb: "get", Resource: "pods/log"}); why != nil || beat() != nil {
				stop()
				return
			}
		}
	})
	send()
	stop()
	asking.Wait()
	return why
}

// podOf is the name of the attempt's pod.
func podOf(ctx context.Context, c *call, namespace string, in *logsInput) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	job, err := c.caller.In(namespace).Get(ctx, in.Name)
	if err != nil {
		return "", err
	}
	attempt := job.Status.Attempt(in.Attempt)
	if attempt == nil && in.Attempt > 0 {
		return "", newProblem(http.StatusNotFound, fmt.Sprintf("there is no attempt %d, or none that is still known", in.Attempt))
	}
	if attempt == nil {
		return "", newProblem(http.StatusNotFound, "there is no log yet: no attempt has begun")
	}
	pod, err := c.caller.PodOf(ctx, namespace, attempt)
	if err != nil {
		return "", err
	}
	return pod.Name, nil
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

// sendLines of a log with times, those after what was seen: an event each, or some for a long
// line, the last of which has the id. So who was cut off in a line is told all of it again.
func sendLines(to *stream, log io.Reader, seen logPosition) {
	lines := bufio.NewReaderSize(log, linePart)
	var at logPosition
	var cut []byte
	id, begins, skip := "", true, false
	for {
		part, more, err := lines.ReadLine()
		if err != nil {
			// Who was cut off by a fault comes back by itself.
			if errors.Is(err, io.EOF) {
				to.end("the log is at its end")
			}
			return
		}
		if begins {
			id, skip = "", false
			// The kubelet's own words have no time.
			if written, text, ok := cutTime(part); ok {
				// The API server counts from whole seconds.
				at, part = at.next(written), text
				id, skip = at.String(), !at.after(seen)
			}
		}
		begins = !more
		if skip {
			continue
		}
		part = append(cut, part...)
		cut = nil
		if more {
			part, cut = wholeRunes(part)
		}
		if to.event("log", idOfLast(id, more), LogEvent{string(part), more}) != nil {
			return
		}
	}
}

// cutTime off a line.
func cutTime(line []byte) (at time.Time, text []byte, ok bool) {
	written, text, _ := bytes.Cut(line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(written))
	return at, text, err == nil
}

func idOfLast(id string, more bool) string {
	if more {
		return ""
	}
	return id
}

// wholeRunes of a part, and a copy of the beginning of the one that is cut.
func wholeRunes(part []byte) (whole, cut []byte) {
	for i := 1; i < utf8.UTFMax && i <= len(part); i++ {
		tail := part[len(part)-i:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				break
			}
			return part[:len(part)-i], bytes.Clone(tail)
		}
	}
	return part, nil
}
