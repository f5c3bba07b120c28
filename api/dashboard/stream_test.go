package dashboard_test

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// stream is the stream of a page, read as a browser does.
type stream struct {
	t      *testing.T
	lines  *bufio.Reader
	cancel context.CancelFunc
	status int
	seen   strings.Builder
}

func (v *visitor) open(path string) *stream {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), testenv.PollLimit)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+path, http.NoBody)
	if err != nil {
		v.t.Fatal(err)
	}
	response, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		cancel()
		_ = response.Body.Close()
	})
	return &stream{t: v.t, lines: bufio.NewReader(response.Body), cancel: cancel, status: response.StatusCode}
}

// event returns the name and the data of the next event.
func (s *stream) event() (name, data string) {
	s.t.Helper()
	var lines []string
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream has ended: %v; before it said %s", err, s.seen.String())
		}
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, "\r") {
			s.t.Errorf("a line has a carriage return in it: %q", line)
		}
		switch {
		case line == "" && name != "":
			data = strings.Join(lines, "\n")
			s.seen.WriteString(name + ": " + data + "\n")
			return name, data
		case strings.HasPrefix(line, "event: "):
			name = strings.TrimPrefix(line, "event: ")
		case strings.HasPrefix(line, "data: "):
			lines = append(lines, strings.TrimPrefix(line, "data: "))
		case line != "" && !strings.HasPrefix(line, ":"):
			s.t.Errorf("a line that belongs to no event: %q", line)
		}
	}
}

// until waits for an event of this name that says it.
func (s *stream) until(event, text string) {
	s.t.Helper()
	for {
		if name, data := s.event(); name == event && strings.Contains(data, text) {
			return
		}
	}
}

func TestAPageShowsWhatChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.as(t, "viewer")
	list := v.open("/hangfire/acme/live/jobs?handler=play")
	l.run(t, "told", testenv.Part{Wait: true, Hold: true, Log: "it begins\n"})
	list.until("live", "told")
	job := v.open("/hangfire/acme/live/jobs/told")
	job.until("live", "Enqueued")
	l.env.Node.Start("told")
	job.until("status", "The job told is processing.")
	job.until("log", "it begins")
	if err := l.env.Node.Say(t.Context(), "workspace-acme", "told", "then continues <b>\r\revent: live\rdata: made up\r\r\n"); err != nil {
		t.Fatal(err)
	}
	job.until("log-lines", "then continues &lt;b&gt;")
	l.env.Node.Release("told")
	job.until("status", "The job told is succeeded.")
	list.until("live", "told")
	if strings.Contains(job.seen.String(), "live: made up") {
		t.Error("what a job writes into its log makes up an event")
	}
}

func TestTheOverviewShowsWhatFinishes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	live := l.as(t, "viewer").open("/hangfire/acme/live")
	live.until("live", "Last 24 hours")
	l.run(t, "finishes", testenv.Part{Wait: true, Exit: 65})
	live.until("graph", "0 failed")
	l.env.Node.Start("finishes")
	live.until("graph", `<rect class="failed"`)
}

func TestRecurringJobsAndPodsAreLive(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.as(t, "viewer")
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "live-recurring", "play", nil, "H 3 * * *"); err != nil {
		t.Fatal(err)
	}
	all, one, pods := v.open("/hangfire/acme/live/recurring"), v.open("/hangfire/acme/live/recurring/live-recurring"), v.open("/hangfire/acme/live/pods")
	one.until("live", "Next run")
	if _, err := l.acme.PauseRecurring(t.Context(), "live-recurring"); err != nil {
		t.Fatal(err)
	}
	one.until("live", "Paused")
	all.until("live", "Paused")
	l.run(t, "live-pod", testenv.Part{Hold: true})
	pods.until("live", "live-pod")
	l.env.Node.Release("live-pod")
	if err := l.acme.RemoveRecurring(t.Context(), "live-recurring"); err != nil {
		t.Fatal(err)
	}
	one.until("live", "There is no such job")
	one.until("end", "")
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.as(t, "viewer")
	live := v.open("/hangfire/acme/live/jobs")
	live.until("live", "All")
	v.press("/hangfire/-/sign-out").want(http.StatusOK, "You have signed out.")
	live.until("live", "Your session has ended.")
	live.until("end", "")
	// Without a session there is no other event.
	after := l.visitor(t).open("/hangfire/acme/live/jobs")
	after.until("live", "Your session has ended.")
	after.until("end", "")

	if err := l.env.MakeAccount(t.Context(), "workspace-acme", "revoked"); err != nil {
		t.Fatal(err)
	}
	if err := l.bind(t, "revoked", "workspace-acme", "viewer"); err != nil {
		t.Fatal(err)
	}
	revoked := l.as(t, "revoked")
	live = revoked.open("/hangfire/acme/live/jobs")
	live.until("live", "All")
	removeAccount(t, l, "revoked")
	live.until("live", "Your session has ended.")
	live.until("end", "")
}

func TestASessionHasSoManyStreams(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.as(t, "viewer")
	var all []*stream
	for range 20 {
		s := v.open("/hangfire/acme/live/retries")
		s.until("live", "")
		all = append(all, s)
	}
	if s := v.open("/hangfire/acme/live/retries"); s.status != http.StatusTooManyRequests {
		t.Errorf("the 21st stream: %d", s.status)
	}
	// Another session has its own limit.
	l.as(t, "viewer").open("/hangfire/acme/live/retries").until("live", "")
	all[0].cancel()
	testenv.Eventually(t, "its slot is free", func(context.Context) error {
		if s := v.open("/hangfire/acme/live/retries"); s.status != http.StatusOK {
			return fmt.Errorf("%d", s.status)
		}
		return nil
	})
}

func TestAPagesStreamIsOfThatPage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if _, err := l.acme.Enqueue(t.Context(), "filtered.Handler", nil, client.WithName("filtered")); err != nil {
		t.Fatal(err)
	}
	l.until(t, "filtered", v1alpha1.StateSucceeded)
	v := l.as(t, "viewer")
	p := v.get("/hangfire/acme/jobs?handler=filtered.Handler&state=Succeeded").want(http.StatusOK, "filtered")
	_, rest, _ := strings.Cut(p.body, `sse-connect="`)
	path, _, _ := strings.Cut(rest, `"`)
	path = html.UnescapeString(path)
	if parsed, err := url.Parse(path); err != nil || parsed.Path != "/hangfire/acme/live/jobs" || parsed.Query().Get("handler") != "filtered.Handler" {
		t.Fatalf("its stream is %s", path)
	}
	_, data := v.open(path).event()
	if !strings.Contains(p.body, data) {
		t.Errorf("the stream begins with another page: %s", data)
	}
}
