package rest_test

import (
	"net/http"
	"testing"

	"github.com/openradius/workspace-jobs/api/rest"
)

// TestTheAPISaysWhoDidWhat checks that objects show the callers of their requests.
func TestTheAPISaysWhoDidWhat(t *testing.T) {
	t.Parallel()
	const acme, byApp, bySeveral = "/api/workspaces/acme", "system:serviceaccount:workspace-acme:app", "system:serviceaccount:people:several"
	send := func(as account, method, path, body string, status int, into any) {
		t.Helper()
		request{method: method, path: acme + path, as: as, body: body}.send(t).want(t, status, into)
	}
	var job rest.Job
	send(app, http.MethodPost, "/jobs", `{"name":"signed","handler":"report","delay":"1h"}`, 201, nil)
	send(several, http.MethodPost, "/jobs/signed/cancel", "", 200, nil)
	send(reader, http.MethodGet, "/jobs/signed", "", 200, &job)
	if job.CreatedBy != byApp || job.CancelledBy != bySeveral || job.RequeuedBy != "" {
		t.Errorf("created by %q, cancelled by %q, requeued by %q", job.CreatedBy, job.CancelledBy, job.RequeuedBy)
	}
	var recurring, resumed rest.RecurringJob
	send(app, http.MethodPut, "/recurring/signed", `{"handler":"report","schedule":"@yearly"}`, 201, nil)
	send(several, http.MethodPost, "/recurring/signed/pause", "", 200, nil)
	send(reader, http.MethodGet, "/recurring/signed", "", 200, &recurring)
	if recurring.CreatedBy != byApp || recurring.PausedBy != bySeveral || recurring.ResumedBy != "" {
		t.Errorf("created by %q, paused by %q, resumed by %q", recurring.CreatedBy, recurring.PausedBy, recurring.ResumedBy)
	}
	send(app, http.MethodPost, "/recurring/signed/resume", "", 200, &resumed)
	if resumed.ResumedBy != byApp || resumed.PausedBy != "" {
		t.Errorf("paused by %q, resumed by %q", resumed.PausedBy, resumed.ResumedBy)
	}
}
