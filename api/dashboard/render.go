package dashboard

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/logs"
	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/stream"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"asset": asset, "at": at, "between": between, "count": count, "json": prettyJSON, "lower": func(state any) string { return strings.ToLower(fmt.Sprint(state)) }, "date": dateTime,
	"hour": hourOf, "printable": printable.Text, "signInPath": func() string { return own + "/sign-in" }, "signOutPath": func() string { return own + "/sign-out" },
	"switchPath": func() string { return own + "/switch" }, "homePath": func() string { return Root },
	"graph": func(bars []bar, what string) graph { return newGraph(bars, what) },
}).ParseFS(templateFiles, "templates/*.html"))

// base is what every page has.
type base struct {
	Title, Section string
	// Back is the page that an error's page links to.
	Back string
	// User is who has signed in; "": nobody.
	User      string
	FormToken string
	// Workspace is that of the page, and Workspaces are those that the user may see.
	Workspace  string
	Workspaces []string
	// Root is the beginning of the workspace's paths.
	Root   string
	May    rights
	Notice string
	// Search is the last text that was searched for.
	Search string
	// Live is the part that is rendered again when something has changed, and LiveURL is that
	// of the stream that sends it; "": none.
	Live    template.HTML
	LiveURL string
}

func (b *base) page() *base { return b }

func (b *base) fill(d *dashboard, u *user) {
	b.User, b.FormToken = u.caller.Name, d.sessions.FormToken(u.session)
}

type pageData interface{ page() *base }

// page is a page of a workspace.
type page struct {
	// name is that of its templates: page-<name> and, for what is live in it, live-<name>.
	name, section string
	load          func(ctx context.Context, s *scope, may rights) (pageData, error)
	// watch watches for changes after the data; nil if nothing on the page is live. It may
	// return no watch.
	watch func(ctx context.Context, s *scope, data pageData) (watch.Interface, error)
	// companion sends more events than the live part. It returns what is called with the data
	// of each refresh.
	companion func(ctx context.Context, s *scope, emit func(stream.Event)) func(pageData)
}

// show answers with a page.
func (d *dashboard) show(p page) scopeHandler {
	return func(w http.ResponseWriter, r *http.Request, s *scope) {
		may, err := s.may(r.Context())
		if err != nil {
			d.fail(w, r, s.user, err)
			return
		}
		data, err := p.load(r.Context(), s, may)
		if err != nil {
			d.fail(w, r, s.user, err)
			return
		}
		if err := d.complete(p, s, may, data); err != nil {
			d.fail(w, r, s.user, err)
			return
		}
		d.write(w, r, http.StatusOK, "page-"+p.name, data)
	}
}

// complete adds what every page has to the data of one.
func (d *dashboard) complete(p page, s *scope, may rights, data pageData) error {
	b := data.page()
	b.fill(d, s.user)
	b.Workspaces = s.workspaces
	b.inScope(s, p, may)
	b.Notice = noticeOf(s.request.URL.Query())
	if p.watch != nil && s.request.URL.Query().Get("continue") == "" {
		b.LiveURL = strings.Replace(s.request.URL.RequestURI(), s.root(), s.root()+"/live", 1)
	}
	if p.watch == nil {
		return nil
	}
	var err error
	b.Live, err = renderLive(p, data)
	return err
}

func (b *base) inScope(s *scope, p page, may rights) {
	b.Workspace, b.Root, b.Section, b.May = s.workspace.Name, s.root(), p.section, may
}

func renderLive(p page, data pageData) (template.HTML, error) {
	text, err := render("live-"+p.name, data)
	return template.HTML(text), err //nolint:gosec // html/template made it
}

func render(name string, data any) ([]byte, error) {
	var buffer bytes.Buffer
	if err := templates.ExecuteTemplate(&buffer, name, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errFault, err)
	}
	return buffer.Bytes(), nil
}

func (d *dashboard) write(w http.ResponseWriter, _ *http.Request, status int, name string, data any) {
	text, err := render(name, data)
	if err != nil {
		d.log.Error("a page can't be rendered", "page", name, "error", err.Error())
		http.Error(w, pageFault, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// errFault is returned when a template and its data don't fit.
var errFault = errors.New("a page can't be rendered")

const pageFault = "This page can't be shown because of a fault in the server. Its log has the details."

// errorData is the data of an error's page.
type errorData struct {
	base
	Status  int
	Message string
	Details []string
}

// refuse answers with an error's page for an unknown user.
func (d *dashboard) refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	d.write(w, r, status, "error", &errorData{base: base{Title: http.StatusText(status), Back: Root}, Status: status, Message: message})
}

func (d *dashboard) refuseTo(w http.ResponseWriter, r *http.Request, u *user, status int, message string) {
	data := &errorData{base: base{Title: http.StatusText(status), Back: Root}, Status: status, Message: message}
	data.fill(d, u)
	d.write(w, r, status, "error", data)
}

// fail answers why a page can't be shown or why something was not done.
func (d *dashboard) fail(w http.ResponseWriter, r *http.Request, u *user, err error) {
	if errors.Is(err, context.Canceled) {
		return // nobody is waiting for the answer
	}
	if errors.Is(err, auth.ErrUnauthenticated) || apierrors.IsUnauthorized(err) {
		d.authenticator.Forget(u.session.Token)
		d.noUser(w, r, auth.ErrUnauthenticated)
		return
	}
	status, message := explain(err)
	if status >= http.StatusInternalServerError {
		d.log.Error("a request failed", "path", r.URL.Path, "error", err.Error())
	}
	d.refuseTo(w, r, u, status, message)
}

// explain returns what the user may know about an error.
func explain(err error) (status int, message string) {
	switch {
	case errors.Is(err, auth.ErrNoWorkspace):
		return http.StatusNotFound, noSuchPage
	case errors.Is(err, errFault):
		return http.StatusInternalServerError, pageFault
	case errors.Is(err, logs.ErrGone), errors.Is(err, logs.ErrNotStarted):
		return http.StatusNotFound, logProblem(err)
	case errors.Is(err, logs.ErrNoAnswer):
		return http.StatusServiceUnavailable, logProblem(err)
	case errors.Is(err, errNoSuchName), apierrors.IsNotFound(err):
		return http.StatusNotFound, "There is no such job, recurring job or log here. It may have been deleted."
	case errors.Is(err, errNotAllowed):
		return http.StatusForbidden, err.Error()
	case apierrors.IsForbidden(err):
		return http.StatusForbidden, "Your role does not allow this: " + messageOf(err)
	case errors.Is(err, client.ErrNotFinished):
		return http.StatusConflict, "Only a finished job can be requeued: " + messageOf(err) + "."
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return http.StatusUnprocessableEntity, "This is not valid: " + messageOf(err)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return http.StatusConflict, "It was changed at the same time. Check it and try again."
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		return http.StatusGone, "This page of the list has expired. Start again from the first page."
	case apierrors.IsTooManyRequests(err):
		return http.StatusTooManyRequests, "The cluster is overloaded. Try again in a moment."
	default:
		return http.StatusServiceUnavailable, "The cluster does not answer as expected. Try again in a moment. If this persists, ask a platform admin."
	}
}

// messageOf returns what the API server says, without what this program put before it.
func messageOf(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

func (d *dashboard) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	d.log.Error("the cluster can't be asked", "path", r.URL.Path, "error", err.Error())
	d.refuse(w, r, http.StatusServiceUnavailable, "The cluster does not answer. Try again in a moment.")
}
