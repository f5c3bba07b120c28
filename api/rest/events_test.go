package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// sent is a server-sent event, or a heartbeat.
type sent struct {
	name, id, data, retry string
	comment               bool
}

// listen to a stream of events, until the test or stop ends it; the channel closes when the
// server ends it.
func listen(t *testing.T, as account, path, after string) (events <-chan sent, stop func()) {
	t.Helper()
	shared.Env(t)
	return listenAt(t, address, as, path, after)
}

// listenAt a server.
func listenAt(t *testing.T, server string, as account, path, after string) (events <-chan sent, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+tokens[as])
	r.Header.Set("Accept", "text/event-stream")
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d", path, response.StatusCode)
	}
	if err := described.check(http.MethodGet, r.URL.EscapedPath(), 200, response.Header.Get("Content-Type"), nil); err != nil {
		t.Error(err)
	}
	channel := make(chan sent)
	go func() {
		defer close(channel)
		lines, event := bufio.NewScanner(response.Body), sent{}
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				event.name = value
			case "id":
				event.id = value
			case "data":
				event.data = value
			case "retry":
				event.retry = value
			case "":
				if value != "" { // a line ": heartbeat", not the end of an event
					event.comment = true
					continue
				}
				select {
				case channel <- event:
				case <-ctx.Done():
					return
				}
				event = sent{}
			}
		}
	}()
	return channel, cancel
}

// next event of this name that fits; it fails the test if none comes.
func next(t *testing.T, events <-chan sent, what string, fits func(sent) bool) sent {
	t.Helper()
	deadline := time.After(testenv.PollLimit)
	for {
		select {
		case event, open := <-events:
			if !open {
				t.Fatalf("%s: the stream has ended", what)
			}
			if fits(event) {
				return event
			}
		case <-deadline:
			t.Fatalf("%s: it does not come", what)
		}
	}
}

func jobEvent(t *testing.T, event sent) rest.JobEvent {
	t.Helper()
	var told rest.JobEvent
	if event.name != "job" {
		return told
	}
	if err := described.validate([]byte(event.data), "components", "schemas", "JobEvent"); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal([]byte(event.data), &told); err != nil || event.id == "" {
		t.Fatal(err, event)
	}
	return told
}

func TestAJobsEventsAreToldAsTheyHappen(t *testing.T) {
	t.Parallel()
	events, stop := listen(t, reader, acme+"/events", "")
	if first := next(t, events, "where the stream begins", func(sent) bool { return true }); first.id == "" || first.name != "" {
		t.Errorf("%+v", first)
	}
	next(t, events, "a heartbeat", func(e sent) bool { return e.comment })
	makeJob(t, neighbour, "/api/workspaces/globex/jobs", `{"handler":"report","name":"told-elsewhere"}`)
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"told"}`)
	var seen []string
	last := next(t, events, "the job succeeds", func(e sent) bool {
		told := jobEvent(t, e)
		if strings.Contains(e.data, "elsewhere") || strings.Contains(e.data, "globex") {
			t.Errorf("another tenant's job is told: %s", e.data)
		}
		if told.Name != "told" {
			return false
		}
		seen = append(seen, told.Type)
		return told.State == v1alpha1.StateSucceeded
	})
	if seen[0] != "Created" || slices.Contains(seen[1:], "Created") {
		t.Errorf("%v", seen)
	}
	// What happens while nobody listens is told to who comes back.
	stop()
	makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"told-later","delay":"1h"}`)
	request{method: http.MethodDelete, path: job.Links.Self, as: app}.send(t).want(t, 204, nil)
	events, _ = listen(t, reader, acme+"/events", last.id)
	missing := map[string]bool{"Created told-later": true, "Removed told": true}
	next(t, events, "what was missed", func(e sent) bool {
		told := jobEvent(t, e)
		delete(missing, told.Type+" "+told.Name)
		return len(missing) == 0
	})
}

func TestOneJobsEvents(t *testing.T) {
	t.Parallel()
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"followed","delay":"1h"}`)
	events, _ := listen(t, reader, job.Links.Events, "")
	if told := jobEvent(t, next(t, events, "the job as it is", func(sent) bool { return true })); told.Name != "followed" || told.Type != "Changed" {
		t.Errorf("%+v", told)
	}
	request{method: http.MethodPost, path: job.Links.Self + "/cancel", as: app}.send(t).want(t, 200, nil)
	next(t, events, "it is cancelled", func(e sent) bool {
		told := jobEvent(t, e)
		if told.Name != "" && told.Name != "followed" {
			t.Errorf("%+v", told)
		}
		return told.State == v1alpha1.StateDeleted
	})
	request{method: http.MethodDelete, path: job.Links.Self, as: app}.send(t).want(t, 204, nil)
	next(t, events, "it is removed", func(e sent) bool { return jobEvent(t, e).Type == "Removed" })
	request{method: http.MethodGet, path: acme + "/jobs/never/events", as: reader}.send(t).wantProblem(t, 404, "", "no job")
}

func TestAPositionThatIsForgotten(t *testing.T) {
	t.Parallel()
	events, _ := listen(t, reader, acme+"/events", "1")
	next(t, events, "to read again", func(e sent) bool { return e.name == "reset" && e.id != "" })
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","delay":"1h"}`)
	next(t, events, "what happens from then on", func(e sent) bool { return jobEvent(t, e).Name == job.Name })
	for _, id := range []string{"x", "-1", "0", "1;2", strings.Repeat("9", 20)} {
		request{method: http.MethodGet, path: acme + "/events", as: reader, header: http.Header{"Last-Event-Id": {id}}}.send(t).wantProblem(t, 400, "header.Last-Event-ID", "")
	}
}

func TestAStreamEndsWithTheRightToIt(t *testing.T) {
	t.Parallel()
	events, _ := listen(t, leaver, acme+"/events", "")
	next(t, events, "a heartbeat", func(e sent) bool { return e.comment })
	job := speaking(t, "speaks-to-a-leaver", testenv.Part{Log: "it begins\n"})
	log, _ := listen(t, leaver, job.Links.Logs+"?follow=true", "")
	next(t, log, "a heartbeat", func(e sent) bool { return e.comment })
	text := followed(t, leaver, job.Links.Logs+"?follow=true", "it begins\n")
	ws := &v1alpha1.Workspace{}
	testenv.Eventually(t, "the member leaves", func(ctx context.Context) error {
		if err := env.Client.Get(ctx, kube.ObjectKey{Name: "acme"}, ws); err != nil {
			return err
		}
		for i := range ws.Spec.Members {
			ws.Spec.Members[i].Subjects = slices.DeleteFunc(ws.Spec.Members[i].Subjects, func(s rbacv1.Subject) bool { return s.Name == leaver.name })
		}
		return env.Client.Update(ctx, ws)
	})
	for _, each := range []<-chan sent{events, log} {
		end := next(t, each, "the end", func(e sent) bool { return e.name == "end" })
		if !strings.Contains(end.data, "may not see this any more") {
			t.Errorf("%+v", end)
		}
		if event, open := <-each; open {
			t.Errorf("after the end: %+v", event)
		}
	}
	// As text it breaks off, since this is not its end.
	if more, err := io.ReadAll(text); !errors.Is(err, io.ErrUnexpectedEOF) || len(more) > 0 {
		t.Errorf("as text it has %q more: %v", more, err)
	}
	testenv.Eventually(t, "there is no way back", func(context.Context) error {
		back := request{method: http.MethodGet, path: acme + "/events", as: leaver}.send(t)
		if back.status != http.StatusNotFound || !strings.Contains(string(back.body), "no such workspace") {
			return fmt.Errorf("status %d: %s", back.status, back.body)
		}
		return nil
	})
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	events, _ := listen(t, fired, acme+"/events", "")
	next(t, events, "a heartbeat", func(e sent) bool { return e.comment })
	job := speaking(t, "speaks-to-one-who-is-fired", testenv.Part{Log: "it begins\n"})
	log, _ := listen(t, fired, job.Links.Logs+"?follow=true", "")
	next(t, log, "a heartbeat", func(e sent) bool { return e.comment })
	if err := env.Client.Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: fired.namespace, Name: fired.name}}); err != nil {
		t.Fatal(err)
	}
	for _, each := range []<-chan sent{events, log} {
		end := next(t, each, "the end", func(e sent) bool { return e.name == "end" })
		if !strings.Contains(end.data, "does not accept this token") {
			t.Errorf("%+v", end)
		}
	}
	request{method: http.MethodGet, path: acme + "/jobs", as: fired}.send(t).wantProblem(t, 401, "", "does not accept this token")
}

func TestAStreamOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	events, _ := listenAt(t, f.address, app, acme+"/events", "")
	next(t, events, "a heartbeat", func(e sent) bool { return e.comment })
	f.cut()
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"made-meanwhile","delay":"1h"}`)
	next(t, events, "a heartbeat meanwhile", func(e sent) bool { return e.comment })
	f.off.Store(false)
	told := jobEvent(t, next(t, events, "what happened meanwhile", func(e sent) bool { return jobEvent(t, e).Name == job.Name }))
	if told.Type != "Created" {
		t.Errorf("%+v", told)
	}
}

// TestAStreamOutlivesTheServersLimits: those are for answers that do not last.
func TestAStreamOutlivesTheServersLimits(t *testing.T) {
	t.Parallel()
	shared.Env(t)
	const limit = 15 * time.Second
	server := httptest.NewUnstartedServer(rest.Handler(auth.New(env.Config, directory), rest.WithHeartbeat(heartbeat)))
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, limit
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	begun := time.Now()
	events, _ := listenAt(t, server.URL, app, acme+"/events", "")
	next(t, events, "a heartbeat after the limits", func(e sent) bool { return e.comment && time.Since(begun) > limit+2*time.Second })
}
