package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestStreamsHaveTheirPlaces: so many for each caller, and so many in all.
func TestStreamsHaveTheirPlaces(t *testing.T) {
	t.Parallel()
	shared.Env(t)
	server := httptest.NewServer(rest.Handler(auth.New(env.Config, directory), rest.WithHeartbeat(heartbeat), rest.WithStreams(auth.NewStreams(1, 2))))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"with-places","delay":"1h"}`)
	ask := func(as account, path string) answer {
		return request{method: http.MethodGet, path: path, as: as, elsewhere: server.URL}.send(t)
	}
	_, stop := listenAt(t, server.URL, app, acme+"/events", "")
	for _, path := range []string{acme + "/events", job.Links.Events, job.Links.Logs} {
		ask(app, path).wantProblem(t, 429, "", "close some")
	}
	listenAt(t, server.URL, reader, job.Links.Events, "")
	ask(single, acme+"/events").wantProblem(t, 503, "", "try again later")
	// What is no stream has its answer.
	ask(app, acme+"/jobs").want(t, 200, nil)
	stop()
	testenv.Eventually(t, "the place is free", func(context.Context) error {
		if a := ask(single, job.Links.Logs); a.status != http.StatusNotFound {
			return fmt.Errorf("%d", a.status)
		}
		return nil
	})
}

// TestStreamsAreSharedBetweenWorkspaces: the callers of one have all, and make room for those of
// another.
func TestStreamsAreSharedBetweenWorkspaces(t *testing.T) {
	t.Parallel()
	shared.Env(t)
	server := httptest.NewServer(rest.Handler(auth.New(env.Config, directory), rest.WithHeartbeat(heartbeat), rest.WithStreams(auth.NewStreams(2, 4))))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	const globex = "/api/workspaces/globex"
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"makes-room","delay":"1h"}`)
	older, _ := listenAt(t, server.URL, app, acme+"/events", "")
	listenAt(t, server.URL, app, acme+"/events", "")
	third, _ := listenAt(t, server.URL, reader, acme+"/events", "")
	newest, _ := listenAt(t, server.URL, reader, job.Links.Events, "")
	seen := next(t, newest, "the job", func(e sent) bool { return e.name == "job" })

	listenAt(t, server.URL, neighbour, globex+"/events", "")
	madeRoom(t, newest)
	ask := func(as account, path string) answer {
		return request{method: http.MethodGet, path: path, as: as, elsewhere: server.URL, header: http.Header{"Last-Event-Id": {seen.id}}}.send(t)
	}
	again := ask(reader, job.Links.Events)
	again.wantProblem(t, 503, "", "try again later")
	if again.header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	listenAt(t, server.URL, neighbour, globex+"/events", "")
	madeRoom(t, third)
	// Each has two.
	for path, as := range map[string]account{acme + "/events": single, globex + "/events": several} {
		ask(as, path).wantProblem(t, 503, "", "try again later")
	}
	makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"told-by-an-older-stream","delay":"1h"}`)
	next(t, older, "the older stream stays open", func(e sent) bool { return jobEvent(t, e).Name == "told-by-an-older-stream" })
}

// madeRoom waits until a stream ends, with the word when to come back, and not that it is over.
func madeRoom(t *testing.T, events <-chan sent) {
	t.Helper()
	retry := ""
	deadline := time.After(testenv.PollLimit)
	for {
		select {
		case event, open := <-events:
			if !open {
				if retry != "30000" {
					t.Errorf("the client is to come back after %q milliseconds", retry)
				}
				return
			}
			if event.name == "end" {
				t.Errorf("the client is to stay away: %s", event.data)
			}
			retry += event.retry
		case <-deadline:
			t.Fatal("the stream does not end")
		}
	}
}

// TestManyAtOnceAreOneCaller: Kubernetes is asked once who calls and what it may, not by each.
func TestManyAtOnceAreOneCaller(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	var asking sync.WaitGroup
	for range 30 {
		asking.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.address+acme+"/jobs", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+tokens[app])
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Error(response.Status)
			}
		})
	}
	asking.Wait()
	counts := map[string]int{}
	for _, asked := range f.take() {
		counts[path.Base(asked)]++
	}
	if counts["selfsubjectreviews"] != 1 || counts["selfsubjectaccessreviews"] != 1 || counts["workspacejobs"] != 30 {
		t.Errorf("Kubernetes is asked %v", counts)
	}
}
