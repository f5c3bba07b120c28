package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// scope is one user's request in one workspace.
type scope struct {
	*user
	workspace *v1alpha1.Workspace
	// workspaces are those that the user may see, by name, or nil if the request is not for a page.
	workspaces []string
	jobs       *client.Workspace
	request    *http.Request
}

type scopeHandler func(w http.ResponseWriter, r *http.Request, s *scope)

// inWorkspace answers for a workspace that the user may not see as if it did not exist.
func (d *dashboard) inWorkspace(next scopeHandler) userHandler { return d.scoped(newScope, next) }

// onPage is inWorkspace for a page, from which the user can switch to another workspace.
func (d *dashboard) onPage(next scopeHandler) userHandler { return d.scoped(newPageScope, next) }

func (d *dashboard) scoped(find func(*http.Request, *user) (*scope, error), next scopeHandler) userHandler {
	return func(w http.ResponseWriter, r *http.Request, u *user) {
		s, err := find(r, u)
		if err != nil {
			d.fail(w, r, u, err)
			return
		}
		next(w, r, s)
	}
}

func newScope(r *http.Request, u *user) (*scope, error) {
	workspace, err := u.caller.Workspace(r.Context(), r.PathValue("workspace"))
	if err != nil {
		return nil, err
	}
	for _, id := range []string{"job", "recurring"} {
		if name := r.PathValue(id); name != "" && !validName.MatchString(name) {
			return nil, errNoSuchName
		}
	}
	return &scope{user: u, workspace: workspace, jobs: u.caller.In(workspace.Status.Namespace), request: r}, nil
}

// newPageScope finds the workspace, and the names of all that the user may switch to.
func newPageScope(r *http.Request, u *user) (*scope, error) {
	s, err := newScope(r, u)
	if err != nil {
		return nil, err
	}
	all, err := u.caller.Workspaces(r.Context())
	if err != nil {
		return nil, err
	}
	for i := range all {
		s.workspaces = append(s.workspaces, all[i].Name)
	}
	// The list may leave out one whose name the user knows.
	if i, listed := slices.BinarySearch(s.workspaces, s.workspace.Name); !listed {
		s.workspaces = slices.Insert(s.workspaces, i, s.workspace.Name)
	}
	return s, nil
}

// validName matches the possible names of jobs and recurring jobs. The API server is not asked
// for anything else.
var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

var errNoSuchName = errors.New("no object has this name")

func (s *scope) namespace() string { return s.workspace.Status.Namespace }

// root returns the beginning of the workspace's paths.
func (s *scope) root() string { return Root + "/" + s.workspace.Name }

// path returns a path below the workspace's root. Its parts may be any text.
func (s *scope) path(parts ...string) string {
	path := s.root()
	for _, part := range parts {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// rights are what the user may do in the workspace, and so what pages offer.
type rights struct {
	// Trigger is the right to create a job, Change to requeue or cancel one, Delete to delete
	// one.
	Trigger, Change, Delete bool
	// Edit is the right to pause, resume or reschedule a recurring job, Remove to remove one.
	Edit, Remove bool
	// Recurring, Pods and Logs are the rights to see these.
	Recurring, Pods, Logs bool
}

var (
	createJob       = auth.Right{Verb: "create", Resource: "workspacejobs"}
	patchJob        = auth.Right{Verb: "patch", Resource: "workspacejobs"}
	deleteJob       = auth.Right{Verb: "delete", Resource: "workspacejobs"}
	patchRecurring  = auth.Right{Verb: "patch", Resource: "workspacerecurringjobs"}
	deleteRecurring = auth.Right{Verb: "delete", Resource: "workspacerecurringjobs"}
	listRecurring   = auth.Right{Verb: "list", Resource: "workspacerecurringjobs"}
	listPods        = auth.Right{Verb: "list", Resource: "pods"}
	getLogs         = auth.Right{Verb: "get", Resource: "pods/log"}
)

// may asks RBAC for all rights at once.
func (s *scope) may(ctx context.Context) (rights, error) {
	var all rights
	group, ctx := errgroup.WithContext(ctx)
	for right, answer := range map[auth.Right]*bool{
		createJob: &all.Trigger, patchJob: &all.Change, deleteJob: &all.Delete, patchRecurring: &all.Edit, deleteRecurring: &all.Remove,
		listRecurring: &all.Recurring, listPods: &all.Pods, getLogs: &all.Logs,
	} {
		group.Go(func() error {
			var err error
			*answer, err = s.caller.May(ctx, s.namespace(), right)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return rights{}, fmt.Errorf("ask what may be done here: %w", err)
	}
	return all, nil
}

// home shows the workspaces that the user may see, or the only one at once.
func (d *dashboard) home(w http.ResponseWriter, r *http.Request, u *user) {
	all, err := u.caller.Workspaces(r.Context())
	if err != nil {
		d.fail(w, r, u, err)
		return
	}
	if len(all) == 1 {
		seeOther(w, r, Root+"/"+all[0].Name)
		return
	}
	data := &homeData{base: base{Title: "Workspaces"}}
	data.fill(d, u)
	for i := range all {
		data.Workspaces = append(data.Workspaces, all[i].Name)
		data.All = append(data.All, summaryOf(&all[i]))
	}
	d.write(w, r, http.StatusOK, "home", data)
}

type homeData struct {
	base
	All []summary
}

// summary is a workspace in the list of all.
type summary struct {
	Name                       string
	Enqueued, Processing, Fail int32
	Suspended                  bool
}

func summaryOf(ws *v1alpha1.Workspace) summary {
	s := summary{Name: ws.Name, Suspended: ws.Spec.Suspend}
	if counts := ws.Status.Jobs; counts != nil {
		s.Enqueued, s.Processing, s.Fail = counts.Enqueued, counts.Processing, counts.Failed
	}
	return s
}

// switchWorkspace redirects to the workspace that was chosen at the top of a page.
func (d *dashboard) switchWorkspace(w http.ResponseWriter, r *http.Request, u *user) {
	workspace, err := u.caller.Workspace(r.Context(), r.URL.Query().Get("workspace"))
	if err != nil {
		d.fail(w, r, u, err)
		return
	}
	seeOther(w, r, Root+"/"+workspace.Name)
}

func (d *dashboard) noPage(w http.ResponseWriter, r *http.Request, u *user) {
	d.refuseTo(w, r, u, http.StatusNotFound, noSuchPage)
}

// seeOther redirects to a path of this server: one that is made here, or that localPath or
// back has checked.
func seeOther(w http.ResponseWriter, r *http.Request, path string) {
	http.Redirect(w, r, path, http.StatusSeeOther) //nolint:gosec // every caller passes a path that was built or checked here
}
