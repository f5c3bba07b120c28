package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1alpha1 "github.com/openradius/workspace-jobs/api/v1alpha1"
)

func stream(t *testing.T, jobs ...v1alpha1.WorkspaceJob) *json.Decoder {
	t.Helper()
	var text strings.Builder
	for _, job := range jobs {
		if err := json.NewEncoder(&text).Encode(job); err != nil {
			t.Fatal(err)
		}
	}
	return json.NewDecoder(strings.NewReader(text.String()))
}

func jobIn(name string, state v1alpha1.JobState, message string) v1alpha1.WorkspaceJob {
	var job v1alpha1.WorkspaceJob
	job.Name, job.Namespace = name, "workspace-acme"
	job.Status.State, job.Status.Message = state, message
	return job
}

func TestFollow(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	d := &demo{out: &out, jobs: 2}
	seen := map[string]*v1alpha1.WorkspaceJob{}
	err := d.follow(stream(t,
		jobIn("a", "", ""),
		jobIn("a", v1alpha1.StateEnqueued, "waits"),
		jobIn("a", v1alpha1.StateEnqueued, "waits"),
		jobIn("a", v1alpha1.StateFailed, "broke"),
		jobIn("b", v1alpha1.StateSucceeded, ""),
		jobIn("b", v1alpha1.StateProcessing, "after the end"),
	), seen)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != 3 {
		t.Errorf("%d changes are shown, want 3:\n%s", got, out.String())
	}
	d.seen = seen
	if err := d.allSucceeded(); err == nil || !strings.Contains(err.Error(), "a is Failed: broke") {
		t.Errorf("a failed job is told as: %v", err)
	}
}

func TestFollowEndsWithItsInput(t *testing.T) {
	t.Parallel()
	d := &demo{out: io.Discard, jobs: 2}
	err := d.follow(stream(t, jobIn("a", v1alpha1.StateSucceeded, "")), map[string]*v1alpha1.WorkspaceJob{})
	if !errors.Is(err, io.EOF) {
		t.Errorf("with one job of two seen: %v", err)
	}
}

func TestSourcePages(t *testing.T) {
	t.Parallel()
	s := &source{}
	codes := map[string]bool{}
	for next := "/plans"; next != ""; {
		answer := httptest.NewRecorder()
		s.plans(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, next, nil))
		var page struct {
			Items []plan
			Next  string
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Items {
			codes[p.Code] = true
		}
		next = page.Next
	}
	if len(codes) != plansInAll {
		t.Errorf("the pages have %d plans, want %d", len(codes), plansInAll)
	}
}

func TestSourceIsDownAtFirst(t *testing.T) {
	t.Parallel()
	s := &source{}
	for n := range refusals + 1 {
		answer := httptest.NewRecorder()
		s.prices(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/prices", nil))
		want := http.StatusServiceUnavailable
		if n == refusals {
			want = http.StatusOK
		}
		if answer.Code != want {
			t.Errorf("answer %d is %d, want %d", n+1, answer.Code, want)
		}
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	retried := jobIn("sync-prices", v1alpha1.StateSucceeded, "")
	retried.Status.RunAttempts = refusals + 1
	good := func() *demo {
		return &demo{
			out:  io.Discard,
			seen: map[string]*v1alpha1.WorkspaceJob{"workspace-acme/sync-prices": &retried},
			before: map[string]snapshot{
				"acme": {sessions: 10, old: 4, checksum: "1"}, "globex": {sessions: 10, old: 4, checksum: "2"},
			},
			after: map[string]snapshot{
				"acme": {sessions: 6, checksum: "3"}, "globex": {sessions: 10, old: 4, checksum: "2"},
			},
		}
	}
	for name, spoil := range map[string]func(*demo){
		"":                      func(*demo) {},
		"acme had 4 old":        func(d *demo) { d.after["acme"] = snapshot{sessions: 6, old: 1} },
		"acme should have kept": func(d *demo) { d.after["acme"] = snapshot{sessions: 5} },
		"globex's sessions have changed": func(d *demo) {
			d.after["globex"] = snapshot{sessions: 10, old: 4, checksum: "4"}
		},
		"sync-prices should have": func(d *demo) { d.seen = nil },
	} {
		d := good()
		spoil(d)
		err := d.check(t.Context())
		if name == "" && err != nil || name != "" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
