package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func changesOf(jobs ...*v1alpha1.WorkspaceJob) <-chan watch.Event {
	changes := make(chan watch.Event, len(jobs))
	for _, job := range jobs {
		changes <- watch.Event{Type: watch.Modified, Object: job}
	}
	close(changes)
	return changes
}

func jobIn(name string, state v1alpha1.JobState, message string) *v1alpha1.WorkspaceJob {
	return &v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: name},
		Status:     v1alpha1.WorkspaceJobStatus{State: state, Message: message},
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	succeeds, waits := jobIn("a", v1alpha1.StateSucceeded, ""), jobIn("b", v1alpha1.StateEnqueued, "waits")
	run := jobIn("a-run-of-the-schedule", v1alpha1.StateFailed, "broke")
	for name, test := range map[string]struct {
		changes []*v1alpha1.WorkspaceJob
		want    string
	}{
		"all succeed":    {[]*v1alpha1.WorkspaceJob{waits, run, succeeds, jobIn("b", v1alpha1.StateSucceeded, "")}, ""},
		"one fails":      {[]*v1alpha1.WorkspaceJob{succeeds, jobIn("b", v1alpha1.StateFailed, "broke")}, "b is Failed: broke"},
		"one never ends": {[]*v1alpha1.WorkspaceJob{succeeds, waits}, "these jobs have not ended: map[workspace-acme/b:true]"},
	} {
		err := follow(changesOf(test.changes...), map[client.ObjectKey]bool{
			client.ObjectKeyFromObject(succeeds): true, client.ObjectKeyFromObject(waits): true,
		})
		checkError(t, name, err, test.want)
	}
}

// checkError wants an error with the text, or none.
func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: error %v, want %q", name, err, want)
	}
}

func TestBilling(t *testing.T) {
	t.Parallel()
	handler := billing()
	ask := func(path string, into any) int {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if err := json.Unmarshal(answer.Body.Bytes(), into); answer.Code == http.StatusOK && err != nil {
			t.Fatal(err)
		}
		return answer.Code
	}
	codes := map[string]bool{}
	for next := "/plans"; next != ""; {
		var page struct {
			Items []struct{ Code string }
			Next  string
		}
		ask(next, &page)
		for _, plan := range page.Items {
			codes[plan.Code] = true
		}
		next = page.Next
	}
	if len(codes) != plans {
		t.Errorf("the pages have %d plans, want %d", len(codes), plans)
	}
	for n := range refusals + 1 {
		var prices struct{ Items []any }
		if code := ask("/prices", &prices); (code == http.StatusOK) != (n == refusals) || (len(prices.Items) == plans) != (n == refusals) {
			t.Errorf("answer %d is %d with %d prices", n+1, code, len(prices.Items))
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	globex := snapshot{sessions: 10, old: 4, checksum: "2"}
	for want, after := range map[string]map[string]snapshot{
		"":                               {"acme": {sessions: 6}, "globex": globex},
		"acme had 4 old":                 {"acme": {sessions: 6, old: 1}, "globex": globex},
		"acme should have kept":          {"acme": {sessions: 5}, "globex": globex},
		"globex's sessions have changed": {"acme": {sessions: 6}, "globex": {sessions: 10, old: 4, checksum: "4"}},
	} {
		err := compare(map[string]snapshot{"acme": {sessions: 10, old: 4, checksum: "1"}, "globex": globex}, after)
		checkError(t, want, err, want)
	}
}
