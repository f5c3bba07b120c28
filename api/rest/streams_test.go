package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"

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
