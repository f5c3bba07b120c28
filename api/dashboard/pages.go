package dashboard

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// pages returns the pages of a workspace by their paths.
func pages() map[string]page {
	return map[string]page{
		"":                       {name: "overview", section: "overview", load: loadOverview, watch: watchNothing, companion: followFinished},
		"/jobs":                  {name: "jobs", section: "jobs", load: loadJobs, watch: watchJobs},
		"/jobs/{job}":            {name: "job", section: "jobs", load: loadJob, watch: watchJob, companion: followLog},
		"/retries":               {name: "retries", section: "retries", load: loadRetries, watch: watchJobs},
		"/recurring":             {name: "recurring-jobs", section: "recurring", load: loadRecurringJobs, watch: watchRecurringJobs},
		"/recurring/{recurring}": {name: "recurring-job", section: "recurring", load: loadRecurringJob, watch: watchRecurringJob},
		"/pods":                  {name: "pods", section: "pods", load: loadPods, watch: watchPods},
	}
}

// pageSize is how many items a page of a list has.
const pageSize = 50

// paging has the links between the pages of a list.
type paging struct {
	// Next is the URL of the next page, "" on the last. First is that of the first page, ""
	// there.
	Next, First string
}

// pagingOf returns the links of a page that is followed by next.
func pagingOf(s *scope, next string) paging {
	query := s.request.URL.Query()
	for _, other := range []string{"notice", "n"} {
		query.Del(other)
	}
	var p paging
	if query.Has("continue") {
		query.Del("continue")
		p.First = pathWith(s.request.URL.Path, query)
	}
	if next != "" {
		query.Set("continue", next)
		p.Next = pathWith(s.request.URL.Path, query)
	}
	return p
}

// podRow is a pod in the list of running pods.
type podRow struct {
	Name, Job, Attempt, Node, Phase string
	JobURL                          string
	Since                           *moment
}

type podsData struct {
	base
	paging
	resourceVersion string
	Allowed         bool
	Rows            []podRow
}

func (d *podsData) version() string { return d.resourceVersion }

// loadPods lists the pods of unfinished attempts.
func loadPods(ctx context.Context, s *scope, may rights) (pageData, error) {
	data := &podsData{base: base{Title: "Running pods"}, Allowed: may.Pods}
	if !may.Pods {
		return data, errNotAllowedTo(listPods)
	}
	list, err := s.caller.Pods(s.namespace()).List(ctx, metav1.ListOptions{
		LabelSelector: v1alpha1.LabelJob, FieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
		Limit: pageSize, Continue: s.request.URL.Query().Get("continue"),
	})
	if err != nil {
		return nil, err
	}
	data.resourceVersion, data.paging = list.ResourceVersion, pagingOf(s, list.Continue)
	for i := range list.Items {
		data.Rows = append(data.Rows, podRowOf(s, &list.Items[i]))
	}
	return data, nil
}

func podRowOf(s *scope, pod *corev1.Pod) podRow {
	row := podRow{
		Name: pod.Name, Job: pod.Labels[v1alpha1.LabelJob], Attempt: pod.Labels[v1alpha1.LabelAttempt], Node: pod.Spec.NodeName,
		Phase: string(pod.Status.Phase), Since: at(pod.CreationTimestamp),
	}
	if pod.Status.StartTime != nil {
		row.Since = at(pod.Status.StartTime)
	}
	if pod.DeletionTimestamp != nil {
		row.Phase = "Stopping"
	}
	if row.Job != "" {
		row.JobURL = s.path("jobs", row.Job)
	}
	return row
}

// notAllowed is returned for what the user's role does not allow.
type notAllowed struct{ right auth.Right }

func (n notAllowed) Error() string {
	return "Your role does not allow this: you may not " + n.right.Verb + " " + n.right.Resource + " in this workspace. Ask a workspace admin for another role."
}

// Is reports whether the target is [errNotAllowed].
func (n notAllowed) Is(target error) bool { return target == errNotAllowed }

func errNotAllowedTo(right auth.Right) error { return notAllowed{right} }
