package e2e

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// hidden is the prefix of all names of the other tenant.
const hidden = "veiled"

// checkTheBorder checks that no page, answer, error or stream shows anything of another
// tenant.
func checkTheBorder(t *testing.T, d dashboard) {
	other := newTenantWithEffects(t, hidden)
	other.start(other.makeSQL(hidden+"-job", insertEffect).ConcurrencyKey(hidden + "-key"))
	if err := shared.client.Create(t.Context(), other.makeRecurring(hidden+"-recurring", "@yearly", insertEffect)); err != nil {
		t.Fatal(err)
	}
	other.waitFinal(hidden+"-job", v1alpha1.StateSucceeded)

	b := d.as(t, d.editor)
	for _, path := range []string{"", "/jobs", "/jobs?key=" + hidden + "-key", "/recurring", "/retries", "/pods", "/jobs/" + hidden + "-job", "/recurring/" + hidden + "-recurring"} {
		b.Open("/hangfire/dash-own" + path)
		if mentions(b.HTML(), path) {
			t.Errorf("the page %s shows the other tenant:\n%s", path, b.HTML())
		}
	}
	for _, path := range []string{"", "/jobs", "/jobs/veiled-job", "/recurring", "/recurring/veiled-recurring", "/retries", "/pods", "/jobs/veiled-job/attempts/1/log", "/live", "/live/jobs", "/search?by=name&q=veiled-job"} {
		there, nowhere := b.Fetch("/hangfire/"+hidden+path), b.Fetch("/hangfire/nowhere"+path)
		if there != nowhere || !strings.Contains(there, "no such page") {
			t.Errorf("the answer to %s is\n%s\nand for a workspace that does not exist\n%s", path, there, nowhere)
		}
	}
	b.Open("/hangfire/-/switch?workspace=" + hidden)
	b.See("main", "no such page")

	c := caller{t, d.url, d.editor}
	c.refusedOverTheBorder()
	d.streamsStayOnTheirSide(c, other)
	if status, text := c.ask(http.MethodGet, "/api/workspaces", ""); status != http.StatusOK || mentions(text, "") {
		t.Errorf("the list of workspaces: %d %s", status, text)
	}
}

// mentions reports whether a text has a name of the other tenant that was not in the request.
func mentions(text, asked string) bool {
	_, name, _ := strings.Cut(asked, hidden)
	return strings.Contains(strings.ReplaceAll(text, hidden+name, ""), hidden)
}

// refusedOverTheBorder checks that REST answers as if the other workspace did not exist.
func (c caller) refusedOverTheBorder() {
	c.t.Helper()
	const job = `{"handler": "sql", "args": {"statements": ["SELECT 1"]}}`
	for _, asked := range []struct{ method, path, body string }{
		{http.MethodGet, "", ""},
		{http.MethodGet, "/jobs", ""},
		{http.MethodPost, "/jobs", job},
		{http.MethodGet, "/jobs/veiled-job", ""},
		{http.MethodDelete, "/jobs/veiled-job", ""},
		{http.MethodPost, "/jobs/veiled-job/requeue", ""},
		{http.MethodPost, "/jobs/veiled-job/cancel", ""},
		{http.MethodGet, "/jobs/veiled-job/logs", ""},
		{http.MethodGet, "/jobs/veiled-job/events", ""},
		{http.MethodGet, "/events", ""},
		{http.MethodGet, "/recurring", ""},
		{http.MethodGet, "/recurring/veiled-recurring", ""},
		{http.MethodPut, "/recurring/veiled-recurring", `{"handler": "sql", "schedule": "@daily"}`},
		{http.MethodPost, "/recurring/veiled-recurring/trigger", ""},
		{http.MethodDelete, "/recurring/veiled-recurring", ""},
	} {
		status, there := c.ask(asked.method, "/api/workspaces/"+hidden+asked.path, asked.body)
		statusOfNone, nowhere := c.ask(asked.method, "/api/workspaces/nowhere"+asked.path, asked.body)
		if status != http.StatusNotFound || statusOfNone != status || there != strings.ReplaceAll(nowhere, "nowhere", hidden) {
			c.t.Errorf("%s %s: %d %s, and for no workspace %d %s", asked.method, asked.path, status, there, statusOfNone, nowhere)
		}
	}
	status, there := c.ask(http.MethodPost, "/api/jobs/cleanup", `{}`, "X-Workspace", hidden)
	statusOfNone, nowhere := c.ask(http.MethodPost, "/api/jobs/cleanup", `{}`, "X-Workspace", "nowhere")
	if status != statusOfNone || there != nowhere || status/100 != 4 {
		c.t.Errorf("with the header: %d %s, and for no workspace %d %s", status, there, statusOfNone, nowhere)
	}
}

// streamsStayOnTheirSide checks that a stream has only events of its own workspace's jobs.
func (d dashboard) streamsStayOnTheirSide(c caller, other *tenant) {
	d.tn.t.Helper()
	ctx, stop := context.WithCancel(d.tn.t.Context())
	defer stop()
	events := c.open(ctx, http.MethodGet, "/api/workspaces/dash-own/events", "", "Accept", "text/event-stream")
	defer events.Body.Close()
	other.start(other.makeSQL(hidden+"-live", insertEffect))
	other.waitFinal(hidden+"-live", v1alpha1.StateSucceeded)
	d.tn.start(d.tn.makeSQL("told-last", "SELECT 1"))
	var text strings.Builder
	lines := bufio.NewScanner(io.TeeReader(events.Body, &text))
	for lines.Scan() && !strings.Contains(lines.Text(), `"name":"told-last"`) {
		continue
	}
	if events := text.String(); !strings.Contains(events, "told-last") || mentions(events, "") {
		d.tn.t.Errorf("the stream of events was\n%s", events)
	}
}
