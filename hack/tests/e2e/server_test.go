package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/child"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// withAccount makes a ServiceAccount in the workspace's namespace an editor.
func withAccount(name string) func(*v1alpha1.Workspace) {
	return func(ws *v1alpha1.Workspace) { withMember(v1alpha1.RoleEditor, ws.NamespaceName(), name)(ws) }
}

// withViewer makes a ServiceAccount in the workspace's namespace a viewer.
func withViewer(name string) func(*v1alpha1.Workspace) {
	return func(ws *v1alpha1.Workspace) { withMember(v1alpha1.RoleViewer, ws.NamespaceName(), name)(ws) }
}

func withMember(role v1alpha1.MemberRole, namespace, name string) func(*v1alpha1.Workspace) {
	return func(ws *v1alpha1.Workspace) {
		ws.Spec.Members = append(ws.Spec.Members, v1alpha1.Member{
			Role: role, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
		})
	}
}

// token creates a ServiceAccount and returns a token of it.
func (tn *tenant) token(account string) string {
	tn.t.Helper()
	if err := shared.client.Create(tn.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: account}}); err != nil {
		tn.t.Fatal(err)
	}
	made, err := shared.clientset.CoreV1().ServiceAccounts(tn.namespace).CreateToken(tn.t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		tn.t.Fatal(err)
	}
	shared.keepSecret(made.Status.Token)
	return made.Status.Token
}

// forward forwards a port to the server as docs/install.md says, and returns its URL.
func forward(t *testing.T) string {
	t.Helper()
	command := exec.Command(shared.tool, "kubectl", "--name", clusterName, "-n", operatorNamespace, "port-forward", "deployment/workspace-jobs-server", ":5000")
	command.SysProcAttr = child.EndsWithParent(syscall.SIGKILL)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var problems bytes.Buffer
	command.Stderr = &problems
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, problems.String())
	}
	go func() { _, _ = io.Copy(io.Discard, output) }()
	port := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindStringSubmatch(line)
	if port == nil {
		t.Fatalf("kubectl printed %q", line)
	}
	return "http://127.0.0.1:" + port[1]
}

// caller sends requests to the server with a token.
type caller struct {
	t          *testing.T
	url, token string
}

// ask sends a request and returns the status and the body of the answer.
func (c caller) ask(method, path, body string, headers ...string) (int, string) {
	c.t.Helper()
	answer := c.open(c.t.Context(), method, path, body, headers...)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func (c caller) open(ctx context.Context, method, path, body string, headers ...string) *http.Response {
	c.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}

// make creates a job and returns its name.
func (c caller) make(path, body string, headers ...string) string {
	c.t.Helper()
	status, text := c.ask(http.MethodPost, path, body, headers...)
	var made struct{ Name string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || status != http.StatusCreated {
		c.t.Fatalf("POST %s: %d %s", path, status, text)
	}
	return made.Name
}

// TestRESTFromEnqueueToLog posts a job on the real cluster, as a program does. The job runs
// in its tenant's database, and REST returns its changes of state, its result and its log.
func TestRESTFromEnqueueToLog(t *testing.T) {
	t.Parallel()
	own := newTenantWithEffects(t, "rest-own", withAccount("app"))
	other := newTenantWithEffects(t, "rest-other")
	c := caller{t, forward(t), own.token("app")}
	const jobs = "/api/workspaces/rest-own/jobs"

	watching, stop := context.WithCancel(t.Context())
	defer stop()
	events := c.open(watching, http.MethodGet, "/api/workspaces/rest-own/events", "", "Accept", "text/event-stream")
	defer events.Body.Close()
	body := fmt.Sprintf(`{"handler": "sql", "args": {"statements": [%q]}}`, insertEffect)
	name := c.make(jobs, body, "Idempotency-Key", "rest-1")
	if status, text := c.ask(http.MethodPost, jobs, body, "Idempotency-Key", "rest-1"); status != http.StatusOK || !strings.Contains(text, `"name":"`+name+`"`) {
		t.Errorf("posted again: %d %s", status, text)
	}
	var states []string
	lines := bufio.NewScanner(events.Body)
	for lines.Scan() {
		data, isData := strings.CutPrefix(lines.Text(), "data: ")
		var job struct{ Name, State string }
		if !isData || json.Unmarshal([]byte(data), &job) != nil || job.Name != name {
			continue
		}
		states = append(states, job.State)
		if job.State == "Succeeded" {
			break
		}
	}
	if got := strings.Join(states, " "); !strings.Contains(got, "Enqueued") || !strings.HasSuffix(got, "Succeeded") {
		t.Errorf("its states were %s, %v", got, lines.Err())
	}
	own.wantEffects(1)
	other.wantEffects(0)
	if status, text := c.ask(http.MethodGet, jobs+"/"+name, ""); status != http.StatusOK || !strings.Contains(text, `"outcome":"Succeeded"`) {
		t.Errorf("the job: %d %s", status, text)
	}
	if status, text := c.ask(http.MethodGet, jobs+"/"+name+"/logs", ""); status != http.StatusOK || !strings.Contains(text, `"msg"`) {
		t.Errorf("its log: %d %s", status, text)
	}
	logs := c.logEvents(jobs+"/"+name+"/logs?follow=true", "")
	if len(logs) < 2 {
		t.Fatalf("its log as events: %q", logs)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(logs[0], "id: "), "\n")
	if again := c.logEvents(jobs+"/"+name+"/logs?follow=true", id); !slices.Equal(again, logs[1:]) {
		t.Errorf("its log is %q, and after %s %q", logs, id, again)
	}
	for _, path := range []string{"/api/workspaces/rest-other", "/api/workspaces/rest-other/jobs", "/api/workspaces/no-such"} {
		if status, text := c.ask(http.MethodGet, path, ""); status != http.StatusNotFound || strings.Contains(text, "rest-other") {
			t.Errorf("GET %s: %d %s", path, status, text)
		}
	}
	if _, text := c.ask(http.MethodGet, "/api/workspaces", ""); !strings.Contains(text, "rest-own") || strings.Contains(text, "rest-other") {
		t.Errorf("its workspaces: %s", text)
	}
}

// logEvents reads a log as events to its end, after the event with an ID. It returns the ID
// and the data of each event.
func (c caller) logEvents(path, after string) []string {
	c.t.Helper()
	headers := []string{"Accept", "text/event-stream"}
	if after != "" {
		headers = append(headers, "Last-Event-ID", after)
	}
	status, text := c.ask(http.MethodGet, path, "", headers...)
	lines, ended := strings.CutSuffix(text, "event: end\ndata: {\"reason\":\"the log has ended\"}\n\n")
	if status != http.StatusOK || !ended {
		c.t.Fatalf("GET %s: %d %s", path, status, text)
	}
	var events []string
	for event := range strings.SplitSeq(strings.TrimSuffix(lines, "\n\n"), "\n\n") {
		events = append(events, strings.TrimPrefix(event, "event: log\n"))
	}
	return events
}

// TestHangfiresRoutes uses the five routes of existing programs. The workspace is that of the
// caller's ServiceAccount.
func TestHangfiresRoutes(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "rest-five", withAccount("app"))
	tn.exec(createSessions)
	tn.exec(fillSessions)
	tn.exec(`INSERT INTO hangfire.report_queries (name, query) VALUES ('numbers', 'SELECT n AS number FROM generate_series(1, 3) AS n')`)
	tn.exec(`CREATE TABLE prices (plan text PRIMARY KEY, cents integer)`)
	c := caller{t, forward(t), tn.token("app")}
	syncArgs := fmt.Sprintf(`{"url": %q, "items": "items", "table": "prices", "key": ["plan"], "columns": {"plan": "plan", "cents": "cents"}}`, startSource(t, 0))

	cleanup := c.make("/api/jobs/cleanup", `{"table": "sessions", "column": "ended", "olderThan": "365d"}`)
	report := c.make("/api/jobs/reports/numbers", `{"period": "2026-01"}`)
	later := c.make("/api/jobs/reports/numbers?delayMinutes=30", `{"period": "2026-02"}`)
	if status, text := c.ask(http.MethodPost, "/api/jobs/sync/recurring", `{"args": `+syncArgs+`}`); status != http.StatusCreated {
		t.Errorf("sync/recurring: %d %s", status, text)
	}
	now := c.make("/api/jobs/sync/now", "")
	for _, name := range []string{cleanup, report, now} {
		tn.waitFinal(name, v1alpha1.StateSucceeded)
	}
	if got := tn.count(countSessions); got != 200 {
		t.Errorf("%d sessions are left", got)
	}
	if got := tn.count(`SELECT count(*) FROM hangfire.reports WHERE id = 'numbers'`); got != 1 {
		t.Errorf("there are %d reports", got)
	}
	if got := tn.count(`SELECT sum(cents) FROM prices`); got != 300 {
		t.Errorf("the sum of the prices is %d", got)
	}
	if job := tn.waitState(later, v1alpha1.StateScheduled); job.Spec.Delay == nil || job.Spec.Delay.Minutes() != 30 {
		t.Errorf("the later report is %+v", job.Spec)
	}
	if status, text := c.ask(http.MethodDelete, "/api/jobs/recurring/daily-sync", ""); status != http.StatusNoContent {
		t.Errorf("recurring/daily-sync: %d %s", status, text)
	}
	testenv.Eventually(t, "the recurring job is gone", func(ctx context.Context) error {
		return wantNotFound(shared.client.Get(ctx, keyOf(&v1alpha1.WorkspaceRecurringJob{ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: "daily-sync"}}), &v1alpha1.WorkspaceRecurringJob{}))
	})
}
