package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openradius/workspace-jobs/api/auth"
)

// action is what a POST does, and the right that it takes.
type action struct {
	right auth.Right
	do    func(d *dashboard, w http.ResponseWriter, r *http.Request, s *scope)
}

func actions() map[string]action {
	return map[string]action{
		"/jobs/requeue":                   {patchJob, selected("requeued", requeue)},
		"/jobs/delete":                    {deleteJob, confirmed("Delete", selected("deleted", remove))},
		"/jobs/{job}/requeue":             {patchJob, selected("requeued", requeue)},
		"/jobs/{job}/cancel":              {patchJob, selected("cancelled", cancel)},
		"/jobs/{job}/delete":              {deleteJob, confirmed("Delete", selected("deleted", remove))},
		"/recurring/{recurring}/trigger":  {createJob, (*dashboard).trigger},
		"/recurring/{recurring}/pause":    {patchRecurring, onRecurring("paused", pause)},
		"/recurring/{recurring}/resume":   {patchRecurring, onRecurring("resumed", resume)},
		"/recurring/{recurring}/schedule": {patchRecurring, (*dashboard).reschedule},
		"/recurring/{recurring}/remove":   {deleteRecurring, confirmed("Remove", onRecurring("removed", removeRecurring))},
	}
}

// act does nothing without the session's antiforgery token, and nothing that RBAC does not
// allow. The API server decides on that again.
func (d *dashboard) act(a action) scopeHandler {
	return func(w http.ResponseWriter, r *http.Request, s *scope) {
		if err := r.ParseForm(); err != nil {
			d.refuseTo(w, r, s.user, http.StatusBadRequest, "The form can't be read.")
			return
		}
		if !d.genuine(r, s.session) {
			d.refuseTo(w, r, s.user, http.StatusForbidden, notGenuine)
			return
		}
		allowed, err := s.caller.May(r.Context(), s.namespace(), a.right)
		if err == nil && !allowed {
			err = errNotAllowedTo(a.right)
		}
		if err != nil {
			d.fail(w, r, s.user, err)
			return
		}
		a.do(d, w, r, s)
	}
}

// notices say what was done to one and to several, by the word in the query.
var notices = map[string][2]string{
	"requeued":    {"The job was requeued.", " jobs were requeued."},
	"cancelled":   {"The job is being cancelled.", " jobs are being cancelled."},
	"deleted":     {"The job was deleted.", " jobs were deleted."},
	"paused":      {"The schedule is paused: no run becomes due until you resume it.", ""},
	"resumed":     {"The schedule is active again.", ""},
	"removed":     {"The recurring job was removed.", ""},
	"rescheduled": {"The schedule was changed.", ""},
	"triggered":   {"This run was triggered just now.", ""},
}

// noticeOf returns what was done before this page was requested.
func noticeOf(query url.Values) string {
	forms, known := notices[query.Get("notice")]
	n, err := strconv.Atoi(query.Get("n"))
	switch {
	case !known:
		return ""
	case err == nil && n > 1 && forms[1] != "":
		return strconv.Itoa(n) + forms[1]
	default:
		return forms[0]
	}
}

// back returns the page that the form was on, with a notice.
func (s *scope) back(r *http.Request, fallback, notice string, n int) string {
	target := localPath(r.PostFormValue("back"))
	if target != s.root() && !strings.HasPrefix(target, s.root()+"/") && !strings.HasPrefix(target, s.root()+"?") {
		target = fallback
	}
	path, rest, _ := strings.Cut(target, "?")
	query, err := url.ParseQuery(rest)
	if err != nil {
		query = url.Values{}
	}
	query.Set("notice", notice)
	query.Del("n")
	if n > 1 {
		query.Set("n", strconv.Itoa(n))
	}
	return pathWith(path, query)
}

// selectedAtMost is how many jobs one form may name: more than a page shows.
const selectedAtMost = 500

// actionsAtOnce is how many jobs are changed at once.
const actionsAtOnce = 8

func requeue(ctx context.Context, s *scope, name string) error {
	_, err := s.jobs.Requeue(ctx, name)
	return err
}
func cancel(ctx context.Context, s *scope, name string) error {
	_, err := s.jobs.Cancel(ctx, name)
	return err
}
func remove(ctx context.Context, s *scope, name string) error { return s.jobs.Delete(ctx, name) }

// namesOf returns the names of the jobs that a request is about.
func namesOf(r *http.Request) []string {
	if name := r.PathValue("job"); name != "" {
		return []string{name}
	}
	names := slices.Clone(r.PostForm["job"])
	slices.Sort(names)
	return slices.Compact(names)
}

// selected does something to each of the jobs that the form names.
func selected(notice string, do func(ctx context.Context, s *scope, name string) error) func(*dashboard, http.ResponseWriter, *http.Request, *scope) {
	return func(d *dashboard, w http.ResponseWriter, r *http.Request, s *scope) {
		names := namesOf(r)
		if problem := problemOf(names); problem != "" {
			d.refuseTo(w, r, s.user, http.StatusUnprocessableEntity, problem)
			return
		}
		failures := doAll(r.Context(), s, names, do)
		if len(failures) == 0 {
			fallback := s.path("jobs")
			seeOther(w, r, s.back(r, fallback, notice, len(names)))
			return
		}
		if len(names) == 1 || apierrors.IsUnauthorized(failures[0].err) {
			d.fail(w, r, s.user, failures[0].err)
			return
		}
		d.partly(w, r, s, notice, len(names)-len(failures), failures)
	}
}

func problemOf(names []string) string {
	if len(names) == 0 {
		return "No job was selected. Go back, select some, and try again."
	}
	if len(names) > selectedAtMost {
		return "Too many jobs were selected: select at most " + strconv.Itoa(selectedAtMost) + "."
	}
	if slices.ContainsFunc(names, func(name string) bool { return !validName.MatchString(name) }) {
		return "One of the selected names is not a valid name of a job."
	}
	return ""
}

// failure says why one of several actions failed.
type failure struct {
	name string
	err  error
}

func doAll(ctx context.Context, s *scope, names []string, do func(ctx context.Context, s *scope, name string) error) []failure {
	var group errgroup.Group
	group.SetLimit(actionsAtOnce)
	var mutex sync.Mutex
	var failures []failure
	for _, name := range names {
		group.Go(func() error {
			if err := do(ctx, s, name); err != nil {
				mutex.Lock()
				defer mutex.Unlock()
				failures = append(failures, failure{name, err})
			}
			return nil
		})
	}
	_ = group.Wait()
	slices.SortFunc(failures, func(a, b failure) int { return strings.Compare(a.name, b.name) })
	return failures
}

// partly shows how much was done, and what was not and why.
func (d *dashboard) partly(w http.ResponseWriter, r *http.Request, s *scope, notice string, done int, failures []failure) {
	status, _ := explain(failures[0].err)
	message := "None of the jobs was " + notice + "."
	if done > 0 {
		status, message = http.StatusMultiStatus, strconv.Itoa(done)+" of "+strconv.Itoa(done+len(failures))+" jobs were "+notice+"; these were not:"
	}
	var details []string
	for _, f := range failures {
		_, reason := explain(f.err)
		details = append(details, f.name+": "+reason)
	}
	data := &errorData{base: base{Title: "Not everything was done", Back: s.path("jobs")}, Status: status, Message: message, Details: details}
	data.fill(d, s.user)
	d.write(w, r, status, "error", data)
}

// confirmData is the page that asks before something that can't be undone.
type confirmData struct {
	base
	Action, Question, Verb, Cancel, BackTo string
	Names                                  []string
}

// confirmed asks first, on a page with the same form again.
func confirmed(verb string, do func(*dashboard, http.ResponseWriter, *http.Request, *scope)) func(*dashboard, http.ResponseWriter, *http.Request, *scope) {
	return func(d *dashboard, w http.ResponseWriter, r *http.Request, s *scope) {
		if r.PostFormValue("confirmed") == "yes" {
			do(d, w, r, s)
			return
		}
		data := &confirmData{base: base{Title: verb + "?"}, Verb: verb, Action: r.URL.Path, BackTo: r.PostFormValue("back")}
		if name := r.PathValue("recurring"); name != "" {
			data.Question, data.Cancel = "Remove the recurring job "+name+"? Its schedule ends, and its runs are deleted.", s.path("recurring", name)
		} else {
			names := namesOf(r)
			if problem := problemOf(names); problem != "" {
				d.refuseTo(w, r, s.user, http.StatusUnprocessableEntity, problem)
				return
			}
			data.Names, data.Question = names, "Delete "+count(len(names), "job")+"? Those that are running are stopped, and their attempts and logs are deleted."
			data.Cancel = withoutNotice(localPath(data.BackTo))
		}
		data.fill(d, s.user)
		may, err := s.may(r.Context())
		if err != nil {
			d.fail(w, r, s.user, err)
			return
		}
		data.inScope(s, page{}, may)
		d.write(w, r, http.StatusOK, "confirm", data)
	}
}

func withoutNotice(target string) string {
	path, rest, _ := strings.Cut(target, "?")
	query, err := url.ParseQuery(rest)
	if err != nil {
		return path
	}
	query.Del("notice")
	query.Del("n")
	return pathWith(path, query)
}
