package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestRetriesArePaged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	want := map[string]bool{}
	for i := range 55 {
		name := fmt.Sprintf("waits-again-%02d", i)
		if _, err := l.acme.Schedule(t.Context(), "play", nil, time.Hour, client.WithName(name)); err != nil {
			t.Fatal(err)
		}
		want[name] = true
	}
	for name := range want {
		if err := l.env.AwaitRetry(t.Context(), "workspace-acme", name); err != nil {
			t.Fatal(err)
		}
	}
	v := l.as(t, "editor")
	first := v.get("/hangfire/acme/retries").want(http.StatusOK, "waits-again-00", "Next page")
	second := v.get(linkOf(t, first)).want(http.StatusOK, "waits-again-54", "First page").without("Next page")
	if rows := strings.Count(first.body, `id="open-`); rows != 50 {
		t.Errorf("the first page has %d rows", rows)
	}
	for name := range want {
		if strings.Contains(first.body, ">"+name+"<") == strings.Contains(second.body, ">"+name+"<") {
			t.Errorf("%s is not on one of two pages", name)
		}
	}
}

func TestTheNewestRunsAreShown(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "often-run", "play", testenv.Part{}, "@yearly"); err != nil {
		t.Fatal(err)
	}
	trigger := func(name string) time.Time {
		job, err := l.acme.Trigger(t.Context(), "often-run", client.WithName(name), client.After("no-such-parent"))
		if err != nil {
			t.Fatal(err)
		}
		return job.CreationTimestamp.Time
	}
	trigger("often-00-oldest")
	var last time.Time
	for i := range 49 {
		last = trigger(fmt.Sprintf("often-%02d", i+1))
	}
	// The run that is last by name is the newest.
	testenv.Eventually(t, "a run is a second younger than the others", func(context.Context) error {
		if time.Since(last) < 2*time.Second {
			return errors.New("it is not yet time")
		}
		return nil
	})
	if newest := trigger("often-zz-newest"); !newest.After(last) {
		t.Fatalf("it is of %s, but the others are of %s", newest, last)
	}
	p := l.as(t, "viewer").get("/hangfire/acme/recurring/often-run").want(http.StatusOK, "often-zz-newest")
	if runs := strings.Count(p.body, "/hangfire/acme/jobs/often-"); runs != 50 {
		t.Errorf("%d runs are shown", runs)
	}
}
